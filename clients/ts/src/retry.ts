/** How long a call is tried, and how long between two tries. */

import { PromptFlowError } from "./errors.js";

/**
 * When to try again and when to give up.
 *
 * `patienceMs` bounds a row of failures without one new message between them. Delays grow from `initialMs` to `maxMs`
 * with jitter; a delay that the server asks for is kept. A stream that is silent for `silenceMs`, heartbeats included,
 * counts as cut. `callMs` is the deadline of calls that answer at once, where the caller sets none.
 */
export interface RetryPolicy {
  readonly patienceMs: number;
  readonly initialMs: number;
  readonly maxMs: number;
  readonly multiplier: number;
  readonly silenceMs: number;
  readonly callMs: number;
}

export const DEFAULT_RETRY: RetryPolicy = {
  patienceMs: 30_000,
  initialMs: 100,
  maxMs: 5_000,
  multiplier: 2,
  silenceMs: 60_000,
  callMs: 60_000,
};

/** The time that calls are measured by, and the chance in their delays. */
export interface Clock {
  now(): number;
  /** Resolves after a time; rejects with the signal's reason as soon as that is aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** 0 to 1. */
  random(): number;
}

export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  random: () => Math.random(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(reasonOf(signal));
        return;
      }
      const onAbort = (): void => {
        clearTimeout(timer);
        reject(reasonOf(signal));
      };
      const timer = setTimeout(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      }, ms);
      signal.addEventListener("abort", onAbort, { once: true });
    }),
};

/**
 * Delay before retry `attempt` (1 = first): uniform in the upper half of the capped exponential.
 *
 * Never near zero: a server that greets and hangs up must not be called in a tight loop.
 */
export function backoffMs(attempt: number, policy: RetryPolicy, random: () => number): number {
  const ceiling = Math.min(policy.maxMs, policy.initialMs * policy.multiplier ** Math.min(attempt - 1, 64));
  return ceiling * (0.5 + random() / 2);
}

/** The tries of one call or one stream, up to a deadline and within the policy's patience. */
export class Attempts {
  readonly #policy: RetryPolicy;
  readonly #clock: Clock;
  readonly #signals: readonly AbortSignal[];
  readonly #endsAt: number | undefined;
  #failingSince: number | undefined;
  #failures = 0;

  constructor(policy: RetryPolicy, clock: Clock, timeoutMs: number | undefined, signals: readonly AbortSignal[] = []) {
    this.#policy = policy;
    this.#clock = clock;
    this.#signals = signals;
    this.#endsAt = timeoutMs === undefined ? undefined : clock.now() + timeoutMs;
  }

  /** Time up to the deadline, never below zero; undefined without one. */
  get remainingMs(): number | undefined {
    return this.#endsAt === undefined ? undefined : Math.max(0, this.#endsAt - this.#clock.now());
  }

  /** Something new came: patience and delays begin afresh. */
  progressed(): void {
    this.#failingSince = undefined;
    this.#failures = 0;
  }

  /** Sleep until the next try after `error`; rejects with it when patience is over. */
  async wait(error: PromptFlowError): Promise<void> {
    const now = this.#clock.now();
    this.#failingSince ??= now;
    this.#failures += 1;
    const askedMs = error.retryAfterMs ?? 0;
    let delayMs = Math.max(askedMs, backoffMs(this.#failures, this.#policy, () => this.#clock.random()));
    const { remainingMs } = this;
    if (remainingMs !== undefined && (remainingMs === 0 || askedMs >= remainingMs)) {
      throw overdue(error);
    }
    if (now + delayMs - this.#failingSince > this.#policy.patienceMs) {
      throw error;
    }
    delayMs = Math.min(delayMs, remainingMs ?? delayMs);
    const sleep = new LinkedSignal(this.#signals);
    try {
      await this.#clock.sleep(delayMs, sleep.signal);
    } finally {
      sleep.release();
    }
    if (this.remainingMs === 0) {
      throw overdue(error);
    }
  }
}

/** What to throw when the deadline leaves no time for another try after `error`. */
export function overdue(error: PromptFlowError): PromptFlowError {
  const isOwn = error.code === "DEADLINE_EXCEEDED" && error.reason === "";
  const last = isOwn ? "" : `; the last failure was ${error}`;
  const { metadata } = error;
  return new PromptFlowError("DEADLINE_EXCEEDED", `the time given is over${last}`, { metadata, cause: error });
}

/** Those who follow one signal, by one listener to it: Node warns of more than ten, as if they were forgotten. */
class Followers {
  static readonly #all = new WeakMap<AbortSignal, Followers>();
  readonly #signal: AbortSignal;
  readonly #calls = new Set<() => void>();

  private constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  static of(signal: AbortSignal): Followers {
    const found = Followers.#all.get(signal) ?? new Followers(signal);
    Followers.#all.set(signal, found);
    return found;
  }

  add(call: () => void): void {
    if (this.#calls.size === 0) {
      this.#signal.addEventListener("abort", this.#tell);
    }
    this.#calls.add(call);
  }

  remove(call: () => void): void {
    this.#calls.delete(call);
    if (this.#calls.size === 0) {
      this.#signal.removeEventListener("abort", this.#tell);
    }
  }

  readonly #tell = (): void => {
    for (const call of [...this.#calls]) {
      call();
    }
  };
}

/**
 * A signal that is aborted with any of others, until it is released.
 *
 * `AbortSignal.any` has no release: each call would leave something behind in a signal that outlives it.
 */
export class LinkedSignal {
  readonly #controller = new AbortController();
  readonly #others: readonly AbortSignal[];

  constructor(others: readonly AbortSignal[]) {
    this.#others = others;
    for (const other of others) {
      Followers.of(other).add(this.#onAbort);
    }
    this.#onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Let go of the others; what still listens to this signal is ended. */
  release(): void {
    for (const other of this.#others) {
      Followers.of(other).remove(this.#onAbort);
    }
    this.#controller.abort();
  }

  readonly #onAbort = (): void => {
    const aborted = this.#others.find((other) => other.aborted);
    if (aborted !== undefined) {
      this.#controller.abort(reasonOf(aborted));
    }
  };
}

/** Why a signal was aborted. */
export function reasonOf(signal: AbortSignal): unknown {
  return (signal.reason as unknown) ?? new DOMException("This operation was aborted", "AbortError");
}
