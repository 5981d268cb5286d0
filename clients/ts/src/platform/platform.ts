/** What differs between Node and browsers; `#platform` in package.json chooses. */

import type { Transport } from "@connectrpc/connect";

/** `grpc` needs Node; `grpc-web` needs the gateway. */
export type Protocol = "grpc" | "grpc-web";

/** How to reach a server. */
export interface TransportOptions {
  readonly protocol?: Protocol | undefined;
  /** Compress what is large, and accept what the server compresses; on unless false. gRPC in Node alone. */
  readonly gzip?: boolean | undefined;
  /** Passed to `http2.connect` in Node: `ca`, `cert`, `key` and the like. */
  readonly nodeOptions?: Readonly<Record<string, unknown>> | undefined;
}

/** A way to a server, and how to end it. */
export interface OpenedTransport {
  readonly transport: Transport;
  close(): void;
}

export type OpenTransport = (baseUrl: string, options: TransportOptions) => OpenedTransport;
export type ReadPath = (path: string | URL) => Promise<{ content: Uint8Array; name: string }>;
