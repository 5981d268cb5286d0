/** What may be given as a file: a path, bytes, a blob, a stream, or a `FlowFile` that says more. */

import { readPath } from "#platform";
import { isPlain } from "./objects.js";

/** A file: its bytes, or where they are; exactly one of `content`, `fileId` and `uri` is set. */
export interface FlowFile {
  readonly content?: Uint8Array;
  readonly fileId?: string;
  readonly uri?: string;
  readonly contentType: string;
  readonly name: string;
}

/** A file to be sent, of which only the source must be told. */
export interface FileParts {
  readonly content?: Uint8Array | undefined;
  readonly fileId?: string | undefined;
  readonly uri?: string | undefined;
  readonly contentType?: string | undefined;
  readonly name?: string | undefined;
}

/**
 * A text is a path, and a `URL` a `file:` URL, both in Node alone; bytes at an address are `{ uri }`. A stream is read
 * to its end before anything is sent.
 */
export type FileSource =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | FileParts;

const TYPES: Readonly<Record<string, string>> = {
  bmp: "image/bmp",
  csv: "text/csv",
  gif: "image/gif",
  html: "text/html",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  json: "application/json",
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  ogg: "audio/ogg",
  pdf: "application/pdf",
  png: "image/png",
  tif: "image/tiff",
  tiff: "image/tiff",
  txt: "text/plain",
  wav: "audio/wav",
  webp: "image/webp",
};

/** Why a value is no file; undefined: `loadFile` takes it. */
export function fileMisfit(value: unknown): string | undefined {
  if (isStream(value) || value instanceof Uint8Array || value instanceof ArrayBuffer || value instanceof Blob) {
    return undefined;
  }
  if (typeof value === "string" || value instanceof URL) {
    return readPath === undefined ? "a path can be read in Node alone; give a Blob, bytes or a stream" : undefined;
  }
  if (!isPlain(value)) {
    return "it is no path, bytes, Blob, stream or { content | fileId | uri }";
  }
  const { content, fileId, uri, contentType, name } = value;
  const sources = [content, fileId, uri].filter((source) => source !== undefined);
  if (sources.length !== 1) {
    return "exactly one of `content`, `fileId` and `uri` makes a file";
  }
  if (content !== undefined && !(content instanceof Uint8Array)) {
    return "`content` is no Uint8Array";
  }
  const texts = [fileId, uri, contentType, name].filter((text) => text !== undefined);
  return texts.every((text) => typeof text === "string") ? undefined : "what describes a file is text";
}

/** Read a source to its end, and guess its content type by its name. */
export async function loadFile(source: FileSource): Promise<FlowFile> {
  if (typeof source === "string" || source instanceof URL) {
    const { content, name } = await (readPath as NonNullable<typeof readPath>)(source);
    return named(content, name);
  }
  if (source instanceof Uint8Array) {
    return named(source, "");
  }
  if (source instanceof ArrayBuffer) {
    return named(new Uint8Array(source), "");
  }
  if (source instanceof Blob) {
    const name = "name" in source && typeof source.name === "string" ? source.name : "";
    return named(new Uint8Array(await source.arrayBuffer()), name, source.type);
  }
  if (isStream(source)) {
    return named(await drained(source), "");
  }
  const { contentType, name = "", ...where } = source;
  const given = Object.entries(where).filter(([, value]) => value !== undefined);
  return { ...(Object.fromEntries(given) as object), name, contentType: contentType || guess(name) };
}

function isStream(value: unknown): value is ReadableStream<Uint8Array> | AsyncIterable<Uint8Array> {
  return typeof value === "object" && value !== null && (Symbol.asyncIterator in value || "getReader" in value);
}

async function drained(stream: ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  // Not every browser iterates its streams.
  if ("getReader" in stream) {
    const reader = stream.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      chunks.push(bytesOf(read.value));
    }
  } else {
    for await (const chunk of stream) {
      chunks.push(bytesOf(chunk));
    }
  }
  const content = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    content.set(chunk, offset);
    offset += chunk.length;
  }
  return content;
}

function bytesOf(chunk: unknown): Uint8Array {
  if (!(chunk instanceof Uint8Array)) {
    throw new TypeError(`the stream gave ${typeof chunk}, not Uint8Array; open it without an encoding`);
  }
  return chunk;
}

function named(content: Uint8Array, name: string, contentType = ""): FlowFile {
  return { content, name, contentType: contentType || guess(name) };
}

function guess(name: string): string {
  return TYPES[name.slice(name.lastIndexOf(".") + 1).toLowerCase()] ?? "";
}
