/** Everything that a client can do, against a running system: PROMPTFLOW_ADDRESS, PROMPTFLOW_PROTOCOL, PROMPTFLOW_PAGE. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, test } from "node:test";
import type { Protocol } from "promptflow-grpc-client";
import { PromptFlow } from "promptflow-grpc-client/api";
import { Relay } from "./cutting.js";

const address = process.env["PROMPTFLOW_ADDRESS"] ?? "";
const protocol = process.env["PROMPTFLOW_PROTOCOL"] as Protocol;
const page = process.env["PROMPTFLOW_PAGE"] ?? "";
const pf = new PromptFlow(address, { protocol });
const { sentimentAnalysis, documentInsight, conditionalProcessing } = pf;

after(() => pf.close());

test("a run gives a typed result, whatever holds its file", async () => {
  const [byPath, byBytes] = await Promise.all([
    documentInsight.run({ document: page }),
    documentInsight.run({ document: new Blob([await readFile(page)], { type: "image/jpeg" }) }),
  ]);
  assert.equal(byPath.mood, "mixed");
  assert.deepEqual(byBytes, byPath);
});

test("a started run is found again by its id, by another client", async () => {
  const { executionId } = await sentimentAnalysis.start({ text: "I love this!" });
  const other = new PromptFlow(address, { protocol });
  const handle = other.sentimentAnalysis.handle(executionId);
  assert.equal((await handle.result()).analyze.label, "positive");
  const execution = await handle.status();
  assert.equal(execution.status, "COMPLETED");
  assert.equal(execution.steps.analyze.state.status, "COMPLETED");
  assert.ok(execution.metadata.finishedAt instanceof Date);
  assert.deepEqual((await handle.cancel()).status, "COMPLETED");
  other.close();
});

test("events come once each, and from any place again", async () => {
  const seen = [];
  for await (const event of conditionalProcessing.stream({ text: "urgent", amount: 0 })) {
    seen.push(event);
  }
  const [first] = seen;
  assert.ok(first !== undefined);
  assert.equal(first.type, "accepted");
  const stored = seen.filter((event) => event.sequence > 0).map((event) => event.sequence);
  assert.deepEqual(
    stored,
    Array.from(stored, (_, index) => index + 1),
  );
  const again = [];
  for await (const event of conditionalProcessing.handle(first.executionId).events({ after: 2 })) {
    again.push(event.sequence);
  }
  assert.deepEqual(again, stored.slice(2));
});

test("a stream that is cut again and again has no gap and no repeat", async () => {
  const relay = await Relay.to(address);
  const cut = new PromptFlow(relay.address, { protocol, retry: { initialMs: 5 } });
  const seen: number[] = [];
  for await (const event of cut.documentInsight.stream({ document: page })) {
    if (event.sequence > 0) {
      seen.push(event.sequence);
    }
    if (event.sequence % 3 === 1) {
      relay.cut();
    }
  }
  assert.deepEqual(
    seen,
    Array.from(seen, (_, index) => index + 1),
  );
  assert.ok(seen.length >= 10);
  cut.close();
  relay.close();
});

test("a connection cut within a message is taken up again", async () => {
  const relay = await Relay.to(address);
  const cut = new PromptFlow(relay.address, { protocol, retry: { initialMs: 5 } });
  for (const bytes of [1, 20, 200, 400, 700, 1000]) {
    relay.cutAfter(bytes);
    assert.equal((await cut.sentimentAnalysis.run({ text: "I love this!" })).analyze.label, "positive", `${bytes}`);
  }
  cut.close();
  relay.close();
});

test("the same request id never starts a second run", async () => {
  const options = { requestId: `test-${Math.random()}` };
  const first = await sentimentAnalysis.start({ text: "once" }, options);
  const second = await sentimentAnalysis.start({ text: "once" }, options);
  assert.equal(second.executionId, first.executionId);
  await assert.rejects(sentimentAnalysis.start({ text: "twice" }, options), { reason: "REQUEST_ID_REUSED" });
});

test("leaving a stream early, an abort and a deadline leave nothing behind", async () => {
  for await (const event of documentInsight.stream({ document: page })) {
    if (event.type === "started") {
      break;
    }
  }
  const abort = new AbortController();
  await assert.rejects(async () => {
    for await (const event of documentInsight.stream({ document: page }, { signal: abort.signal })) {
      abort.abort(new Error(event.type));
    }
  }, /accepted/);
  await assert.rejects(documentInsight.run({ document: page }, { timeoutMs: 1 }), { code: "DEADLINE_EXCEEDED" });
  // Timers of streams that were left would keep this from ever being empty.
  const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout");
  assert.ok(timers.length <= 2, timers.join());
});

test("what does not fit is told before anything is sent, all at once", async () => {
  const wrong = { text: 1, amount: "much", more: true } as unknown as { text: string };
  await assert.rejects(conditionalProcessing.run(wrong), (error: Error) => {
    assert.match(String(error), /text: 1 is no string\n {2}amount: "much" is no number\n {2}more: there is no such field/);
    return true;
  });
});

test("a flow says what it is and how it is", async () => {
  const [info, health] = await Promise.all([sentimentAnalysis.info(), sentimentAnalysis.health()]);
  assert.equal(info.flow, "sentiment_analysis");
  assert.ok(Object.keys(info.definition).length > 0);
  assert.equal(health.isServing, true);
});

test("a plan says what would run", async () => {
  const plan = await conditionalProcessing.plan({ text: "urgent", amount: 3 });
  assert.equal(plan.flow, "conditional_processing");
  assert.deepEqual(
    plan.steps.map(({ step }) => step),
    ["route_decision", "path_a", "path_b"],
  );
});

test("a batch gives what became of each run, in order", async () => {
  const texts = ["I love this!", 5 as unknown as string, "What a disaster."];
  const outcomes = await sentimentAnalysis.runBatch(texts.map((text) => ({ text })));
  const shown = outcomes.map((outcome) => (outcome.ok ? outcome.result.analyze.label : outcome.error.reason));
  assert.deepEqual(shown, ["positive", "INVALID_INPUT", "negative"]);
});

test("lists go on from page to page", async () => {
  const started = new Set<string>();
  for (let count = 0; count < 3; count += 1) {
    started.add((await conditionalProcessing.start({ text: "listed" })).executionId);
  }
  for await (const { executionId, flow } of pf.executions({ flow: "conditional_processing", pageSize: 2 })) {
    assert.equal(flow, "conditional_processing");
    started.delete(executionId);
    if (started.size === 0) {
      break;
    }
  }
  assert.equal(started.size, 0);
  const flows = [];
  for await (const { flow } of pf.flows({ pageSize: 1 })) {
    flows.push(flow);
  }
  assert.ok(flows.includes("sentiment_analysis"));
});
