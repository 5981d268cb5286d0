/** One run, from anywhere: its result, events, status, cancel. */

import type { FlowCalls, ReadOptions } from "./calls.js";
import type { CallOptions } from "./connection.js";
import type { Event } from "./events.js";
import type { Execution } from "./executions.js";

/** Where to begin with the events of a run. */
export interface EventOptions extends ReadOptions {
  /** Events up to this sequence are left out. */
  readonly after?: number | undefined;
}

/**
 * A run by its id. It holds nothing else: another process makes the same one with `handle(executionId)`.
 *
 * A wait that `timeoutMs` or `signal` ends leaves the run alone.
 */
export class Handle<Result, Steps, Outputs> {
  readonly executionId: string;
  readonly #calls: FlowCalls<Result, Steps, Outputs>;

  constructor(calls: FlowCalls<Result, Steps, Outputs>, executionId: string) {
    this.#calls = calls;
    this.executionId = executionId;
  }

  /** Wait for the end of the run; rejects with `PromptFlowError` where it failed, or its end cannot be learnt. */
  async result(options: CallOptions = {}): Promise<Result> {
    return this.#calls.result({ executionId: this.executionId, sequence: 0 }, options);
  }

  /** What happened after sequence `after`, then what happens, up to `done`; resumes by itself after a cut. */
  events(options: EventOptions = {}): AsyncGenerator<Event<Execution<Result, Steps>, Outputs>, void, undefined> {
    return this.#calls.events({ executionId: this.executionId, sequence: options.after ?? 0 }, options);
  }

  /** The run as it stands. */
  async status(options: ReadOptions = {}): Promise<Execution<Result, Steps>> {
    return this.#calls.status(this.executionId, options);
  }

  /** Ask the run to end, and give it as it stands then; a run that has ended stays as it is. */
  async cancel(options: CallOptions = {}): Promise<Execution<Result, Steps>> {
    return this.#calls.cancel(this.executionId, options);
  }
}
