/** A server that dies in mid-stream: PROMPTFLOW_ADDRESS, PROMPTFLOW_PROTOCOL, PROMPTFLOW_SERVER (its pid), PROMPTFLOW_PAGE. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Protocol } from "promptflow-grpc-client";
import { PromptFlow } from "promptflow-grpc-client/api";

const { PROMPTFLOW_ADDRESS: address = "", PROMPTFLOW_SERVER: server = "", PROMPTFLOW_PAGE: page = "" } = process.env;
const protocol = process.env["PROMPTFLOW_PROTOCOL"] as Protocol;

test("a stream goes on after SIGKILL of the server, and no event is lost or seen twice", async () => {
  const pf = new PromptFlow(address, { protocol, retry: { patienceMs: 60_000 } });
  const seen: number[] = [];
  let status = "";
  for await (const event of pf.documentInsight.stream({ document: page })) {
    if (event.sequence > 0) {
      seen.push(event.sequence);
    }
    if (event.sequence === 2) {
      process.kill(Number(server), "SIGKILL");
    }
    if (event.type === "done") {
      ({ status } = event.execution);
    }
  }
  assert.equal(status, "COMPLETED");
  assert.deepEqual(
    seen,
    Array.from(seen, (_, index) => index + 1),
  );
  pf.close();
});
