import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { apiKey } from "promptflow-grpc-client";
import {
  BatchExecuteResponseSchema,
  type BatchExecuteRequest,
  type BatchExecuteResponse,
  BatchOutcomeSchema,
  ExecutionSchema,
} from "#dist/gen/promptflow_api/flows/sentiment_analysis/v1/sentiment_analysis_pb.js";
import { ExecutionMode_Value, ExecutionStatus_Value } from "#dist/gen/promptflow_api/v1/execution_pb.js";
import { SYSTEM_CLOCK } from "#dist/retry.js";
import { done, RUN, said, scripted, started } from "./scripted.js";

/** Answers each request with its own text as the label. */
function told({ requests }: BatchExecuteRequest): BatchExecuteResponse {
  const outcomes = requests.map(({ text = "" }) => {
    const value = create(ExecutionSchema, {
      executionId: `run of ${text}`,
      status: ExecutionStatus_Value.COMPLETED,
      result: { analyze: { label: text, confidence: 1 } },
    });
    return create(BatchOutcomeSchema, { outcome: { case: "execution", value } });
  });
  return create(BatchExecuteResponseSchema, { outcomes });
}

test("more inputs than a call takes go in several, with the same ids after a cut", async () => {
  const asked: BatchExecuteRequest[] = [];
  const { pf } = scripted({
    batchExecute(request) {
      asked.push(request);
      if (asked.length === 2) {
        throw said(Code.Unavailable);
      }
      return told(request);
    },
  });
  const inputs = Array.from({ length: 2_001 }, (_, index) => ({ text: String(index) }));
  const outcomes = await pf.sentimentAnalysis.runBatch(inputs, { requestId: "order", readMask: ["status"] });
  assert.deepEqual(
    outcomes.map((outcome) => outcome.ok && [outcome.executionId, outcome.result.analyze.label]),
    inputs.map(({ text }) => [`run of ${text}`, text]),
  );
  const requests = asked.flatMap((batch) => batch.requests);
  assert.equal(asked.length, 4);
  assert.ok(requests.every(({ text, options }) => options?.requestId === `order-${text}`));
  assert.ok(requests.every(({ executionMode }) => executionMode === ExecutionMode_Value.SYNC));
  assert.deepEqual(requests[0]?.options?.readMask?.paths, ["status", "result", "execution_id", "error"]);
});

test("runs of a batch have ids of their own", async () => {
  const ids: (string | undefined)[] = [];
  const { pf } = scripted({
    batchExecute(request) {
      ids.push(...request.requests.map(({ options }) => options?.requestId));
      return told(request);
    },
  });
  await pf.sentimentAnalysis.runBatch([{ text: "a" }, { text: "a" }]);
  assert.equal(new Set(ids).size, 2);
});

test("a misfit stands in its place and the others run", async () => {
  const { pf } = scripted({ batchExecute: told });
  const inputs = [{ text: "a" }, { text: 5 as unknown as string }, { text: "c" }];
  const outcomes = await pf.sentimentAnalysis.runBatch(inputs);
  const shown = outcomes.map((outcome) => (outcome.ok ? outcome.result.analyze.label : outcome.error.reason));
  assert.deepEqual(shown, ["a", "INVALID_INPUT", "c"]);
  const [unread] = await pf.documentInsight.runBatch([{ document: "/nowhere.png" }]);
  assert.ok(unread !== undefined && !unread.ok);
  assert.deepEqual([unread.error.code, unread.error.reason], ["INVALID_ARGUMENT", "FILE_UNREADABLE"]);
  assert.match(String((unread.error.cause as Error).message), /ENOENT/);
});

test("a run of a batch that fails names the run, and one that is left out is an error of the call", async () => {
  const failed = create(ExecutionSchema, { executionId: RUN, status: ExecutionStatus_Value.CANCELLED });
  const { pf } = scripted({
    batchExecute: ({ requests }) => ({
      outcomes: requests.length > 1 ? [] : [{ outcome: { case: "execution" as const, value: failed } }],
    }),
  });
  const [outcome] = await pf.sentimentAnalysis.runBatch([{ text: "a" }]);
  assert.ok(outcome !== undefined && !outcome.ok);
  assert.deepEqual([outcome.executionId, outcome.error.code], [RUN, "CANCELLED"]);
  await assert.rejects(pf.sentimentAnalysis.runBatch([{ text: "a" }, { text: "b" }]), { message: /0 of 2/ });
  assert.deepEqual(await pf.sentimentAnalysis.runBatch([]), []);
});

test("the deadline bounds a batch as a whole, and an abort ends all its calls", async () => {
  let calls = 0;
  const ended: Promise<unknown>[] = [];
  const service = {
    batchExecute: (_: unknown, { signal }: { signal: AbortSignal }): Promise<never> => {
      calls += 1;
      ended.push(new Promise((resolve) => signal.addEventListener("abort", resolve)));
      return new Promise<never>(() => undefined);
    },
  };
  const { pf } = scripted(service, { clock: SYSTEM_CLOCK });
  const inputs = Array.from({ length: 9_000 }, () => ({ text: "x" }));
  await assert.rejects(pf.sentimentAnalysis.runBatch(inputs, { timeoutMs: 500 }), { code: "DEADLINE_EXCEEDED" });
  const abort = new AbortController();
  const running = pf.sentimentAnalysis.runBatch(inputs, { signal: abort.signal });
  setImmediate(() => abort.abort(new Error("enough")));
  await assert.rejects(running, { message: "enough" });
  await Promise.all(ended);
  assert.ok(calls <= 8, `${calls} calls`);
});

test("many calls at once follow one signal without a warning of Node's", async () => {
  const warnings: Error[] = [];
  const onWarning = (warning: Error): number => warnings.push(warning);
  process.on("warning", onWarning);
  const { pf } = scripted({ getInfo: () => new Promise(() => undefined) });
  const abort = new AbortController();
  const calls = Array.from({ length: 40 }, () => pf.sentimentAnalysis.info({ signal: abort.signal }));
  await new Promise((resolve) => setImmediate(resolve));
  abort.abort(new Error("enough"));
  for (const call of calls) {
    await assert.rejects(call, { message: "enough" });
  }
  const others = Array.from({ length: 40 }, () => pf.sentimentAnalysis.info());
  pf.close();
  for (const call of others) {
    await assert.rejects(call, /closed/);
  }
  await new Promise((resolve) => setImmediate(resolve));
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []);
});

test("read masks travel with what the client needs itself, after a cut too", async () => {
  const masks: (readonly string[] | undefined)[] = [];
  const { pf } = scripted({
    async *executeStream({ options }) {
      masks.push(options?.readMask?.paths);
      yield started(1);
      throw said(Code.Unavailable);
    },
    async *watch({ readMask }) {
      masks.push(readMask?.paths);
      yield done(2);
    },
    getStatus({ executionId, readMask }) {
      masks.push(readMask?.paths);
      return { executionId };
    },
  });
  const flow = pf.sentimentAnalysis;
  await flow.run({ text: "x" }, { readMask: ["steps.analyze"] });
  for await (const _ of flow.stream({ text: "x" }, { readMask: ["result.analyze"] })) {
    // Only what is asked for counts here.
  }
  for await (const _ of flow.handle(RUN).events({ readMask: ["status"] })) {
    // As above.
  }
  await flow.handle(RUN).status({ readMask: ["progress"] });
  await flow.handle(RUN).status({ readMask: [] });
  const needed = ["execution_id", "status", "error"];
  const ofRun = ["steps.analyze", "result", ...needed];
  const ofStream = ["result.analyze", ...needed];
  const ofEvents = ["status", "execution_id", "error"];
  assert.deepEqual(masks, [ofRun, ofRun, ofStream, ofStream, ofEvents, ["progress", ...needed], undefined]);
});

test("an API key goes with every call", async () => {
  const keys: (string | null)[] = [];
  const { pf } = scripted(
    {
      getInfo(_, { requestHeader }) {
        keys.push(requestHeader.get("x-api-key"));
        return {};
      },
      async *executeStream(_, { requestHeader }) {
        keys.push(requestHeader.get("x-api-key"));
        yield done(1);
      },
    },
    { metadata: apiKey("secret") },
  );
  await pf.sentimentAnalysis.info();
  await pf.sentimentAnalysis.run({ text: "x" });
  assert.deepEqual(keys, ["secret", "secret"]);
});
