/** A run as it stands, and what a flow says of itself. */

import type { PromptFlowError } from "./errors.js";
import type { JsonValue } from "./json-values.js";
import type { Timestamp } from "./times.js";

/** Where a run is. UNSPECIFIED stands for a status that this release does not know. */
export type ExecutionStatus = "UNSPECIFIED" | "QUEUED" | "RUNNING" | "COMPLETED" | "FAILED" | "CANCELLED";

/** Where a step or an item is. UNSPECIFIED stands for a status that this release does not know. */
export type StepStatus =
  | "UNSPECIFIED"
  | "PENDING"
  | "QUEUED"
  | "RUNNING"
  | "RETRYING"
  | "COMPLETED"
  | "FAILED"
  | "SKIPPED"
  | "CANCELLED";

/** `percentage` is 0 to 100 and never falls; the steps named are those that run now. */
export interface Progress {
  readonly percentage: number;
  readonly currentStep: string;
  readonly runningSteps: readonly string[];
}

/** How a step or an item fares; times are absent until they happen. */
export interface StepState {
  readonly status: StepStatus;
  readonly attempts: number;
  readonly startedAt?: Timestamp;
  readonly finishedAt?: Timestamp;
  readonly worker: string;
  readonly error?: PromptFlowError;
}

/** One step; `output` is absent until it has completed. */
export interface Step<Output> {
  readonly state: StepState;
  readonly output?: Output;
}

/** One item of a for_each step; `output` is absent until it has completed. */
export interface Item<Output> extends Step<Output> {
  readonly index: number;
}

/** A step that runs once per item. */
export interface ForEachStep<Output> {
  readonly state: StepState;
  readonly items: readonly Item<Output>[];
}

/** When and where a run took place; times are absent until they happen. */
export interface ExecutionMetadata {
  readonly createdAt?: Timestamp;
  readonly startedAt?: Timestamp;
  readonly finishedAt?: Timestamp;
  readonly server: string;
  readonly bundleDigest: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** One run. `result` is the flow's promise and there once COMPLETED; `steps` is a view, open to change. */
export interface Execution<Result, Steps> {
  readonly executionId: string;
  readonly status: ExecutionStatus;
  readonly progress: Progress;
  readonly result?: Result;
  readonly steps: Steps;
  readonly error?: PromptFlowError;
  readonly metadata: ExecutionMetadata;
}

/** One run of any flow, as lists have it. */
export interface ExecutionSummary {
  readonly executionId: string;
  readonly flow: string;
  readonly version: number;
  readonly status: ExecutionStatus;
  readonly progress: Progress;
  readonly error?: PromptFlowError;
  readonly metadata: ExecutionMetadata;
}

/** One flow that is served. */
export interface FlowSummary {
  readonly flow: string;
  readonly version: number;
  readonly description: string;
  /** The full name of its gRPC service. */
  readonly service: string;
  /** Its REST paths begin with this. */
  readonly path: string;
}

/** A flow as the server runs it. */
export interface FlowInfo {
  readonly flow: string;
  readonly version: number;
  readonly description: string;
  readonly bundleDigest: string;
  readonly definition: Readonly<Record<string, JsonValue>>;
}

/** One part that a flow needs: `redis`, or the pool `queue/<name>`. */
export interface ComponentHealth {
  readonly name: string;
  readonly isServing: boolean;
  readonly message: string;
}

/** `isServing` when every part that the flow needs answers. */
export interface Health {
  readonly isServing: boolean;
  readonly components: readonly ComponentHealth[];
}

/** What a run would do: nothing has run. */
export interface Plan {
  readonly flow: string;
  readonly version: number;
  readonly bundleDigest: string;
  /** In an order that respects what they need. */
  readonly steps: readonly PlannedStep[];
}

/** One step of a plan. */
export interface PlannedStep {
  readonly step: string;
  readonly executor: string;
  /** The pool; "" where the server itself runs it. */
  readonly queue: string;
  readonly needs: readonly string[];
  /** From 0; steps of one stage may run at the same time. */
  readonly stage: number;
  /** UNDECIDED: what other steps find decides. */
  readonly decision: "UNSPECIFIED" | "RUNS" | "SKIPPED" | "UNDECIDED";
  /** Of a for_each; absent where other steps make the list. */
  readonly items?: number;
  /** In the units by which the executor fills batches; absent where only a worker can tell. */
  readonly cost?: number;
  /** Absent where other steps make a part of it. */
  readonly config?: Readonly<Record<string, JsonValue>>;
}

const TERMINAL: ReadonlySet<ExecutionStatus> = new Set(["COMPLETED", "FAILED", "CANCELLED"]);

/** Whether nothing follows a status. */
export function isTerminal(status: ExecutionStatus): boolean {
  return TERMINAL.has(status);
}
