/** The base of a generated flow client. */

import type { DescService, Message } from "@bufbuild/protobuf";
import { type BatchOutcome, FlowCalls, randomId, type RunOptions, withResult } from "./calls.js";
import type { CallOptions } from "./connection.js";
import { Contract } from "./contract.js";
import type { Promised } from "./decoding.js";
import { PromptFlowError } from "./errors.js";
import type { Event } from "./events.js";
import type { Execution, ExecutionSummary, FlowInfo, Health, Plan } from "./executions.js";
import { Handle } from "./handle.js";
import type { PageOptions } from "./lists.js";
import type { PromptFlowBase } from "./promptflow.js";
import { type Attempts, LinkedSignal } from "./retry.js";

/** Inputs, which a flow that needs none does not ask for, then options. */
export type InputsAnd<Inputs, Options> =
  Record<never, never> extends Inputs ? [inputs?: Inputs, options?: Options] : [inputs: Inputs, options?: Options];

/** Inputs of one call of a long batch, and how many such calls are under way at the same time. */
const MAX_BATCH = 1000;
const BATCHES_AT_ONCE = 4;

/**
 * One flow of one PromptFlow.
 *
 * In `run`, `stream` and `runBatch`, `timeoutMs` bounds the runs as well as the wait, since nobody would be there for what
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
    const whole = withResult(options);
    const request = await this.#request(inputs, whole, options.timeoutMs);
    return this.#calls.result(nowhere(), whole, request);
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

  /**
   * Run the flow once for each of many inputs, and give what became of each, in their order; a run that fails, or whose
   * inputs do not fit, has its error in its place. Rejects with `PromptFlowError` where the outcomes cannot be learnt;
   * with the same `requestId`, no run is made again.
   */
  async runBatch(inputs: readonly Inputs[], options: RunOptions = {}): Promise<readonly BatchOutcome<Result>[]> {
    const whole = { ...withResult(options), requestId: options.requestId ?? randomId() };
    const attempts = this.#calls.attempts(options);
    const starts = Array.from({ length: Math.ceil(inputs.length / MAX_BATCH) }, (_, index) => index * MAX_BATCH);
    const parts: (readonly BatchOutcome<Result>[])[] = [];
    // The first part that fails ends the others.
    const link = new LinkedSignal(options.signal === undefined ? [] : [options.signal]);
    const queue = starts.entries();
    const take = async (): Promise<void> => {
      // One iterator for all that take from it.
      for (const [index, start] of queue) {
        const part = inputs.slice(start, start + MAX_BATCH);
        const requests = await Promise.all(part.map((one, at) => this.#own(one, start + at, whole, attempts)));
        parts[index] = await this.#calls.batch(requests, { timeoutMs: attempts.remainingMs, signal: link.signal });
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(BATCHES_AT_ONCE, starts.length) }, take));
    } finally {
      link.release();
    }
    return parts.flat();
  }

  /** What a run with these inputs would do; nothing runs. */
  async plan(...[inputs, options = {}]: InputsAnd<Inputs, CallOptions>): Promise<Plan> {
    return this.#calls.plan(await this.#request(inputs, {}), options);
  }

  /** A run that was started elsewhere; nothing is sent. */
  handle(executionId: string): Handle<Result, Steps, Outputs> {
    return new Handle(this.#calls, executionId);
  }

  /** Runs of this flow and major version, the newest first; pages are fetched as the loop goes on. */
  executions(options: PageOptions = {}): AsyncGenerator<ExecutionSummary, void, undefined> {
    return this.#calls.executions(options);
  }

  /** The flow as the server runs it. */
  async info(options: CallOptions = {}): Promise<FlowInfo> {
    return this.#calls.info(options);
  }

  /** Whether everything that the flow needs answers. */
  async health(options: CallOptions = {}): Promise<Health> {
    return this.#calls.health(options);
  }

  /** The request of one run of a batch, or why there is none. */
  async #own(inputs: Inputs, index: number, options: RunOptions, attempts: Attempts): Promise<Message | PromptFlowError> {
    const own = { ...options, requestId: `${options.requestId}-${index}` };
    try {
      return await this.#request(inputs, own, attempts.remainingMs);
    } catch (error) {
      if (error instanceof PromptFlowError) {
        return error;
      }
      const why = `a file cannot be read: ${error instanceof Error ? error.message : String(error)}`;
      return new PromptFlowError("INVALID_ARGUMENT", why, { reason: "FILE_UNREADABLE", cause: error });
    }
  }

  async #request(inputs: unknown, options: RunOptions, runTimeoutMs?: number): Promise<Message> {
    return this.#calls.request(inputs ?? {}, options, options.runTimeoutMs ?? runTimeoutMs);
  }
}

function nowhere(): { executionId: string; sequence: number } {
  return { executionId: "", sequence: 0 };
}
