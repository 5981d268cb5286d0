/** A server of `sentiment_analysis` in this process that answers as a test says, and a clock that does not wait. */

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { type Clock, type ConnectionOptions } from "promptflow-grpc-client";
import { PromptFlow } from "promptflow-grpc-client/api";
import {
  EventSchema,
  type Event as WireEvent,
  ExecutionSchema,
  SentimentAnalysisService,
} from "#dist/gen/promptflow_api/flows/sentiment_analysis/v1/sentiment_analysis_pb.js";
import { ExecutionStatus_Value } from "#dist/gen/promptflow_api/v1/execution_pb.js";

export const RUN = "run-1";

/** A clock whose time passes only while somebody sleeps. */
export class FakeClock implements Clock {
  time = 0;
  readonly slept: number[] = [];

  now(): number {
    return this.time;
  }

  random(): number {
    return 1;
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.slept.push(ms);
    this.time += ms;
    await Promise.resolve();
  }
}

/** A client of a scripted server. */
export function scripted(
  service: Partial<ServiceImpl<typeof SentimentAnalysisService>>,
  options: ConnectionOptions = {},
): { pf: PromptFlow; clock: FakeClock } {
  const clock = new FakeClock();
  const transport = createRouterTransport(({ service: serve }) => serve(SentimentAnalysisService, service));
  return { pf: new PromptFlow("localhost", { transport, clock, ...options }), clock };
}

/** An event that is no end. */
export function started(sequence: number): WireEvent {
  return create(EventSchema, { executionId: RUN, sequence, event: { case: "stepStarted", value: { step: "analyze" } } });
}

/** The end of a run. */
export function done(sequence: number, label = "positive"): WireEvent {
  const value = create(ExecutionSchema, {
    executionId: RUN,
    status: ExecutionStatus_Value.COMPLETED,
    result: { analyze: { label, confidence: 0.9 } },
  });
  return create(EventSchema, { executionId: RUN, sequence, event: { case: "done", value } });
}

/** A server's word, which has the status line that a broken connection lacks. */
export function said(code: Code, message = "said", headers: Record<string, string> = {}): ConnectError {
  return new ConnectError(message, code, { "grpc-status": String(code), ...headers });
}
