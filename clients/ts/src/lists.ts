/** Lists of what a PromptFlow holds, page after page, each fetched when the reader comes to it. */

import { type CallOptions, type Connection, messageOf } from "./connection.js";
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

/** How a list is fetched; `timeoutMs` bounds each page. */
export interface FlowListOptions extends CallOptions {
  /** How many come in one call, at most 1000; the server chooses where it is left out. */
  readonly pageSize?: number | undefined;
}

/** Which runs of one flow to list; without `statuses`, those in any. */
export interface PageOptions extends FlowListOptions {
  readonly statuses?: readonly ExecutionStatus[] | undefined;
}

/** Which runs to list; without anything, all of them. */
export interface ListOptions extends PageOptions {
  readonly flow?: string | undefined;
  readonly version?: number | undefined;
}

/** Runs, the newest first. */
export async function* listExecutions(
  connection: Connection,
  options: ListOptions,
): AsyncGenerator<ExecutionSummary, void, undefined> {
  const { flow = "", version = 0, pageSize = 0, statuses = [] } = options;
  const wanted = statuses.map((name) => ExecutionStatus_Value[name === "UNSPECIFIED" ? "VALUE_UNSPECIFIED" : name]);
  yield* pages(async (pageToken) => {
    const fields = { flow, version, pageSize, statuses: wanted, pageToken };
    const request = messageOf(ListExecutionsRequestSchema, fields);
    const page = await connection.call(ExecutionService.method.listExecutions, request, options);
    return [page.executions.map(summaryOf), page.nextPageToken];
  });
}

/** Flows that are served, by name and version. */
export async function* listFlows(
  connection: Connection,
  options: FlowListOptions,
): AsyncGenerator<FlowSummary, void, undefined> {
  yield* pages(async (pageToken) => {
    const request = messageOf(ListFlowsRequestSchema, { pageSize: options.pageSize ?? 0, pageToken });
    const page = await connection.call(FlowService.method.listFlows, request, options);
    const found = page.flows.map(({ flow, version, description, service, path }) => {
      return { flow, version, description, service, path };
    });
    return [found, page.nextPageToken];
  });
}

async function* pages<T>(
  fetch: (token: string) => Promise<[readonly T[], string]>,
): AsyncGenerator<T, void, undefined> {
  for (let token = ""; ; ) {
    const [found, next] = await fetch(token);
    yield* found;
    // A server that gave the same token again would be asked for ever.
    if (next === "" || next === token) {
      return;
    }
    token = next;
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
