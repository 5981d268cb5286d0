/** What happens in a run, to be told apart by `type`, and by `step` where the type of an output matters. */

import type { PromptFlowError } from "./errors.js";
import type { Progress } from "./executions.js";
import type { Duration, Timestamp } from "./times.js";

/** What every event says. `sequence` counts from 1 without gaps; 0 marks events that are not kept. */
export interface EventBase {
  readonly executionId: string;
  readonly sequence: number;
  readonly time?: Timestamp;
  readonly progress: Progress;
}

/** What every event of a step says; `item` counts from 0 in a for_each step, else it is absent. */
export interface StepEventBase<Name extends string> extends EventBase {
  readonly step: Name;
  readonly item?: number;
}

/** The run is recorded (always the first), and a server has taken it up. */
export interface Begun<Execution> extends EventBase {
  readonly type: "accepted" | "started";
  readonly execution: Execution;
}

/** A step begins. */
export interface StepStarted<Name extends string> extends StepEventBase<Name> {
  readonly type: "stepStarted";
  readonly attempt: number;
}

/** How far a step is, 0 to 100. Not kept: a cut may lose some. */
export interface StepProgress<Name extends string> extends StepEventBase<Name> {
  readonly type: "stepProgress";
  readonly percentage: number;
  readonly message: string;
}

/**
 * `stepOutput` is a part of an output; a `stepRetrying` of the same attempt makes it void. `stepCompleted` has the whole;
 * a for_each step gives none here: see `Execution.steps`.
 */
export interface StepValueEvent<Name extends string, Output> extends StepEventBase<Name> {
  readonly type: "stepOutput" | "stepCompleted";
  readonly attempt: number;
  readonly output?: Output;
}

/** A step has failed for good. */
export interface StepFailed<Name extends string> extends StepEventBase<Name> {
  readonly type: "stepFailed";
  readonly attempt: number;
  readonly error: PromptFlowError;
}

/** A step has failed and is tried again after `delay`. */
export interface StepRetrying<Name extends string> extends StepEventBase<Name> {
  readonly type: "stepRetrying";
  readonly attempt: number;
  readonly delay: Duration;
  readonly error: PromptFlowError;
}

/** A step does not run. */
export interface StepSkipped<Name extends string> extends StepEventBase<Name> {
  readonly type: "stepSkipped";
  readonly reason: string;
}

/** The run has ended, well or not: `execution.status` tells. Always the last. */
export interface Done<Execution> extends EventBase {
  readonly type: "done";
  readonly execution: Execution;
}

/** `Outputs` maps the name of each step to the type of its output. */
export type Event<Execution, Outputs> =
  | Begun<Execution>
  | Done<Execution>
  | {
      [Name in keyof Outputs & string]:
        | StepStarted<Name>
        | StepProgress<Name>
        | StepValueEvent<Name, Outputs[Name]>
        | StepFailed<Name>
        | StepRetrying<Name>
        | StepSkipped<Name>;
    }[keyof Outputs & string];
