/** The events of a run in one piece: gap-free, without repeats, up to `done`, however often the stream is cut. */

import { isCut, PromptFlowError } from "./errors.js";
import type { Attempts } from "./retry.js";

/** How far a reader is: the run, "" until the first event names it, and the last sequence seen. */
export interface Cursor {
  executionId: string;
  sequence: number;
}

/** What following needs to know of an event's message. */
export interface EventMessage {
  readonly executionId: string;
  readonly sequence: number;
  readonly event: { readonly case?: string | undefined };
}

/** Opens a stream at a place; starts the run where the place names none. */
export type OpenStream<M> = (cursor: Cursor, timeoutMs: number | undefined) => AsyncGenerator<M, void, undefined>;

/**
 * Give each event after the cursor once, `done` last; `openAt` is asked for a stream whenever there is none.
 *
 * As long as the cursor names no run, `openAt` starts it: with the same request id each time, so that a cut before the
 * first event starts nothing twice.
 */
export async function* follow<M extends EventMessage>(
  openAt: OpenStream<M>,
  cursor: Cursor,
  attempts: Attempts,
): AsyncGenerator<M, void, undefined> {
  for (;;) {
    let error: PromptFlowError;
    try {
      for await (const message of openAt(cursor, attempts.remainingMs)) {
        const isLast = message.event.case === "done";
        if (!isLast && message.sequence > 0 && message.sequence <= cursor.sequence) {
          continue;
        }
        cursor.executionId = message.executionId;
        cursor.sequence = Math.max(cursor.sequence, message.sequence);
        attempts.progressed();
        yield message;
        if (isLast) {
          return;
        }
      }
      error = new PromptFlowError("UNAVAILABLE", "the stream ended before the run did");
    } catch (failure) {
      if (!(failure instanceof PromptFlowError)) {
        throw failure;
      }
      error = failure;
    }
    if (cursor.executionId !== "") {
      error = error.with({ execution_id: cursor.executionId });
    }
    if (!isCut(error, cursor.executionId !== "")) {
      throw error;
    }
    await attempts.wait(error);
  }
}
