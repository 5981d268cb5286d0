import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { PromptFlowError } from "promptflow-grpc-client";
import { done, RUN, said, scripted, started } from "./scripted.js";

test("a cut stream goes on after the last event, without gap or repeat", async () => {
  const asked: number[] = [];
  const { pf } = scripted({
    async *executeStream() {
      yield started(1);
      yield started(2);
      throw new ConnectError("socket hang up", Code.Aborted);
    },
    async *watch({ executionId, afterSequence }) {
      assert.equal(executionId, RUN);
      asked.push(afterSequence);
      // One that repeats, and one that ends without `done`.
      yield started(2);
      yield started(3);
      if (asked.length > 1) {
        yield done(4);
      }
    },
  });
  const seen: number[] = [];
  for await (const event of pf.sentimentAnalysis.stream({ text: "x" })) {
    seen.push(event.sequence);
  }
  assert.deepEqual(seen, [1, 2, 3, 4]);
  assert.deepEqual(asked, [2, 3]);
});

test("a cut before the first event starts the same run again, not another one", async () => {
  const ids: string[] = [];
  const { pf } = scripted({
    async *executeStream({ options }) {
      ids.push(options?.requestId ?? "");
      if (ids.length < 3) {
        throw said(Code.Unavailable);
      }
      yield done(1);
    },
  });
  assert.equal((await pf.sentimentAnalysis.run({ text: "x" })).analyze.label, "positive");
  assert.equal(ids.length, 3);
  assert.equal(new Set(ids).size, 1);
  assert.match(ids[0] ?? "", /^[0-9a-f]{32}$/);
});

test("two runs have two request ids", async () => {
  const ids: string[] = [];
  const { pf } = scripted({
    async *executeStream({ options }) {
      ids.push(options?.requestId ?? "");
      yield done(1);
    },
  });
  await pf.sentimentAnalysis.run({ text: "x" });
  await pf.sentimentAnalysis.run({ text: "x" });
  assert.equal(new Set(ids).size, 2);
});

for (const code of [Code.InvalidArgument, Code.NotFound, Code.FailedPrecondition, Code.ResourceExhausted, Code.Internal]) {
  test(`the server's ${Code[code]} is not tried again`, async () => {
    let calls = 0;
    const { pf } = scripted({
      async *executeStream() {
        calls += 1;
        throw said(code);
      },
    });
    await assert.rejects(pf.sentimentAnalysis.run({ text: "x" }), PromptFlowError);
    assert.equal(calls, 1);
  });
}

test("a run is given up when nothing new came for the time of patience, and the error names it", async () => {
  const { pf, clock } = scripted(
    {
      async *executeStream() {
        yield started(1);
      },
      async *watch() {
        throw said(Code.Unavailable, "away");
      },
    },
    { retry: { patienceMs: 10_000 } },
  );
  await assert.rejects(pf.sentimentAnalysis.run({ text: "x" }), (error: PromptFlowError) => {
    assert.equal(error.code, "UNAVAILABLE");
    assert.equal(error.executionId, RUN);
    return true;
  });
  assert.ok(clock.time > 5_000 && clock.time <= 10_000, String(clock.time));
});

test("an answer that comes begins patience afresh", async () => {
  let opened = 0;
  const { pf } = scripted(
    {
      async *executeStream() {
        yield started(1);
      },
      async *watch({ afterSequence }) {
        opened += 1;
        yield opened < 30 ? started(afterSequence + 1) : done(afterSequence + 1);
      },
    },
    { retry: { patienceMs: 200 } },
  );
  assert.equal((await pf.sentimentAnalysis.run({ text: "x" })).analyze.confidence, 0.9);
  assert.equal(opened, 30);
});

test("what the flow promises is there even if a newer server leaves it out", async () => {
  const { pf } = scripted({
    async *executeStream() {
      const last = done(1);
      if (last.event.case === "done") {
        delete last.event.value.result?.analyze?.confidence;
      }
      yield last;
    },
  });
  assert.deepEqual(await pf.sentimentAnalysis.run({ text: "x" }), {
    analyze: { label: "positive", confidence: 0, scores: {} },
  });
});
