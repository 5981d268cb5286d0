/** One PromptFlow at one address: what generated clients with a property per flow stand on. */

import { type CallOptions, Connection, type ConnectionOptions, messageOf } from "./connection.js";
import { metadataOf, progressOf, statusOf } from "./contract.js";
import { errorOfStatus } from "./errors.js";
import type { ExecutionStatus, ExecutionSummary, FlowSummary } from "./executions.js";
import { ExecutionStatus_Value } from "./gen/promptflow_api/v1/execution_pb.js";
import {
  ExecutionService,
  type ExecutionSummary as WireSummary,
  ListExecutionsRequestSchema,
} from "./gen/promptflow_api/v1/execution_service_pb.js";
import { FlowService, ListFlowsRequestSchema } from "./gen/promptflow_api/v1/flow_service_pb.js";

/** Which runs to list; without anything, all of them. `timeoutMs` bounds each page. */
export interface ListOptions extends CallOptions {
  readonly flow?: string | undefined;
  readonly version?: number | undefined;
  readonly statuses?: readonly ExecutionStatus[] | undefined;
  /** How many come in one call. */
  readonly pageSize?: number | undefined;
}

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
  async *executions(options: ListOptions = {}): AsyncGenerator<ExecutionSummary, void, undefined> {
    const { flow = "", version = 0, pageSize = 0, statuses = [] } = options;
    const wanted = statuses.map((name) => ExecutionStatus_Value[name === "UNSPECIFIED" ? "VALUE_UNSPECIFIED" : name]);
    for (let pageToken = ""; ; ) {
      const fields = { flow, version, pageSize, statuses: wanted, pageToken };
      const request = messageOf(ListExecutionsRequestSchema, fields);
      const page = await this.connection.call(ExecutionService.method.listExecutions, request, options);
      yield* page.executions.map(summaryOf);
      pageToken = page.nextPageToken;
      if (pageToken === "") {
        return;
      }
    }
  }

  /** The flows that are served, by name and version. */
  async *flows(options: CallOptions & { readonly pageSize?: number } = {}): AsyncGenerator<FlowSummary, void, undefined> {
    for (let pageToken = ""; ; ) {
      const request = messageOf(ListFlowsRequestSchema, { pageSize: options.pageSize ?? 0, pageToken });
      const page = await this.connection.call(FlowService.method.listFlows, request, options);
      for (const { flow, version, description, service, path } of page.flows) {
        yield { flow, version, description, service, path };
      }
      pageToken = page.nextPageToken;
      if (pageToken === "") {
        return;
      }
    }
  }

  /** End all calls and the connection; runs go on. */
  close(): void {
    this.connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function summaryOf(message: WireSummary): ExecutionSummary {
  const { executionId, flow, version, status, progress, error, metadata } = message;
  return {
    executionId,
    flow,
    version,
    status: statusOf(status),
    progress: progressOf(progress),
    ...(error === undefined ? {} : { error: errorOfStatus(error).with({ execution_id: executionId }) }),
    metadata: metadataOf(metadata),
  };
}
