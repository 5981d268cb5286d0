/** The calls of one flow, typed: what a flow client and a handle share. */

import type { DescMessage, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { type CallOptions, type Connection, messageOf } from "./connection.js";
import type { Contract, ExecutionMessage, FlowEventMessage } from "./contract.js";
import { named } from "./contract.js";
import { encodeInputs, type Fields } from "./encoding.js";
import { errorOfStatus, PromptFlowError } from "./errors.js";
import type { Event } from "./events.js";
import type { Execution, ExecutionSummary, FlowInfo, Health, Plan, PlannedStep } from "./executions.js";
import { type Cursor, follow } from "./following.js";
import {
  type CheckHealthResponse,
  ExecuteOptionsSchema,
  ExecutionMode_Value,
  type GetInfoResponse,
  PlanDecision_Value,
  type PlannedStep as WirePlannedStep,
  type PlanResponse,
} from "./gen/promptflow_api/v1/execution_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import { listExecutions, type PageOptions } from "./lists.js";
import type { Attempts } from "./retry.js";
import { Duration } from "./times.js";

/** How a run is started. */
export interface RunOptions extends CallOptions {
  /**
   * The same id with the same inputs never starts a second run: give one where the caller itself may be restarted;
   * without, the client makes one per call. In a batch, each run adds its place to it.
   */
  readonly requestId?: string | undefined;
  readonly priority?: number | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Bounds the run from its acceptance, and may only shorten what the flow allows. */
  readonly runTimeoutMs?: number | undefined;
  /**
   * What of an execution is wanted, such as `result.analyze.label` in the flow's spelling; all of it where empty. What
   * the client needs itself comes always.
   */
  readonly readMask?: readonly string[] | undefined;
}

/** What to read of a run. */
export interface ReadOptions extends CallOptions {
  readonly readMask?: readonly string[] | undefined;
}

/** What became of one run of a batch. */
export type BatchOutcome<Result> =
  | { readonly ok: true; readonly executionId: string; readonly result: Result }
  | { readonly ok: false; readonly executionId?: string; readonly error: PromptFlowError };

interface BatchResponse extends Message {
  readonly outcomes: readonly { readonly outcome: { readonly case?: string; readonly value?: unknown } }[];
}

/** The rpcs of one flow over one connection; without `timeoutMs`, none is set where a run is awaited. */
export class FlowCalls<Result, Steps, Outputs> {
  readonly #connection: Connection;
  readonly #contract: Contract<Result, Steps, Outputs>;

  constructor(connection: Connection, contract: Contract<Result, Steps, Outputs>) {
    this.#connection = connection;
    this.#contract = contract;
  }

  /** An ExecuteRequest that may be sent more than once. */
  async request(inputs: unknown, options: RunOptions, runTimeoutMs: number | undefined): Promise<Message> {
    const desc = this.#contract.unary("execute").input;
    const message = messageOf(desc, {});
    await encodeInputs(inputs, inputsOf(desc), message);
    const { requestId, priority, labels, readMask } = options;
    const timeout = runTimeoutMs === undefined ? undefined : Duration.fromMs(runTimeoutMs);
    (message as unknown as Fields)["options"] = messageOf(ExecuteOptionsSchema, {
      requestId: requestId ?? randomId(),
      labels: { ...labels },
      ...(priority === undefined ? {} : { priority }),
      ...maskOf(readMask),
      ...(timeout === undefined
        ? {}
        : { timeout: messageOf(DurationSchema, { seconds: BigInt(timeout.seconds), nanos: timeout.nanos }) }),
    });
    return message;
  }

  /** Start a run and give its id, as soon as it is recorded. */
  async start(request: Message, options: CallOptions): Promise<string> {
    const method = this.#contract.unary("execute");
    const execution = await this.#connection.call(method, asynchronous(request), options);
    return (execution as ExecutionMessage).executionId;
  }

  /** Run many requests, of which each has an id of its own, and give what became of each; a misfit stays as it is. */
  async batch(
    requests: readonly (Message | PromptFlowError)[],
    options: CallOptions,
  ): Promise<readonly BatchOutcome<Result>[]> {
    const method = this.#contract.unary("batchExecute");
    const sound = requests.filter((request): request is Message => !(request instanceof PromptFlowError));
    const { outcomes } =
      sound.length === 0
        ? { outcomes: [] }
        : ((await this.#connection.call(method, messageOf(method.input, { requests: sound.map(synchronous) }), {
            ...options,
            awaitsRuns: true,
          })) as BatchResponse);
    if (outcomes.length !== sound.length) {
      const why = `the server answers ${outcomes.length} of ${sound.length} runs`;
      throw new PromptFlowError("INTERNAL", why, { reason: "INTERNAL" });
    }
    const queue = outcomes.values();
    return requests.map((request) =>
      request instanceof PromptFlowError ? { ok: false, error: request } : this.#outcomeOf(queue.next().value?.outcome),
    );
  }

  /** The tries of calls that belong together. */
  attempts(options: CallOptions): Attempts {
    return this.#connection.attempts(options.timeoutMs, options.signal);
  }

  /** Runs of the flow, the newest first. */
  executions(options: PageOptions): AsyncGenerator<ExecutionSummary, void, undefined> {
    const { flow, version } = this.#contract;
    return listExecutions(this.#connection, { ...options, flow, version });
  }

  /** Follow a run, after starting it by `request` where the cursor names none. */
  async *events(
    cursor: Cursor,
    options: ReadOptions,
    request?: Message,
  ): AsyncGenerator<Event<Execution<Result, Steps>, Outputs>, void, undefined> {
    for await (const message of this.#follow(cursor, options, request)) {
      const event = this.#contract.event(message);
      if (event !== undefined) {
        yield event;
      }
    }
  }

  /** Follow a run to its end. */
  async result(cursor: Cursor, options: ReadOptions, request?: Message): Promise<Result> {
    for await (const message of this.#follow(cursor, options, request)) {
      if (message.event.case === "done") {
        return this.#contract.result(message.event.value as ExecutionMessage);
      }
    }
    throw new Error("a followed run ends with `done` or with an error");
  }

  /** The run as it stands. */
  async status(executionId: string, options: ReadOptions): Promise<Execution<Result, Steps>> {
    return this.#execution("getStatus", { executionId, ...maskOf(options.readMask) }, options);
  }

  /** Ask the run to end; the run as it stands then. */
  async cancel(executionId: string, options: CallOptions): Promise<Execution<Result, Steps>> {
    return this.#execution("cancel", { executionId }, options);
  }

  /** What a run would do. */
  async plan(request: Message, options: CallOptions): Promise<Plan> {
    const answer = (await this.#connection.call(this.#contract.unary("plan"), request, options)) as PlanResponse;
    const { flow, version, bundleDigest } = answer;
    return { flow, version, bundleDigest, steps: answer.steps.map(plannedStepOf) };
  }

  /** What the server says of the flow. */
  async info(options: CallOptions): Promise<FlowInfo> {
    const answer = (await this.#call("getInfo", {}, options)) as GetInfoResponse;
    const { flow, version, description, bundleDigest, definition } = answer;
    return { flow, version, description, bundleDigest, definition: definition ?? {} };
  }

  /** Whether everything that the flow needs answers. */
  async health(options: CallOptions): Promise<Health> {
    const answer = (await this.#call("checkHealth", {}, options)) as CheckHealthResponse;
    const components = answer.components.map(({ name, serving, message }) => ({ name, isServing: serving, message }));
    return { isServing: answer.serving, components };
  }

  #outcomeOf(outcome: BatchResponse["outcomes"][number]["outcome"] | undefined): BatchOutcome<Result> {
    if (outcome?.case === "execution") {
      const execution = outcome.value as ExecutionMessage;
      const { executionId } = execution;
      const error = this.#contract.error(execution);
      return error === undefined
        ? { ok: true, executionId, result: this.#contract.result(execution) }
        : { ok: false, executionId, error };
    }
    if (outcome?.case === "error") {
      const error = errorOfStatus(outcome.value as Status);
      return { ok: false, ...(error.executionId === undefined ? {} : { executionId: error.executionId }), error };
    }
    return { ok: false, error: new PromptFlowError("UNKNOWN", "the server does not say what became of the run") };
  }

  async #execution(name: string, fields: object, options: CallOptions): Promise<Execution<Result, Steps>> {
    return this.#contract.execution((await this.#call(name, fields, options)) as ExecutionMessage);
  }

  async #call(name: string, fields: object, options: CallOptions): Promise<Message> {
    const method: DescMethodUnary = this.#contract.unary(name);
    return this.#connection.call(method, messageOf(method.input, fields), options);
  }

  #follow(
    cursor: Cursor,
    options: ReadOptions,
    request: Message | undefined,
  ): AsyncGenerator<FlowEventMessage, void, undefined> {
    const { signal, readMask } = options;
    const openAt = (place: Cursor, timeoutMs: number | undefined): AsyncGenerator<FlowEventMessage, void, undefined> => {
      const bounds = { timeoutMs, signal };
      const isNew = place.executionId === "" && request !== undefined;
      const method = this.#contract.stream(isNew ? "executeStream" : "watch");
      const watch = { executionId: place.executionId, afterSequence: place.sequence, ...maskOf(readMask) };
      const message = isNew ? request : messageOf(method.input, watch);
      return this.#connection.messages(method, message, bounds) as AsyncGenerator<FlowEventMessage, void, undefined>;
    };
    return follow(openAt, cursor, this.#connection.attempts(options.timeoutMs, signal));
  }
}

/** The inputs alone: what a caller cannot set by naming it among them. */
function inputsOf(desc: DescMessage): DescMessage {
  const field = Object.fromEntries(
    Object.entries(desc.field).filter(([, found]) => found.number !== 1001 && found.number !== 1002),
  );
  return { ...desc, field };
}

function asynchronous(request: Message): Message {
  (request as unknown as Fields)["executionMode"] = ExecutionMode_Value.ASYNC;
  return request;
}

function synchronous(request: Message): Message {
  (request as unknown as Fields)["executionMode"] = ExecutionMode_Value.SYNC;
  return request;
}

/** Fields without which the end of a run could not be told. */
const NEEDED = ["execution_id", "status", "error"];

/** A read mask with what the client itself needs; without paths there is none. */
function maskOf(paths: readonly string[] | undefined): object {
  return paths === undefined || paths.length === 0 ? {} : { readMask: { paths: [...new Set([...paths, ...NEEDED])] } };
}

/** The same options, with the result among what comes back: for calls that give it. */
export function withResult<Options extends ReadOptions>(options: Options): Options {
  const { readMask = [] } = options;
  const isOfResult = (path: string): boolean => path === "*" || path.split(".")[0] === "result";
  return readMask.length === 0 || readMask.some(isOfResult) ? options : { ...options, readMask: [...readMask, "result"] };
}

function plannedStepOf(step: WirePlannedStep): PlannedStep {
  const { executor, queue, needs, stage, items, cost, config } = step;
  return {
    step: step.step,
    executor,
    queue,
    needs,
    stage,
    decision: named(PlanDecision_Value, step.decision) as PlannedStep["decision"],
    ...(items === undefined ? {} : { items }),
    ...(cost === undefined ? {} : { cost }),
    ...(config === undefined ? {} : { config }),
  };
}

/** As `crypto.randomUUID`, which pages without TLS lack. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
