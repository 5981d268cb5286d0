/** Messages into plain objects: each field by its name, its kind by its descriptor. */

import { create, type DescField, type DescMessage, isFieldSet, type Message, ScalarType } from "@bufbuild/protobuf";
import type { Duration as WireDuration, Timestamp as WireTimestamp, Value } from "@bufbuild/protobuf/wkt";
import type { Fields } from "./encoding.js";
import { decodeJson } from "./json-values.js";
import { put } from "./objects.js";
import { Duration, Timestamp } from "./times.js";

/**
 * The fields of messages, by their full names, that a flow promises to fill. One that a newer server leaves out all the
 * same reads as the empty value of its type, so that what the types say stays true.
 */
export type Promised = Readonly<Record<string, readonly string[]>>;

/** A message as the plain object that a generated type describes. */
export function decodeMessage(message: Message, desc: DescMessage, promised: Promised): object {
  const found = {};
  const fields = message as unknown as Fields;
  const always = promised[desc.typeName] ?? [];
  for (const field of desc.fields) {
    const value = decodeField(field, fields, message, promised);
    if (value !== undefined) {
      put(found, field.localName, value);
    } else if (always.includes(field.localName)) {
      put(found, field.localName, emptyOf(field, promised));
    }
  }
  return found;
}

function decodeField(field: DescField, fields: Fields, message: Message, promised: Promised): unknown {
  const value = fields[field.localName];
  switch (field.fieldKind) {
    case "list":
      return (value as readonly unknown[]).map((item) => decodeSingle(field, item, promised));
    case "map": {
      const entries = {};
      for (const [key, item] of Object.entries(value as object)) {
        put(entries, key, decodeSingle(field, item, promised));
      }
      return entries;
    }
    default:
      return isFieldSet(message, field) ? decodeSingle(field, value, promised) : undefined;
  }
}

function decodeSingle(field: DescField, value: unknown, promised: Promised): unknown {
  if (field.enum !== undefined) {
    // A value younger than this client reads as its number.
    return value === 0 ? undefined : (field.enum.value[value as number]?.name ?? String(value));
  }
  if (field.message === undefined) {
    return value;
  }
  switch (field.message.typeName) {
    case "google.protobuf.Timestamp":
      return decodeTime(value as WireTimestamp);
    case "google.protobuf.Duration":
      return decodeDuration(value as WireDuration);
    case "google.protobuf.Value":
      return decodeJson(value as Value);
    case "promptflow_api.v1.File":
      return decodeFile(value as Fields);
    default:
      return decodeMessage(value as Message, field.message, promised);
  }
}

function emptyOf(field: DescField, promised: Promised): unknown {
  if (field.message !== undefined) {
    return decodeSingle(field, create(field.message), promised);
  }
  switch (field.scalar) {
    case undefined:
      return undefined;
    case ScalarType.STRING:
      return "";
    case ScalarType.BOOL:
      return false;
    case ScalarType.BYTES:
      return new Uint8Array();
    case ScalarType.INT64:
      return 0n;
    default:
      return 0;
  }
}

function decodeFile(message: Fields): object {
  const source = message["source"] as { case?: string; value?: unknown };
  const where = source.case === undefined ? {} : { [source.case]: source.value };
  return { ...where, contentType: message["contentType"], name: message["name"] };
}

/** A moment with all its digits. */
export function decodeTime(message: WireTimestamp): Timestamp {
  const millis = Math.floor(message.nanos / 1_000_000);
  return new Timestamp(Number(message.seconds) * 1000 + millis, message.nanos - millis * 1_000_000);
}

/** A span of time with all its digits. */
export function decodeDuration(message: WireDuration): Duration {
  return new Duration(Number(message.seconds), message.nanos);
}
