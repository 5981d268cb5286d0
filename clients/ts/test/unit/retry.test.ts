import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { PromptFlowError } from "promptflow-grpc-client";
import { Attempts, backoffMs, DEFAULT_RETRY, SYSTEM_CLOCK } from "#dist/retry.js";
import { done, FakeClock, said, scripted } from "./scripted.js";

test("delays grow to their limit and are never near zero", () => {
  const upper = [1, 2, 3, 10, 1000].map((attempt) => backoffMs(attempt, DEFAULT_RETRY, () => 1));
  const lower = [1, 2, 3, 10, 1000].map((attempt) => backoffMs(attempt, DEFAULT_RETRY, () => 0));
  assert.deepEqual(upper, [100, 200, 400, 5000, 5000]);
  assert.deepEqual(lower, [50, 100, 200, 2500, 2500]);
});

test("UNAVAILABLE is tried again", async () => {
  let calls = 0;
  const { pf, clock } = scripted({
    getInfo() {
      calls += 1;
      if (calls === 1) {
        throw said(Code.Unavailable);
      }
      return { flow: "sentiment_analysis" };
    },
  });
  assert.equal((await pf.sentimentAnalysis.info()).flow, "sentiment_analysis");
  assert.deepEqual([calls, clock.slept.length], [2, 1]);
});

test("a delay that the server asks for is kept, and one beyond the deadline is not waited for", async () => {
  const clock = new FakeClock();
  const error = new PromptFlowError("UNAVAILABLE", "later", { retryAfterMs: 3_000 });
  await new Attempts(DEFAULT_RETRY, clock, undefined).wait(error);
  assert.deepEqual(clock.slept, [3_000]);
  await assert.rejects(new Attempts(DEFAULT_RETRY, clock, 2_000).wait(error), { code: "DEADLINE_EXCEEDED" });
  assert.deepEqual(clock.slept, [3_000]);
});

test("a call that never succeeds ends with its last failure once patience is over", async () => {
  const { pf, clock } = scripted(
    {
      getInfo() {
        throw new ConnectError("connect ECONNREFUSED", Code.Unavailable);
      },
    },
    { retry: { patienceMs: 3_000 } },
  );
  await assert.rejects(pf.sentimentAnalysis.info(), { code: "UNAVAILABLE", reason: "" });
  assert.ok(clock.time <= 3_000);
});

test("the deadline ends the tries with DEADLINE_EXCEEDED and the last failure", async () => {
  const { pf } = scripted({
    getInfo() {
      throw said(Code.Unavailable, "away");
    },
  });
  await assert.rejects(pf.sentimentAnalysis.info({ timeoutMs: 500 }), (error: PromptFlowError) => {
    assert.equal(error.code, "DEADLINE_EXCEEDED");
    assert.match(error.message, /away/);
    return true;
  });
});

test("an abort ends a wait at once, with its reason, and leaves no timer", async () => {
  const abort = new AbortController();
  const waiting = SYSTEM_CLOCK.sleep(60_000, abort.signal);
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, { message: "enough" });
  assert.deepEqual(
    process.getActiveResourcesInfo().filter((name) => name === "Timeout"),
    [],
  );
});

test("an abort ends a call that hangs, and a stream that is silent", async () => {
  const { pf } = scripted({
    getInfo: () => new Promise(() => undefined),
    async *executeStream() {
      await new Promise(() => undefined);
    },
  });
  const flow = pf.sentimentAnalysis;
  for (const call of [(signal: AbortSignal) => flow.info({ signal }), (signal: AbortSignal) => flow.run({ text: "x" }, { signal })]) {
    const abort = new AbortController();
    const calling = call(abort.signal);
    setImmediate(() => abort.abort());
    await assert.rejects(calling, { name: "AbortError" });
  }
  await assert.rejects(flow.info({ signal: AbortSignal.abort() }), { name: "AbortError" });
});

test("a deadline ends a call that hangs", async () => {
  const { pf } = scripted({ getInfo: () => new Promise(() => undefined) });
  await assert.rejects(pf.sentimentAnalysis.info({ timeoutMs: 20 }), { code: "DEADLINE_EXCEEDED" });
});

test("a client that is closed ends its calls and makes no more", async () => {
  const { pf } = scripted({ getInfo: () => new Promise(() => undefined) });
  const calling = pf.sentimentAnalysis.info();
  pf.close();
  pf.close();
  await assert.rejects(calling, /closed/);
  await assert.rejects(pf.sentimentAnalysis.info(), /closed/);
});

test("headers are made afresh for each call, and a hook that fails is told as it is", async () => {
  const keys: (string | null)[] = [];
  let count = 0;
  const service = {
    getInfo(_: unknown, context: { requestHeader: Headers }) {
      keys.push(context.requestHeader.get("authorization"));
      return {};
    },
  };
  const { bearer } = await import("promptflow-grpc-client");
  const { pf } = scripted(service, { metadata: bearer(async () => `token-${(count += 1)}`) });
  await pf.sentimentAnalysis.info();
  await pf.sentimentAnalysis.info();
  assert.deepEqual(keys, ["Bearer token-1", "Bearer token-2"]);
  const failing = scripted(service, {
    metadata: () => {
      throw new Error("no token");
    },
  });
  await assert.rejects(failing.pf.sentimentAnalysis.info(), /no token/);
  assert.equal(keys.length, 2);
});

test("the server's own word on a call that answers once is not asked for again", async () => {
  let calls = 0;
  const { pf } = scripted({
    getStatus() {
      calls += 1;
      throw said(Code.NotFound, "no such run");
    },
  });
  await assert.rejects(pf.sentimentAnalysis.handle("x").status(), { code: "NOT_FOUND", message: "no such run" });
  assert.equal(calls, 1);
});

test("an abort and a deadline end a call even where the transport heeds neither", async () => {
  const never = new Promise<never>(() => undefined);
  const transport = { unary: () => never, stream: () => never };
  const flow = scripted({}, { transport }).pf.sentimentAnalysis;
  await assert.rejects(flow.info({ timeoutMs: 10 }), { code: "DEADLINE_EXCEEDED" });
  await assert.rejects(flow.run({ text: "x" }, { timeoutMs: 10 }), { code: "DEADLINE_EXCEEDED" });
  await assert.rejects(flow.run({ text: "x" }, { signal: AbortSignal.timeout(10) }), { name: "TimeoutError" });
});

test("a stream that is silent for too long counts as cut", async () => {
  const never = new Promise<never>(() => undefined);
  const retry = { silenceMs: 10, patienceMs: 1_000 };
  const { pf, clock } = scripted({}, { retry, transport: { unary: () => never, stream: () => never } });
  await assert.rejects(pf.sentimentAnalysis.run({ text: "x" }), { code: "UNAVAILABLE", message: /silent for 10 ms/ });
  assert.ok(clock.slept.length >= 2);
});

test("headers and the deadline go with every call, streams too", async () => {
  const seen: (string | null)[] = [];
  const { pf } = scripted(
    {
      async *executeStream(_, { requestHeader }) {
        seen.push(requestHeader.get("x-api-key"), requestHeader.get("grpc-timeout"));
        yield done(1);
      },
    },
    { metadata: () => ({ "x-api-key": "k" }) },
  );
  await pf.sentimentAnalysis.run({ text: "x" });
  await pf.sentimentAnalysis.run({ text: "x" }, { timeoutMs: 5_000 });
  assert.deepEqual(seen.slice(0, 3), ["k", null, "k"]);
  assert.match(seen[3] ?? "", /^(5000|49\d\d)m$/);
});
