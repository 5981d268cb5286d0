/** The one error of this client, made of gRPC statuses and their google.rpc details. */

import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { ErrorReason_Value } from "./gen/promptflow_api/v1/errors_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import { Duration } from "./times.js";

const CODES = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** A gRPC status that is not OK. */
export type StatusCode = keyof typeof CODES;

const NAMES = new Map(Object.entries(CODES).map(([name, number]) => [number as number, name as StatusCode]));

/** The reasons that this release knows; an error may carry a newer one, as text. */
export type KnownReason = Exclude<keyof typeof ErrorReason_Value, "VALUE_UNSPECIFIED">;

/** Why something failed; "" where the failure is the transport's own. Editors complete the known ones. */
export type Reason = KnownReason | "" | (string & Record<never, never>);

/** One mistake in the inputs; `field` is a path in the flow's own spelling, such as `tags[2]`. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** What an error says beside its code and message. */
export interface ErrorDetails {
  readonly reason?: Reason;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly Violation[];
  readonly retryAfterMs?: number | undefined;
  readonly cause?: unknown;
}

/** A call or a run that failed. */
export class PromptFlowError extends Error {
  override readonly name = "PromptFlowError";
  /** The gRPC status. DEADLINE_EXCEEDED with an `executionId`: the run itself may still go on. */
  readonly code: StatusCode;
  readonly reason: Reason;
  /** What is wrong with the inputs, all of it. */
  readonly violations: readonly Violation[];
  /** Set where waiting helps. */
  readonly retryAfterMs: number | undefined;
  /** Where it failed: execution_id, step, attempt, flow file, line, as far as the server knows. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(code: StatusCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.reason = details.reason ?? "";
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
    this.metadata = details.metadata ?? {};
  }

  /** The run that failed, or whose result did not come. */
  get executionId(): string | undefined {
    return this.metadata["execution_id"];
  }

  /** The step that failed. */
  get step(): string | undefined {
    return this.metadata["step"];
  }

  override toString(): string {
    const lines = this.violations.map(({ field, description }) => `\n  ${field}: ${description}`);
    return `${this.reason || this.code}: ${this.message}${lines.join("")}`;
  }

  /** The same error with more said of where it happened; what is known already stays. */
  with(more: Readonly<Record<string, string>>): PromptFlowError {
    const { code, message, reason, violations, retryAfterMs, cause } = this;
    const metadata = { ...more, ...this.metadata };
    const found = new PromptFlowError(code, message, { reason, violations, retryAfterMs, metadata, cause });
    if (this.stack !== undefined) {
      found.stack = this.stack;
    }
    return found;
  }
}

interface Detail {
  readonly type: string;
  readonly value: Uint8Array;
}

/** A google.rpc.Status as the error that it stands for; details of unknown type are passed over. */
export function errorOfStatus(status: Status): PromptFlowError {
  const code = NAMES.get(status.code) ?? "UNKNOWN";
  return new PromptFlowError(code, status.message || code, readDetails(status.details.map(detailOf)));
}

/** The error of a call that failed: what the server said, or what became of the connection. */
export function errorOfCall(failure: unknown): PromptFlowError {
  const error = ConnectError.from(failure);
  const message = error.rawMessage || Code[error.code] || "the call failed";
  if (!error.metadata.has("grpc-status")) {
    return new PromptFlowError(codeOfTransport(error), message, {
      reason: isUnreadable(error) ? "INTERNAL" : "",
      cause: error,
    });
  }
  const details = error.details.map((detail) =>
    "desc" in detail ? { type: detail.desc.typeName, value: new Uint8Array() } : detail,
  );
  const code = NAMES.get(error.code) ?? "UNKNOWN";
  return new PromptFlowError(code, message, { ...readDetails(details), cause: error });
}

/** A connection that breaks has many codes in this transport, and one in gRPC. */
function codeOfTransport(error: ConnectError): StatusCode {
  switch (error.code) {
    case Code.Canceled:
    case Code.Unknown:
    case Code.Aborted:
      return "UNAVAILABLE";
    case Code.Internal:
      return isUnreadable(error) ? "INTERNAL" : "UNAVAILABLE";
    default:
      return NAMES.get(error.code) ?? "UNKNOWN";
  }
}

/** An answer that came whole and is no message of its type: asking again would give the same. */
function isUnreadable(error: ConnectError): boolean {
  const { cause } = error;
  return error.code === Code.Internal && cause instanceof Error && !("code" in cause);
}

function readDetails(details: readonly Detail[]): ErrorDetails {
  let found: ErrorDetails = {};
  for (const detail of details) {
    const info = unpacked(detail, ErrorInfoSchema);
    const request = unpacked(detail, BadRequestSchema);
    const delay = unpacked(detail, RetryInfoSchema)?.retryDelay;
    if (info !== undefined) {
      found = { ...found, reason: info.reason, metadata: info.metadata };
    } else if (request !== undefined) {
      const violations = request.fieldViolations.map(({ field, description }) => ({ field, description }));
      found = { ...found, violations };
    } else if (delay !== undefined) {
      found = { ...found, retryAfterMs: new Duration(Number(delay.seconds), delay.nanos).milliseconds };
    }
  }
  return found;
}

function detailOf(any: Any): Detail {
  return { type: any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1), value: any.value };
}

function unpacked<Desc extends DescMessage>(detail: Detail, schema: Desc): MessageShape<Desc> | undefined {
  if (detail.type !== schema.typeName) {
    return undefined;
  }
  try {
    return fromBinary(schema, detail.value);
  } catch {
    return undefined;
  }
}

/** What a proxy or a transport makes of a broken stream, where no server had a word in it. */
const BROKEN: ReadonlySet<StatusCode> = new Set(["CANCELLED", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN"]);

/**
 * Whether a call that ended so may be made again, and not the server's word that it is over. `isKnown`: the run
 * has its id, so that the next call only reads.
 */
export function isCut(error: PromptFlowError, isKnown: boolean): boolean {
  return error.code === "UNAVAILABLE" || (isKnown && error.reason === "" && BROKEN.has(error.code));
}
