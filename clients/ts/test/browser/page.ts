/** A page that runs a flow through the gateway, and shows what happens as it happens. */

import { apiKey, PromptFlowBase } from "promptflow-grpc-client";
import { SentimentAnalysisClient } from "promptflow-grpc-client/api/flows/sentiment_analysis/v1";
import { DocumentInsightClient } from "promptflow-grpc-client/api/flows/document_insight/v1";

declare global {
  interface Window {
    /** Given by whoever drives the page: told of every event before the next one is read. */
    onFlowEvent(sequence: number): Promise<void>;
  }
}

const query = new URLSearchParams(location.search);
// A header of ours makes the browser ask the gateway first whether it may be sent.
const pf = new PromptFlowBase(query.get("address") ?? "", { metadata: apiKey("of a test"), retry: { initialMs: 10 } });
const sentiment = new SentimentAnalysisClient(pf);
const insight = new DocumentInsightClient(pf);

function show(text: string): void {
  const line = document.createElement("li");
  line.textContent = text;
  document.querySelector("#events")?.append(line);
}

async function main(): Promise<object> {
  const { analyze } = await sentiment.run({ text: "I love this!" }, { timeoutMs: 20_000 });
  show(`sentiment_analysis: ${analyze.label}, ${(analyze.confidence * 100).toFixed(1)} %`);
  const refused = await sentiment.handle("00000000-0000-4000-8000-000000000000").status().catch(String);
  show(String(refused));
  const page = await (await fetch("letter.jpg")).blob();
  const sequences: number[] = [];
  let mood = "";
  for await (const event of insight.stream({ document: page })) {
    if (event.sequence > 0) {
      sequences.push(event.sequence);
      show(`${event.sequence} ${event.type}${"step" in event ? ` ${event.step}` : ""}`);
      await window.onFlowEvent(event.sequence);
    }
    if (event.type === "done") {
      mood = event.execution.result?.mood ?? "";
    }
  }
  show(`document_insight: ${mood}`);
  const path = await insight.run({ document: "letter.jpg" }).catch(String);
  return { label: analyze.label, refused, sequences, mood, path };
}

main().then(
  (found) => {
    document.body.dataset["found"] = JSON.stringify(found);
  },
  (error: unknown) => {
    document.body.dataset["found"] = JSON.stringify({ failed: String(error) });
  },
);
