/** The base of a generated flow client. */

import type { DescService, Message } from "@bufbuild/protobuf";
import { FlowCalls, type RunOptions } from "./calls.js";
import type { CallOptions } from "./connection.js";
import { Contract } from "./contract.js";
import type { Promised } from "./decoding.js";
import { PromptFlowError } from "./errors.js";
import type { Event } from "./events.js";
import type { Execution, FlowInfo, Health, Plan } from "./executions.js";
import { Handle } from "./handle.js";
import type { PromptFlowBase } from "./promptflow.js";

/** Inputs, which a flow that needs none does not ask for, then options. */
export type InputsAnd<Inputs, Options> =
  Record<never, never> extends Inputs ? [inputs?: Inputs, options?: Options] : [inputs: Inputs, options?: Options];

/** What became of one run of a batch. */
export type BatchOutcome<Result> =
  | { readonly ok: true; readonly executionId: string; readonly result: Result }
  | { readonly ok: false; readonly executionId?: string; readonly error: PromptFlowError };

/** Bounds of a batch; `requestId`s are made from the index of each run where one is given. */
export interface BatchOptions extends RunOptions {
  /** How many runs are awaited at the same time; 16 where it is left out. */
  readonly concurrency?: number | undefined;
}

const CONCURRENCY = 16;

/**
 * One flow of one PromptFlow.
 *
 * In `run`, `stream` and `runBatch`, `timeoutMs` bounds the run as well as the wait, since nobody would be there for what
 * comes later; in `start` it bounds the start alone. Without one, a run is awaited for as long as the server shows signs
 * of life.
 */
export class FlowClient<Inputs, Result, Steps, Outputs> {
  readonly #calls: FlowCalls<Result, Steps, Outputs>;

  constructor(promptflow: PromptFlowBase, service: DescService, promised: Promised) {
    this.#calls = new FlowCalls(promptflow.connection, new Contract(service, promised));
  }

  /**
   * Run the flow and give its result; cuts and restarts of the server on the way are borne. Rejects with
   * `PromptFlowError` where the run failed, or its end cannot be learnt.
   */
  async run(...[inputs, options = {}]: InputsAnd<Inputs, RunOptions>): Promise<Result> {
    const request = await this.#request(inputs, options, options.timeoutMs);
    return this.#calls.result(nowhere(), options, request);
  }

  /** Run the flow and give what happens as it happens, `done` last. */
  async *stream(
    ...[inputs, options = {}]: InputsAnd<Inputs, RunOptions>
  ): AsyncGenerator<Event<Execution<Result, Steps>, Outputs>, void, undefined> {
    const request = await this.#request(inputs, options, options.timeoutMs);
    yield* this.#calls.events(nowhere(), options, request);
  }

  /** Start the flow and come back as soon as the run is recorded. */
  async start(...[inputs, options = {}]: InputsAnd<Inputs, RunOptions>): Promise<Handle<Result, Steps, Outputs>> {
    return this.handle(await this.#calls.start(await this.#request(inputs, options), options));
  }

  /** Run the flow once for each of many inputs: what became of each, in their order. */
  async runBatch(inputs: readonly Inputs[], options: BatchOptions = {}): Promise<readonly BatchOutcome<Result>[]> {
    const started = await this.#startAll(inputs, options, options.timeoutMs);
    const found: BatchOutcome<Result>[] = [];
    const queue = started.entries();
    const take = async (): Promise<void> => {
      // One iterator for all that take from it.
      for (const [index, one] of queue) {
        found[index] = one instanceof PromptFlowError ? { ok: false, error: one } : await outcomeOf(one, options);
      }
    };
    await Promise.all(Array.from({ length: options.concurrency ?? CONCURRENCY }, take));
    return found;
  }

  /** Start the flow once for each of many inputs, in one call: a handle, or why a run was refused, for each. */
  async startBatch(
    inputs: readonly Inputs[],
    options: RunOptions = {},
  ): Promise<readonly (Handle<Result, Steps, Outputs> | PromptFlowError)[]> {
    return this.#startAll(inputs, options);
  }

  /** What a run with these inputs would do; nothing runs. */
  async plan(...[inputs, options = {}]: InputsAnd<Inputs, CallOptions>): Promise<Plan> {
    return this.#calls.plan(await this.#request(inputs, {}), options);
  }

  /** A run that was started elsewhere; nothing is sent. */
  handle(executionId: string): Handle<Result, Steps, Outputs> {
    return new Handle(this.#calls, executionId);
  }

  /** The flow as the server runs it. */
  async info(options: CallOptions = {}): Promise<FlowInfo> {
    return this.#calls.info(options);
  }

  /** Whether everything that the flow needs answers. */
  async health(options: CallOptions = {}): Promise<Health> {
    return this.#calls.health(options);
  }

  async #startAll(
    inputs: readonly Inputs[],
    options: RunOptions,
    runTimeoutMs?: number,
  ): Promise<(Handle<Result, Steps, Outputs> | PromptFlowError)[]> {
    const requests = await Promise.all(
      inputs.map((one, index) => {
        const requestId = options.requestId === undefined ? undefined : `${options.requestId}-${index}`;
        return this.#request(one, { ...options, requestId }, runTimeoutMs).catch(misfit);
      }),
    );
    const sound = requests.filter((request): request is Message => !(request instanceof PromptFlowError));
    const started = (await this.#calls.startAll(sound, options)).values();
    return requests.map((request) => {
      const found = request instanceof PromptFlowError ? request : started.next().value;
      if (found === undefined) {
        return new PromptFlowError("INTERNAL", "the server's answer leaves a run of the batch out");
      }
      return typeof found === "string" ? this.handle(found) : found;
    });
  }

  async #request(inputs: unknown, options: RunOptions, runTimeoutMs?: number): Promise<Message> {
    return this.#calls.request(inputs ?? {}, options, options.runTimeoutMs ?? runTimeoutMs);
  }
}

function nowhere(): { executionId: string; sequence: number } {
  return { executionId: "", sequence: 0 };
}

function misfit(error: unknown): PromptFlowError {
  if (error instanceof PromptFlowError) {
    return error;
  }
  throw error;
}

async function outcomeOf<Result, Steps, Outputs>(
  handle: Handle<Result, Steps, Outputs>,
  options: CallOptions,
): Promise<BatchOutcome<Result>> {
  const { executionId } = handle;
  try {
    return { ok: true, executionId, result: await handle.result(options) };
  } catch (error) {
    return { ok: false, executionId, error: misfit(error) };
  }
}
