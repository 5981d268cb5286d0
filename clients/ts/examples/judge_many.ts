/** Judge each line of standard input in one call: `node judge_many.js [address] < lines.txt`. */

import { text } from "node:stream/consumers";
import { PromptFlow } from "promptflow-grpc-client/api";

const [address = "localhost:50051"] = process.argv.slice(2);
const lines = (await text(process.stdin)).split("\n").filter((line) => line.trim() !== "");
using pf = new PromptFlow(address);
const outcomes = await pf.sentimentAnalysis.runBatch(
  lines.map((line) => ({ text: line })),
  { timeoutMs: 60_000 },
);
for (const [index, outcome] of outcomes.entries()) {
  const label = outcome.ok ? outcome.result.analyze.label : `failed: ${outcome.error.message}`;
  console.log(`${label}: ${lines[index]}`);
}
