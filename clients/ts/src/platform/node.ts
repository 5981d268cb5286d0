/** What Node has and browsers lack: gRPC over HTTP/2, and files. */

import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { compressionGzip, createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import type { OpenTransport, ReadPath } from "./platform.js";

const MAX_RECEIVED_BYTES = 64 * 1024 * 1024;
/** Below, compressing costs more than it saves. */
const MIN_COMPRESSED_BYTES = 1024;

export const openTransport: OpenTransport = (baseUrl, options) => {
  if (options.protocol === "grpc-web") {
    return { transport: createGrpcWebTransport({ baseUrl }), close: () => undefined };
  }
  // A peer that vanished without a word is noticed within half a minute; pings only while a call is open.
  const ping = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000 };
  const sessionManager = new Http2SessionManager(baseUrl, ping, options.nodeOptions);
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    readMaxBytes: MAX_RECEIVED_BYTES,
    acceptCompression: options.gzip === false ? [] : [compressionGzip],
    compressMinBytes: MIN_COMPRESSED_BYTES,
    ...(options.gzip === false ? {} : { sendCompression: compressionGzip }),
  });
  return { transport, close: () => sessionManager.abort() };
};

export const readPath: ReadPath | undefined = async (path) => {
  const file = typeof path === "string" ? path : fileURLToPath(path);
  return { content: await readFile(file), name: basename(file) };
};
