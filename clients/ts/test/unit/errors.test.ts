import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Any, anyPack, AnySchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorOfCall, errorOfStatus } from "#dist/errors.js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "#dist/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "#dist/gen/google/rpc/status_pb.js";

function status(code: number, ...details: Any[]): ReturnType<typeof errorOfStatus> {
  return errorOfStatus(create(StatusSchema, { code, message: "why", details }));
}

test("every detail finds its place, and one of unknown or damaged content is passed over", () => {
  const metadata = { execution_id: "run-1", step: "ocr" };
  const error = status(
    14,
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { reason: "NO_WORKERS", metadata })),
    anyPack(BadRequestSchema, create(BadRequestSchema, { fieldViolations: [{ field: "a[0]", description: "too long" }] })),
    anyPack(RetryInfoSchema, create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } })),
    create(AnySchema, { typeUrl: "type.googleapis.com/acme.Detail", value: new Uint8Array([1]) }),
    create(AnySchema, { typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: new Uint8Array([255]) }),
  );
  assert.deepEqual(
    [error.code, error.reason, error.message, error.executionId, error.step, error.retryAfterMs],
    ["UNAVAILABLE", "NO_WORKERS", "why", "run-1", "ocr", 1500],
  );
  assert.deepEqual(error.violations, [{ field: "a[0]", description: "too long" }]);
  assert.equal(String(error), "NO_WORKERS: why\n  a[0]: too long");
});

test("a status of a later version is UNKNOWN", () => assert.equal(status(99).code, "UNKNOWN"));

test("more metadata does not hide what is known", () => {
  const error = status(13, anyPack(ErrorInfoSchema, create(ErrorInfoSchema, { metadata: { step: "a" } })));
  const more = error.with({ step: "b", execution_id: "run-1" });
  assert.deepEqual([more.step, more.executionId, more.stack], ["a", "run-1", error.stack]);
});

const FAILURES: readonly (readonly [string, unknown, string, string])[] = [
  ["a reset stream", new ConnectError("http/2 stream closed", Code.Internal), "UNAVAILABLE", ""],
  ["a refused connection", new ConnectError("connect", Code.Unavailable), "UNAVAILABLE", ""],
  ["a fetch that failed", new TypeError("Failed to fetch"), "UNAVAILABLE", ""],
  ["trailers that never came", "missing trailer", "UNAVAILABLE", ""],
  [
    "an answer that is no message",
    new ConnectError("premature EOF", Code.Internal, undefined, undefined, new RangeError("premature EOF")),
    "INTERNAL",
    "INTERNAL",
  ],
  ["a proxy that wants a password", new ConnectError("401", Code.Unauthenticated), "UNAUTHENTICATED", ""],
  ["the server's own INTERNAL", new ConnectError("x", Code.Internal, { "grpc-status": "13" }), "INTERNAL", ""],
];

for (const [name, failure, code, reason] of FAILURES) {
  test(`${name} is ${code}`, () => {
    const error = errorOfCall(failure);
    assert.deepEqual([error.code, error.reason], [code, reason]);
  });
}
