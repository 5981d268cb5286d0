/**
 * Start a run in one process and collect its result in another, or after a restart.
 *
 * node start_and_collect.js start "I love this!" [address]
 * node start_and_collect.js collect EXECUTION_ID [address]
 * node start_and_collect.js list [address]
 */

import { PromptFlow } from "promptflow-grpc-client/api";

const [command, ...rest] = process.argv.slice(2);
const argument = command === "start" || command === "collect" ? (rest.shift() ?? "") : "";
using pf = new PromptFlow(rest[0] ?? "localhost:50051");
switch (command) {
  case "start": {
    const { executionId } = await pf.sentimentAnalysis.start({ text: argument });
    console.log(executionId);
    break;
  }
  case "collect": {
    const { analyze } = await pf.sentimentAnalysis.handle(argument).result({ timeoutMs: 60_000 });
    console.log(analyze.label);
    break;
  }
  default:
    for await (const { executionId, status } of pf.sentimentAnalysis.executions()) {
      console.log(executionId, status);
    }
}
