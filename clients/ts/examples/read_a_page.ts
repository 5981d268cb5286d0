/** Read a page and show what happens as it happens: `node read_a_page.js page.jpg [address]`. */

import { PromptFlow } from "promptflow-grpc-client/api";

const [page = "page.jpg", address = "localhost:50051"] = process.argv.slice(2);
using pf = new PromptFlow(address);
for await (const event of pf.documentInsight.stream({ document: page }, { timeoutMs: 60_000 })) {
  switch (event.type) {
    case "stepStarted":
      if (event.item === undefined) {
        console.log(`${event.step} …`);
      }
      break;
    case "stepCompleted":
      if (event.step === "ocr") {
        console.log(event.output?.text);
      }
      break;
    case "done":
      if (event.execution.error !== undefined) {
        throw event.execution.error;
      }
      console.log(`mood: ${event.execution.result?.mood}`);
      break;
    default:
  }
}
