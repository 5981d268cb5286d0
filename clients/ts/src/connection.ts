/** One way to one address: headers, deadlines, and calls tried again where that is safe. */

import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type MessageShape,
} from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { openTransport } from "#platform";
import type { MetadataHook } from "./credentials.js";
import { errorOfCall, isCut, PromptFlowError } from "./errors.js";
import type { OpenedTransport, TransportOptions } from "./platform/platform.js";
import { Attempts, type Clock, DEFAULT_RETRY, LinkedSignal, reasonOf, type RetryPolicy, SYSTEM_CLOCK } from "./retry.js";

/** What timers can count; a longer time is as good as none. */
const MAX_TIMER_MS = 2 ** 31 - 1;
const MAX_TIMEOUT_DIGITS = 99_999_999;

/** Bounds of one call. */
export interface CallOptions {
  /** Give up after this time, with DEADLINE_EXCEEDED. */
  readonly timeoutMs?: number | undefined;
  /** Give up when it is aborted, at once and with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Bounds of a call that may be sent again. */
export interface RepeatedOptions extends CallOptions {
  /**
   * The answer takes as long as runs take. Then there is no deadline unless one is given, and a connection that breaks
   * on the way counts as UNAVAILABLE.
   */
  readonly awaitsRuns?: boolean;
}

/** How to reach a PromptFlow. */
export interface ConnectionOptions extends TransportOptions {
  /** Gives the headers of each call: `apiKey(…)`, `bearer(…)` or a function of yours. */
  readonly metadata?: MetadataHook | undefined;
  /** How long failures are borne; the default rides out a restart of the server. */
  readonly retry?: Partial<RetryPolicy> | undefined;
  /** A Connect transport of yours, instead of the one that the address would get. */
  readonly transport?: Transport | undefined;
  readonly clock?: Clock | undefined;
}

/** A transport and how to call through it. It connects with the first call. */
export class Connection {
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  readonly #opened: OpenedTransport;
  readonly #metadata: MetadataHook | undefined;
  readonly #closing = new AbortController();

  constructor(address: string, options: ConnectionOptions = {}) {
    this.policy = { ...DEFAULT_RETRY, ...options.retry };
    this.clock = options.clock ?? SYSTEM_CLOCK;
    this.#metadata = options.metadata;
    this.#opened =
      options.transport === undefined
        ? openTransport(baseUrlOf(address), options)
        : { transport: options.transport, close: () => undefined };
  }

  /** Make a unary call; UNAVAILABLE is tried again. `request` must be one that may be sent twice. */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    options: RepeatedOptions,
  ): Promise<MessageShape<O>> {
    const { awaitsRuns = false, signal } = options;
    const attempts = this.attempts(options.timeoutMs ?? (awaitsRuns ? undefined : this.policy.callMs), signal);
    for (;;) {
      try {
        return await this.#once(method, request, attempts.remainingMs, signal);
      } catch (error) {
        if (!(error instanceof PromptFlowError) || !isCut(error, awaitsRuns)) {
          throw error;
        }
        await attempts.wait(error);
      }
    }
  }

  /** Open a stream once and give its messages; leaving the loop ends the call. */
  async *messages<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageShape<I>,
    options: CallOptions,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const call = this.#open(options.signal, options.timeoutMs);
    try {
      const header = await call.raced(this.#headers(options.timeoutMs));
      const { transport } = this.#opened;
      const once = (async function* () {
        yield request;
      })();
      const opening = transport.stream(method, call.signal, undefined, header, once);
      const messages = (await this.#heard(opening, call)).message[Symbol.asyncIterator]();
      for (;;) {
        const read = await this.#heard(messages.next(), call);
        if (read.done === true) {
          return;
        }
        yield read.value;
      }
    } finally {
      call.end();
    }
  }

  /** The tries of one call through this connection. */
  attempts(timeoutMs: number | undefined, signal: AbortSignal | undefined): Attempts {
    return new Attempts(this.policy, this.clock, timeoutMs, this.#signals(signal));
  }

  /** End all calls; a second time does nothing. */
  close(): void {
    if (!this.#closing.signal.aborted) {
      this.#closing.abort(new Error("this client is closed; open another one"));
      this.#opened.close();
    }
  }

  async #once<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageShape<I>,
    timeoutMs: number | undefined,
    signal: AbortSignal | undefined,
  ): Promise<MessageShape<O>> {
    const call = this.#open(signal, timeoutMs);
    try {
      const header = await call.raced(this.#headers(timeoutMs));
      const { transport } = this.#opened;
      const input = request as Parameters<typeof transport.unary<I, O>>[4];
      return (await call.answered(transport.unary(method, call.signal, undefined, header, input))).message;
    } finally {
      call.end();
    }
  }

  /** What comes within the time that a stream may be silent, heartbeats included. */
  async #heard<T>(next: Promise<T>, call: OpenCall): Promise<T> {
    const { silenceMs } = this.policy;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<never>((_, reject) => {
      const message = `the stream was silent for ${silenceMs} ms`;
      timer = setTimeout(() => reject(new PromptFlowError("UNAVAILABLE", message)), silenceMs);
    });
    try {
      return await call.answered(Promise.race([next, silence]));
    } finally {
      clearTimeout(timer);
    }
  }

  #open(signal: AbortSignal | undefined, timeoutMs: number | undefined): OpenCall {
    return new OpenCall(this.#signals(signal), timeoutMs);
  }

  #signals(signal: AbortSignal | undefined): readonly AbortSignal[] {
    return signal === undefined ? [this.#closing.signal] : [this.#closing.signal, signal];
  }

  /**
   * The caller's headers, and the deadline. The transport is told of none: its timer would outlive a stream that is left
   * early, and keep the process from ending.
   */
  async #headers(timeoutMs: number | undefined): Promise<Readonly<Record<string, string>>> {
    const given = this.#metadata === undefined ? {} : await this.#metadata();
    return timeoutMs === undefined ? given : { ...given, "grpc-timeout": grpcTimeout(timeoutMs) };
  }
}

/** One call on its way: what ends it, and what it means that it ended. */
class OpenCall {
  readonly #link: LinkedSignal;
  readonly #aborted: Promise<never>;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(signals: readonly AbortSignal[], timeoutMs: number | undefined) {
    this.#link = new LinkedSignal(signals);
    if (timeoutMs !== undefined && timeoutMs <= MAX_TIMER_MS) {
      const overdue = new PromptFlowError("DEADLINE_EXCEEDED", "the time given is over");
      this.#timer = setTimeout(() => this.#link.abort(overdue), timeoutMs);
    }
    this.#aborted = new Promise((_, reject) => {
      const { signal } = this.#link;
      const onAbort = (): void => reject(reasonOf(signal));
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) {
        onAbort();
      }
    });
    // Nobody may be waiting when it happens.
    this.#aborted.catch(() => undefined);
  }

  get signal(): AbortSignal {
    return this.#link.signal;
  }

  /** The same promise, but that it rejects as soon as the call is aborted, whatever the transport still does. */
  raced<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined);
    return Promise.race([this.#aborted, promise]);
  }

  /** The same for what the transport does, whose failures are read as what they mean. */
  async answered<T>(promise: Promise<T>): Promise<T> {
    try {
      return await this.raced(promise);
    } catch (error) {
      if (this.signal.aborted) {
        throw reasonOf(this.signal);
      }
      throw error instanceof PromptFlowError ? error : errorOfCall(error);
    }
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#link.release();
  }
}

/** A time as the header has it, of eight digits at most. */
function grpcTimeout(timeoutMs: number): string {
  const millis = Math.max(1, Math.ceil(timeoutMs));
  return millis <= MAX_TIMEOUT_DIGITS ? `${millis}m` : `${Math.min(Math.ceil(millis / 1000), MAX_TIMEOUT_DIGITS)}S`;
}

function baseUrlOf(address: string): string {
  const url = /^https?:\/\//.test(address) ? address : `http://${address}`;
  if (!URL.canParse(url)) {
    throw new RangeError(`${JSON.stringify(address)} is no address, such as localhost:50051 or https://flows.example.com`);
  }
  return url.replace(/\/+$/, "");
}

/** A message of a type that is known by its descriptor alone, with some of its fields. */
export function messageOf<Desc extends DescMessage>(desc: Desc, fields: object): MessageShape<Desc> {
  return create(desc, fields as Parameters<typeof create<Desc>>[1]);
}
