/** Values into the fields of a request, driven by its descriptor; every mistake is told at once. */

import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { PromptFlowError, type Violation } from "./errors.js";
import { fileMisfit, type FileSource, type FlowFile, loadFile } from "./files.js";
import { encodeJson, JsonMisfit } from "./json-values.js";
import { isPlain, put, shown } from "./objects.js";
import { Duration, Timestamp } from "./times.js";

const MAX_DURATION_S = 315_576_000_000;
/** 0001-01-01 and the end of 9999: what the wire takes. */
const MOMENTS_MS = [-62_135_596_800_000, 253_402_300_799_999] as const;
const INT64 = [-(2n ** 63n), 2n ** 63n - 1n] as const;
const INT32 = [-(2 ** 31), 2 ** 31 - 1] as const;

/** A message as a bag of properties: what there is, only descriptors know. */
export type Fields = Record<string, unknown>;

/** Set the inputs of a request and read its files; undefined is absent. Rejects with INVALID_ARGUMENT. */
export async function encodeInputs(inputs: unknown, desc: DescMessage, request: Message): Promise<void> {
  const encoder = new Encoder();
  if (isPlain(inputs)) {
    encoder.fields(inputs, desc, request as unknown as Fields, "");
  } else {
    encoder.refuse("", `${shown(inputs)} is no object of inputs`);
  }
  const { violations, files } = encoder;
  if (violations.length > 0) {
    const message = violations.length === 1 ? "an input does not fit" : `${violations.length} inputs do not fit`;
    throw new PromptFlowError("INVALID_ARGUMENT", message, { reason: "INVALID_INPUT", violations });
  }
  for (const { target, source } of files) {
    setFile(target, await loadFile(source));
  }
}

class Misfit extends Error {}

/** One walk over the inputs; collects what is wrong and which files are to be read. */
class Encoder {
  readonly violations: Violation[] = [];
  readonly files: { target: Fields; source: FileSource }[] = [];

  refuse(path: string, description: string): void {
    this.violations.push({ field: path, description });
  }

  fields(values: Readonly<Record<string, unknown>>, desc: DescMessage, target: Fields, path: string): void {
    for (const [key, value] of Object.entries(values)) {
      const field = Object.hasOwn(desc.field, key) ? desc.field[key] : undefined;
      const inside = path === "" ? (field?.name ?? key) : `${path}.${field?.name ?? key}`;
      if (field === undefined) {
        this.refuse(inside, `there is no such field; there are ${Object.keys(desc.field).join(", ")}`);
      } else if (value !== undefined) {
        this.#field(field, value, target, inside);
      }
    }
  }

  #field(field: DescField, value: unknown, target: Fields, path: string): void {
    if (field.fieldKind === "list") {
      this.#list(field, value, target, path);
    } else if (field.fieldKind === "map") {
      this.#map(field, value, target, path);
    } else {
      const encoded = this.#single(field, value, path);
      if (encoded !== undefined) {
        target[field.localName] = encoded;
      }
    }
  }

  #list(field: DescField & { fieldKind: "list" }, value: unknown, target: Fields, path: string): void {
    if (!Array.isArray(value)) {
      this.refuse(path, `${shown(value)} is no array`);
      return;
    }
    const items: unknown[] = [];
    // By index, so that holes are found as well.
    for (let index = 0; index < value.length; index += 1) {
      items.push(this.#single(field, value[index], `${path}[${index}]`));
    }
    target[field.localName] = items;
  }

  #map(field: DescField & { fieldKind: "map" }, value: unknown, target: Fields, path: string): void {
    if (!isPlain(value)) {
      this.refuse(path, `${shown(value)} is no object of keys and values`);
      return;
    }
    const entries = {};
    for (const [key, item] of Object.entries(value)) {
      put(entries, key, this.#single(field, item, `${path}[${key}]`));
    }
    target[field.localName] = entries;
  }

  /** One value that is no list and no map; undefined where it was refused. */
  #single(field: DescField, value: unknown, path: string): unknown {
    try {
      if (field.message !== undefined) {
        return this.#message(field.message, value, path);
      }
      return field.enum === undefined ? scalar(field.scalar, value) : enumNumber(field.enum, value);
    } catch (error) {
      if (error instanceof JsonMisfit) {
        this.refuse(error.path, error.message);
      } else if (error instanceof Misfit) {
        this.refuse(path, error.message);
      } else {
        throw error;
      }
      return undefined;
    }
  }

  #message(desc: DescMessage, value: unknown, path: string): Message | undefined {
    switch (desc.typeName) {
      case "google.protobuf.Value":
        return encodeJson(value, path);
      case "google.protobuf.Timestamp":
        return timestamp(value);
      case "google.protobuf.Duration":
        return duration(value);
      case "promptflow_api.v1.File":
        return this.#file(desc, value);
      default:
        return this.#object(desc, value, path);
    }
  }

  #file(desc: DescMessage, value: unknown): Message {
    const misfit = fileMisfit(value);
    if (misfit !== undefined) {
      throw new Misfit(misfit);
    }
    const target = create(desc);
    this.files.push({ target: target as unknown as Fields, source: value as FileSource });
    return target;
  }

  #object(desc: DescMessage, value: unknown, path: string): Message {
    if (!isPlain(value)) {
      throw new Misfit(`${shown(value)} is no object`);
    }
    const target = create(desc);
    this.fields(value, desc, target as unknown as Fields, path);
    return target;
  }
}

function setFile(target: Fields, file: FlowFile): void {
  for (const name of ["content", "fileId", "uri"] as const) {
    if (file[name] !== undefined) {
      target["source"] = { case: name, value: file[name] };
    }
  }
  target["contentType"] = file.contentType;
  target["name"] = file.name;
}

function scalar(kind: ScalarType | undefined, value: unknown): unknown {
  switch (kind) {
    case ScalarType.STRING:
      return expected(typeof value === "string", value, "string");
    case ScalarType.BYTES:
      return expected(value instanceof Uint8Array, value, "Uint8Array");
    case ScalarType.BOOL:
      return expected(typeof value === "boolean", value, "boolean");
    case ScalarType.DOUBLE:
      return expected(typeof value === "number", value, "number");
    case ScalarType.INT32:
      expected(Number.isInteger(value), value, "integer");
      return within(value as number, INT32);
    default:
      return int64(value);
  }
}

function int64(value: unknown): bigint {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new Misfit(`${value} is beyond 2^53, where a number loses digits; give a bigint`);
  }
  expected(typeof value === "bigint" || Number.isInteger(value), value, "integer");
  return within(BigInt(value as bigint | number), INT64);
}

function within<T extends number | bigint>(value: T, [lowest, highest]: readonly [T, T]): T {
  if (value < lowest || value > highest) {
    throw new Misfit(`${value} is out of range`);
  }
  return value;
}

function expected(isRight: boolean, value: unknown, kind: string): unknown {
  if (!isRight) {
    throw new Misfit(`${shown(value)} is no ${kind}`);
  }
  return value;
}

function enumNumber(desc: DescEnum, value: unknown): number {
  const known = desc.values.filter((entry) => entry.number !== 0);
  const found = known.find((entry) => entry.name === value);
  if (found === undefined) {
    throw new Misfit(`${shown(value)} is none of ${known.map((entry) => entry.name).join(", ")}`);
  }
  return found.number;
}

function timestamp(value: unknown): Message {
  expected(value instanceof Date, value, "Date");
  const epochMs = (value as Date).getTime();
  if (Number.isNaN(epochMs)) {
    throw new Misfit("an invalid Date names no moment");
  }
  within(epochMs, MOMENTS_MS);
  const seconds = Math.floor(epochMs / 1000);
  const more = value instanceof Timestamp ? value.nanosOfMillisecond : 0;
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (epochMs - seconds * 1000) * 1_000_000 + more });
}

function duration(value: unknown): Message {
  expected(value instanceof Duration || Number.isFinite(value), value, "Duration or number of milliseconds");
  const { seconds, nanos } = value instanceof Duration ? value : Duration.fromMs(value as number);
  if (!Number.isInteger(seconds) || !Number.isInteger(nanos) || Math.abs(nanos) > 999_999_999 || seconds * nanos < 0) {
    throw new Misfit(`${seconds} seconds and ${nanos} nanoseconds are no duration`);
  }
  within(seconds, [-MAX_DURATION_S, MAX_DURATION_S]);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos });
}
