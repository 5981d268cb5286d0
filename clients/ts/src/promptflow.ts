/** One PromptFlow at one address: what generated clients with a property per flow stand on. */

import { Connection, type ConnectionOptions } from "./connection.js";
import type { ExecutionSummary, FlowSummary } from "./executions.js";
import { type FlowListOptions, listExecutions, listFlows, type ListOptions } from "./lists.js";

/** One PromptFlow, reached at an address; a generated subclass has a property per flow. It connects with the first call. */
export class PromptFlowBase {
  readonly connection: Connection;

  /**
   * `address` is `host:port` or a URL; `https:` for TLS. In Node it is the server's gRPC port or the gateway's, in a
   * browser the gateway's.
   */
  constructor(address: string, options: ConnectionOptions = {}) {
    this.connection = new Connection(address, options);
  }

  /** Runs, the newest first; pages are fetched as the loop goes on. */
  executions(options: ListOptions = {}): AsyncGenerator<ExecutionSummary, void, undefined> {
    return listExecutions(this.connection, options);
  }

  /** The flows that are served, by name and version. */
  flows(options: FlowListOptions = {}): AsyncGenerator<FlowSummary, void, undefined> {
    return listFlows(this.connection, options);
  }

  /** End all calls and the connection; runs go on. */
  close(): void {
    this.connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
