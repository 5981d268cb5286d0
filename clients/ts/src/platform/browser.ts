/** Browsers speak grpc-web alone, and see no paths. */

import { createGrpcWebTransport } from "@connectrpc/connect-web";
import type { OpenTransport, ReadPath } from "./platform.js";

export const openTransport: OpenTransport = (baseUrl, options) => {
  if (options.protocol === "grpc") {
    throw new RangeError("a browser cannot speak gRPC; leave `protocol` out, and give the gateway's address");
  }
  return { transport: createGrpcWebTransport({ baseUrl }), close: () => undefined };
};

export const readPath: ReadPath | undefined = undefined;
