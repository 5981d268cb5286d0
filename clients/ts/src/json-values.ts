/** JSON values and their message form, `google.protobuf.Value`. */

import { create } from "@bufbuild/protobuf";
import { ListValueSchema, NullValue, StructSchema, type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { isPlain, put, shown } from "./objects.js";

/** What JSON can hold. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Deeper values would not survive: parsers of messages stop at 100 levels, and one level of JSON takes three. */
export const MAX_DEPTH = 24;

/** A value that JSON, or its message form, cannot hold; `path` leads to it. */
export class JsonMisfit extends Error {
  readonly path: string;

  constructor(message: string, path: string) {
    super(message);
    this.path = path;
  }
}

/** A value as a message; keys whose value is undefined are left out, as `JSON.stringify` does. */
export function encodeJson(value: unknown, path: string, depth = 0): Value {
  if (depth > MAX_DEPTH) {
    throw new JsonMisfit(`nests deeper than ${MAX_DEPTH} levels`, path);
  }
  switch (typeof value) {
    case "boolean":
      return create(ValueSchema, { kind: { case: "boolValue", value } });
    case "string":
      return create(ValueSchema, { kind: { case: "stringValue", value } });
    case "number":
      if (!Number.isFinite(value)) {
        throw new JsonMisfit(`${value} is no JSON number`, path);
      }
      return create(ValueSchema, { kind: { case: "numberValue", value } });
    case "bigint":
      throw new JsonMisfit(`${value} is a bigint, which JSON lacks; send it as text, or as a number up to 2^53`, path);
    default:
      return encodeComposite(value, path, depth);
  }
}

function encodeComposite(value: unknown, path: string, depth: number): Value {
  if (value === null) {
    return create(ValueSchema, { kind: { case: "nullValue", value: NullValue.NULL_VALUE } });
  }
  if (Array.isArray(value)) {
    const values = Array.from(value, (item, index) => encodeJson(item, `${path}[${index}]`, depth + 1));
    return create(ValueSchema, { kind: { case: "listValue", value: create(ListValueSchema, { values }) } });
  }
  if (isPlain(value)) {
    const struct = create(StructSchema);
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined) {
        put(struct.fields, key, encodeJson(item, `${path}.${key}`, depth + 1));
      }
    }
    return create(ValueSchema, { kind: { case: "structValue", value: struct } });
  }
  throw new JsonMisfit(`${shown(value)} is no JSON value`, path);
}

/** A message as a value. */
export function decodeJson(message: Value): JsonValue {
  const { kind } = message;
  switch (kind.case) {
    case "boolValue":
    case "numberValue":
    case "stringValue":
      return kind.value;
    case "listValue":
      return kind.value.values.map(decodeJson);
    case "structValue": {
      const found = {};
      for (const [key, item] of Object.entries(kind.value.fields)) {
        put(found, key, decodeJson(item));
      }
      return found;
    }
    default:
      return null;
  }
}
