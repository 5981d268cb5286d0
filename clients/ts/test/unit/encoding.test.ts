import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { PromptFlowError } from "promptflow-grpc-client";
import { encodeInputs } from "#dist/encoding.js";
import { ExecuteRequestSchema } from "#dist/gen/promptflow_api/flows/conditional_processing/v1/conditional_processing_pb.js";
import { ExecutionMetadataSchema } from "#dist/gen/promptflow_api/v1/execution_pb.js";

const DAY_MS = 86_400_000;

const MISFITS: Readonly<Record<string, [unknown, string]>> = {
  "no object": ["text", ""],
  "a list": [[], ""],
  "a number for a text": [{ text: 1 }, "text"],
  "null for a text": [{ text: null }, "text"],
  "a text for a number": [{ amount: "1" }, "amount"],
  "a bigint for a number": [{ amount: 1n }, "amount"],
  "a name of every object": [{ constructor: "x" }, "constructor"],
  "a name that changes prototypes": [JSON.parse('{"__proto__": 1}'), "__proto__"],
  "what only the client sets": [{ options: {} }, "options"],
};

for (const [name, [inputs, path]] of Object.entries(MISFITS)) {
  test(`${name} is refused by its path`, async () => {
    await assert.rejects(encodeInputs(inputs, withoutOptions(), create(ExecuteRequestSchema)), (error: PromptFlowError) => {
      assert.deepEqual([error.code, error.reason], ["INVALID_ARGUMENT", "INVALID_INPUT"]);
      assert.deepEqual(
        error.violations.map(({ field }) => field),
        [path],
      );
      return true;
    });
  });
}

test("what is undefined is absent, and zero is a value", async () => {
  const request = create(ExecuteRequestSchema);
  await encodeInputs({ text: undefined, amount: 0 }, withoutOptions(), request);
  assert.deepEqual([request.text, request.amount], [undefined, 0]);
});

for (const [name, moment] of Object.entries({
  "no date": new Date(Number.NaN),
  "before the year 1": new Date(-62_135_596_800_000 - DAY_MS),
  "after the year 9999": new Date(253_402_300_799_999 + DAY_MS),
})) {
  test(`a timestamp that is ${name} is refused`, async () => {
    const request = create(ExecutionMetadataSchema);
    await assert.rejects(encodeInputs({ createdAt: moment }, ExecutionMetadataSchema, request), PromptFlowError);
  });
}

test("a date before 1970 keeps its place", async () => {
  const request = create(ExecutionMetadataSchema);
  await encodeInputs({ createdAt: new Date(-1) }, ExecutionMetadataSchema, request);
  assert.deepEqual([request.createdAt?.seconds, request.createdAt?.nanos], [-1n, 999_000_000]);
});

function withoutOptions(): typeof ExecuteRequestSchema {
  const { options: _, executionMode: __, ...field } = ExecuteRequestSchema.field;
  return { ...ExecuteRequestSchema, field } as typeof ExecuteRequestSchema;
}
