package promptflow

import "time"

// Event is something that happens in a run: *Accepted, *Started, *StepStarted, *StepProgress, *StepOutput,
// *StepCompleted, *StepFailed, *StepRetrying, *StepSkipped or *Done, to be told apart by a type switch.
type Event interface {
	// Info is what every event says.
	Info() EventInfo
	isEvent()
}

// EventInfo is what every event says. Sequence counts from 1 without gaps; 0 marks events that are not kept.
type EventInfo struct {
	ExecutionID string
	Sequence    int
	Time        time.Time
	Progress    Progress
}

// Info gives what every event says.
func (i EventInfo) Info() EventInfo { return i }

// StepInfo is what every event of a step says. Item counts from 0 in a step that runs once per item, else it is nil.
type StepInfo struct {
	EventInfo
	Step string
	Item *int
}

// Accepted says that the run is recorded; always the first.
type Accepted[R, S any] struct {
	EventInfo
	Execution *Execution[R, S]
}

// Started says that a server has taken the run up.
type Started[R, S any] struct {
	EventInfo
	Execution *Execution[R, S]
}

// StepStarted says that a step begins.
type StepStarted struct {
	StepInfo
	Attempt int
}

// StepProgress is how far a step is, 0 to 100. Not kept: a cut may lose some.
type StepProgress struct {
	StepInfo
	Percentage float64
	Message    string
}

// StepOutput is a part of an output, as a pointer to the step's output type; a StepRetrying of the same attempt makes
// it void.
type StepOutput struct {
	StepInfo
	Attempt int
	Output  any
}

// StepCompleted says that a step is done, with its whole output as a pointer to the step's output type. A step that
// runs once per item gives nil here: see the steps of the execution.
type StepCompleted struct {
	StepInfo
	Attempt int
	Output  any
}

// StepFailed says that a step has failed for good.
type StepFailed struct {
	StepInfo
	Attempt int
	Err     *Error
}

// StepRetrying says that a step has failed and is tried again after Delay.
type StepRetrying struct {
	StepInfo
	Attempt int
	Delay   time.Duration
	Err     *Error
}

// StepSkipped says that a step does not run.
type StepSkipped struct {
	StepInfo
	Reason string
}

// Done says that the run has ended, well or not: its status tells. Always the last.
type Done[R, S any] struct {
	EventInfo
	Execution *Execution[R, S]
}

func (*Accepted[R, S]) isEvent() {}
func (*Started[R, S]) isEvent()  {}
func (*StepStarted) isEvent()    {}
func (*StepProgress) isEvent()   {}
func (*StepOutput) isEvent()     {}
func (*StepCompleted) isEvent()  {}
func (*StepFailed) isEvent()     {}
func (*StepRetrying) isEvent()   {}
func (*StepSkipped) isEvent()    {}
func (*Done[R, S]) isEvent()     {}
