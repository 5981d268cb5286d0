/**
 * What every generated PromptFlow client stands on: typed runs of flows, over gRPC in Node and grpc-web in browsers.
 *
 * It knows no flow: messages are read and written by their descriptors, and a generated module adds the types. It never
 * starts a run twice: every request carries an id, and only that is sent again.
 *
 * promptflow   one PromptFlow at one address
 * connection   one transport: headers, deadlines, calls tried again
 * platform/    what differs between Node and browsers
 * flow         the base of a generated flow client
 * handle       one run: its result, events, status, cancel
 * calls        the calls of one flow, typed; what flow and handle share
 * following    the events of a run in one piece, however often the stream is cut
 * lists        runs and flows, page after page
 * contract     what the messages of a flow mean
 * retry        how long a call is tried, and how long between
 * events       what happens in a run
 * executions   a run as it stands
 * encoding     values into messages
 * decoding     messages into values
 * json-values  JSON values and their message form
 * times        timestamps and durations with all their digits
 * files        what may be given as a file
 * objects      plain objects whose keys come from others
 * credentials  headers that say who calls
 * errors       the one error, and the table that makes it of gRPC statuses
 * gen/         generated: messages, and the clients of the shipped flows
 */

export type { BatchOutcome, ReadOptions, RunOptions } from "./calls.js";
export type { CallOptions, ConnectionOptions } from "./connection.js";
export { Connection } from "./connection.js";
export { apiKey, bearer, type MetadataHook } from "./credentials.js";
export type { Promised } from "./decoding.js";
export {
  type ErrorDetails,
  type KnownReason,
  PromptFlowError,
  type Reason,
  type StatusCode,
  type Violation,
} from "./errors.js";
export type {
  Begun,
  Done,
  Event,
  EventBase,
  StepEventBase,
  StepFailed,
  StepProgress,
  StepRetrying,
  StepSkipped,
  StepStarted,
  StepValueEvent,
} from "./events.js";
export {
  type ComponentHealth,
  type Execution,
  type ExecutionMetadata,
  type ExecutionStatus,
  type ExecutionSummary,
  type FlowInfo,
  type FlowSummary,
  type ForEachStep,
  type Health,
  isTerminal,
  type Item,
  type Plan,
  type PlannedStep,
  type Progress,
  type Step,
  type StepState,
  type StepStatus,
} from "./executions.js";
export type { FileParts, FileSource, FlowFile } from "./files.js";
export { FlowClient, type InputsAnd } from "./flow.js";
export { type EventOptions, Handle } from "./handle.js";
export type { JsonValue } from "./json-values.js";
export type { FlowListOptions, ListOptions, PageOptions } from "./lists.js";
export type { Protocol, TransportOptions } from "./platform/platform.js";
export { PromptFlowBase } from "./promptflow.js";
export { type Clock, type RetryPolicy } from "./retry.js";
export { Duration, Timestamp } from "./times.js";
