/** What the messages of one flow mean: its methods, and its executions and events as plain values. */

import type {
  DescField,
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
} from "@bufbuild/protobuf";
import type { Timestamp as WireTimestamp } from "@bufbuild/protobuf/wkt";
import { decodeDuration, decodeMessage, decodeTime, type Promised } from "./decoding.js";
import type { Fields } from "./encoding.js";
import { errorOfStatus, PromptFlowError } from "./errors.js";
import type { Event } from "./events.js";
import type {
  Execution,
  ExecutionMetadata,
  ExecutionStatus,
  ForEachStep,
  Item,
  Progress,
  Step,
  StepState,
  StepStatus,
} from "./executions.js";
import type { StepRetryingEvent } from "./gen/promptflow_api/v1/events_pb.js";
import {
  type ExecutionMetadata as WireMetadata,
  ExecutionStatus_Value,
  type Progress as WireProgress,
  type StepState as WireState,
  StepStatus_Value,
} from "./gen/promptflow_api/v1/execution_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";

/** What every flow's `Execution` has; its result and steps are known by descriptors alone. */
export interface ExecutionMessage extends Message {
  readonly executionId: string;
  readonly status: ExecutionStatus_Value;
  readonly progress?: WireProgress;
  readonly result?: Message;
  readonly steps?: Message;
  readonly error?: Status;
  readonly metadata?: WireMetadata;
}

/** What every flow's `Event` has. */
export interface FlowEventMessage extends Message {
  readonly executionId: string;
  readonly sequence: number;
  readonly time?: WireTimestamp;
  readonly progress?: WireProgress;
  readonly event: { readonly case?: string | undefined; readonly value?: unknown };
}

interface StepContent {
  readonly step: string;
  readonly item?: number;
  readonly attempt: number;
  readonly output?: Message;
  readonly error?: Status;
}

const RUN_EVENTS: ReadonlySet<string> = new Set(["accepted", "started", "done"]);

/** One flow's service, as its descriptor has it. */
export class Contract<Result, Steps, Outputs> {
  readonly flow: string;
  readonly version: number;
  readonly #service: DescService;
  readonly #promised: Promised;
  readonly #result: DescMessage;
  readonly #steps: readonly DescField[];

  constructor(service: DescService, promised: Promised) {
    // Services of flows are called so, whatever their package begins with.
    const [version = "", flow = ""] = service.typeName.split(".").slice(0, -1).reverse();
    this.flow = flow;
    this.version = Number(version.slice(1));
    this.#service = service;
    this.#promised = promised;
    const execution = this.unary("execute").output;
    this.#result = messageAt(execution, "result");
    this.#steps = messageAt(execution, "steps").fields;
  }

  /** A method that answers once. */
  unary(name: string): DescMethodUnary {
    return this.#method(name, "unary") as DescMethodUnary;
  }

  /** A method that answers a stream. */
  stream(name: string): DescMethodServerStreaming {
    return this.#method(name, "server_streaming") as DescMethodServerStreaming;
  }

  /** Read an `Execution`. */
  execution(message: ExecutionMessage): Execution<Result, Steps> {
    const error = this.error(message);
    return {
      executionId: message.executionId,
      status: statusOf(message.status),
      progress: progressOf(message.progress),
      ...(message.result === undefined ? {} : { result: this.#read(message.result) }),
      steps: this.#readSteps(message.steps),
      ...(error === undefined ? {} : { error }),
      metadata: metadataOf(message.metadata),
    };
  }

  /** The result of an `Execution` that has ended; throws where it ended otherwise than COMPLETED. */
  result(message: ExecutionMessage): Result {
    const error = this.error(message);
    if (error !== undefined) {
      throw error;
    }
    return message.result === undefined
      ? this.#read({ $typeName: this.#result.typeName } as Message)
      : this.#read(message.result);
  }

  /** Why an `Execution` did not complete; it names the run and the step, so that both can be found. */
  error(message: ExecutionMessage): PromptFlowError | undefined {
    let error: PromptFlowError;
    if (message.error !== undefined) {
      error = errorOfStatus(message.error);
    } else if (message.status === ExecutionStatus_Value.CANCELLED) {
      error = new PromptFlowError("CANCELLED", "the run was cancelled", { reason: "EXECUTION_CANCELLED" });
    } else if (message.status === ExecutionStatus_Value.FAILED) {
      error = new PromptFlowError("UNKNOWN", "the run failed and the server does not say why");
    } else {
      return undefined;
    }
    const steps = (message.steps ?? {}) as Fields;
    const failed = this.#steps.find((field) => {
      const step = steps[field.localName] as { state?: WireState } | undefined;
      return step?.state?.status === StepStatus_Value.FAILED;
    });
    return error.with({ execution_id: message.executionId, ...(failed === undefined ? {} : { step: failed.name }) });
  }

  /** Read an `Event`; undefined for a heartbeat and for kinds that this release does not know. */
  event(message: FlowEventMessage): Event<Execution<Result, Steps>, Outputs> | undefined {
    const { case: type, value } = message.event;
    const common = {
      type,
      executionId: message.executionId,
      sequence: message.sequence,
      ...timeOf("time", message.time),
      progress: progressOf(message.progress),
    };
    let found: unknown;
    if (type !== undefined && RUN_EVENTS.has(type)) {
      found = { ...common, execution: this.execution(value as ExecutionMessage) };
    } else if (type !== undefined && type.startsWith("step")) {
      const detail = this.#detail(type, value as StepContent);
      found = detail === undefined ? undefined : { ...common, ...detail };
    }
    return found as Event<Execution<Result, Steps>, Outputs> | undefined;
  }

  #detail(type: string, content: StepContent): object | undefined {
    const { step, item, attempt } = content;
    const place = { step, ...(item === undefined ? {} : { item }) };
    const error = content.error === undefined ? undefined : errorOfStatus(content.error);
    switch (type) {
      case "stepStarted":
        return { ...place, attempt };
      case "stepProgress": {
        const { percentage, message } = content as unknown as Fields;
        return { ...place, percentage, message };
      }
      case "stepOutput":
      case "stepCompleted": {
        const output = this.#stepValue(content.output);
        return { ...place, attempt, ...(output === undefined ? {} : { output }) };
      }
      case "stepFailed":
        return { ...place, attempt, error };
      case "stepRetrying": {
        const { delay } = content as unknown as StepRetryingEvent;
        return { ...place, attempt, delay: decodeDuration(delay ?? ZERO), error };
      }
      case "stepSkipped":
        return { ...place, reason: (content as unknown as Fields)["reason"] };
      default:
        return undefined;
    }
  }

  #stepValue(value: Message | undefined): object | undefined {
    const arm = (value as Fields | undefined)?.["ofStep"] as { case?: string; value?: Message } | undefined;
    // Arms of a oneof are not escaped.
    const field = this.#steps.find((step) => step.localName.replace(/\$$/, "") === arm?.case);
    if (arm?.value === undefined || field === undefined) {
      return undefined;
    }
    return decodeMessage(arm.value, outputOf(field), this.#promised);
  }

  #readSteps(message: Message | undefined): Steps {
    const steps = (message ?? {}) as Fields;
    const found: Fields = {};
    for (const field of this.#steps) {
      const step = steps[field.localName] as StepMessage | undefined;
      found[field.localName] = this.#step(field, step);
    }
    return found as Steps;
  }

  #step(field: DescField, step: StepMessage | undefined): Step<unknown> | ForEachStep<unknown> {
    if (field.message?.field["items"] === undefined) {
      return this.#outcome(field, step);
    }
    const items = (step?.items ?? []).map((item): Item<unknown> => ({
      index: item.index,
      ...this.#outcome(field, item),
    }));
    return { state: stateOf(step?.state), items };
  }

  #outcome(field: DescField, step: StepMessage | undefined): Step<unknown> {
    const state = stateOf(step?.state);
    if (step?.output === undefined) {
      return { state };
    }
    return { state, output: decodeMessage(step.output, outputOf(field), this.#promised) };
  }

  #read(message: Message): Result {
    return decodeMessage(message, this.#result, this.#promised) as Result;
  }

  #method(name: string, kind: string): unknown {
    const found = this.#service.method[name];
    if (found?.methodKind !== kind) {
      const message = `${this.#service.typeName} has no such method as ${name}; run \`promptflow generate\``;
      throw new PromptFlowError("UNIMPLEMENTED", message);
    }
    return found;
  }
}

interface StepMessage {
  readonly index: number;
  readonly state?: WireState;
  readonly output?: Message;
  readonly items?: readonly StepMessage[];
}

const ZERO = { seconds: 0n, nanos: 0 } as Parameters<typeof decodeDuration>[0];

function messageAt(desc: DescMessage, field: string): DescMessage {
  const found = desc.field[field]?.message;
  if (found === undefined) {
    throw new TypeError(`${desc.typeName} is no execution of a flow; run \`promptflow generate\``);
  }
  return found;
}

function outputOf(step: DescField): DescMessage {
  const message = messageAt(step.parent, step.localName);
  return messageAt(message.field["items"]?.message ?? message, "output");
}

/** A status by name. */
export function statusOf(status: ExecutionStatus_Value): ExecutionStatus {
  return named(ExecutionStatus_Value, status) as ExecutionStatus;
}

/** The name of an enum's value; UNSPECIFIED for zero and for what this release does not know. */
export function named(values: Readonly<Record<number, string>>, value: number): string {
  return value === 0 ? "UNSPECIFIED" : (values[value] ?? "UNSPECIFIED");
}

/** Read a `Progress`. */
export function progressOf(message: WireProgress | undefined): Progress {
  return {
    percentage: message?.percentage ?? 0,
    currentStep: message?.currentStep ?? "",
    runningSteps: message?.runningSteps ?? [],
  };
}

/** Read an `ExecutionMetadata`. */
export function metadataOf(message: WireMetadata | undefined): ExecutionMetadata {
  return {
    ...timeOf("createdAt", message?.createdAt),
    ...timeOf("startedAt", message?.startedAt),
    ...timeOf("finishedAt", message?.finishedAt),
    server: message?.server ?? "",
    bundleDigest: message?.bundleDigest ?? "",
    labels: { ...message?.labels },
  };
}

function stateOf(message: WireState | undefined): StepState {
  if (message === undefined) {
    return { status: "PENDING", attempts: 0, worker: "" };
  }
  return {
    status: named(StepStatus_Value, message.status) as StepStatus,
    attempts: message.attempts,
    ...timeOf("startedAt", message.startedAt),
    ...timeOf("finishedAt", message.finishedAt),
    worker: message.worker,
    ...(message.error === undefined ? {} : { error: errorOfStatus(message.error) }),
  };
}

function timeOf<Name extends string>(
  name: Name,
  message: WireTimestamp | undefined,
): { [name in Name]?: ReturnType<typeof decodeTime> } {
  return (message === undefined ? {} : { [name]: decodeTime(message) }) as {
    [name in Name]?: ReturnType<typeof decodeTime>;
  };
}
