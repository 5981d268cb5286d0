package promptflow

import (
	"reflect"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// Status is where a run is; "" stands for one that this release does not know.
type Status string

// What a run can be.
const (
	StatusQueued    Status = "QUEUED"
	StatusRunning   Status = "RUNNING"
	StatusCompleted Status = "COMPLETED"
	StatusFailed    Status = "FAILED"
	StatusCancelled Status = "CANCELLED"
)

// IsTerminal tells whether nothing follows this status.
func (s Status) IsTerminal() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// StepStatus is where a step or an item is; "" stands for one that this release does not know.
type StepStatus string

// What a step can be.
const (
	StepStatusPending   StepStatus = "PENDING"
	StepStatusQueued    StepStatus = "QUEUED"
	StepStatusRunning   StepStatus = "RUNNING"
	StepStatusRetrying  StepStatus = "RETRYING"
	StepStatusCompleted StepStatus = "COMPLETED"
	StepStatusFailed    StepStatus = "FAILED"
	StepStatusSkipped   StepStatus = "SKIPPED"
	StepStatusCancelled StepStatus = "CANCELLED"
)

// Progress is how far a run is: Percentage is 0 to 100 and never falls.
type Progress struct {
	Percentage   float64
	CurrentStep  string
	RunningSteps []string
}

// StepState is how a step or an item fares; times are zero until they happen.
type StepState struct {
	Status     StepStatus
	Attempts   int
	StartedAt  time.Time
	FinishedAt time.Time
	Worker     string
	Err        *Error
}

// Step is one step; Output is nil until it has completed.
type Step[T any] struct {
	State  StepState
	Output *T
}

// Item is one item of a step that runs once per item; Output is nil until it has completed.
type Item[T any] struct {
	Index  int
	State  StepState
	Output *T
}

// ForEachStep is a step that runs once per item.
type ForEachStep[T any] struct {
	State StepState
	Items []Item[T]
}

// Metadata is when and where a run takes place; times are zero until they happen.
type Metadata struct {
	CreatedAt    time.Time
	StartedAt    time.Time
	FinishedAt   time.Time
	Server       string
	BundleDigest string
	Labels       map[string]string
}

// Execution is one run as it stands. Result is the flow's promise and there once the run has completed; Steps is a
// view, open to change.
type Execution[R, S any] struct {
	ID       string
	Status   Status
	Progress Progress
	Result   *R
	Steps    S
	Err      *Error
	Metadata Metadata
}

// Summary is one run in a list of runs of any flow.
type Summary struct {
	ID       string
	Flow     string
	Version  int
	Status   Status
	Progress Progress
	Err      *Error
	Metadata Metadata
}

// Info is a flow as the server runs it.
type Info struct {
	Flow         string
	Version      int
	Description  string
	BundleDigest string
	Definition   map[string]any
}

// Component is one part that a flow needs: redis, or the pool queue/<name>.
type Component struct {
	Name      string
	IsServing bool
	Message   string
}

// Health says whether every part that a flow needs answers.
type Health struct {
	IsServing  bool
	Components []Component
}

// PlanDecision is what a plan says of a step; "" stands for one that this release does not know.
type PlanDecision string

// What a plan can say. Of an undecided step, what other steps find decides.
const (
	PlanRuns      PlanDecision = "RUNS"
	PlanSkipped   PlanDecision = "SKIPPED"
	PlanUndecided PlanDecision = "UNDECIDED"
)

// PlannedStep is one step of a dry run. Queue is "" where the step runs in the server itself; steps of one Stage may
// run at the same time. Items, Cost and Config are nil where only the run itself can tell.
type PlannedStep struct {
	Step     string
	Executor string
	Queue    string
	Needs    []string
	Stage    int
	Decision PlanDecision
	Items    *int
	Cost     *float64
	Config   map[string]any
}

// Plan is a dry run: steps in an order that respects what they need.
type Plan struct {
	Flow         string
	Version      int
	BundleDigest string
	Steps        []PlannedStep
}

func (s *Step[T]) readStep(message protoreflect.Message) {
	s.State, s.Output = stateOf(message), outputOf[T](message)
}

func (s *Step[T]) readOutput(message protoreflect.Message) any { return decoded[T](message) }

func (s *ForEachStep[T]) readStep(message protoreflect.Message) {
	s.State = stateOf(message)
	items := field(message, "items").List()
	for index := range items.Len() {
		item := items.Get(index).Message()
		s.Items = append(s.Items, Item[T]{int(field(item, "index").Int()), stateOf(item), outputOf[T](item)})
	}
}

func (s *ForEachStep[T]) readOutput(message protoreflect.Message) any { return decoded[T](message) }

func outputOf[T any](step protoreflect.Message) *T {
	if !has(step, "output") {
		return nil
	}
	return decoded[T](field(step, "output").Message())
}

func decoded[T any](message protoreflect.Message) *T {
	output := new(T)
	decode(message, reflect.ValueOf(output).Elem())
	return output
}

func stateOf(step protoreflect.Message) StepState {
	if !has(step, "state") {
		return StepState{Status: StepStatusPending}
	}
	state := stepState(step)
	read := StepState{
		Status:     StepStatus(enumName(state.GetStatus().Descriptor(), state.GetStatus().Number())),
		Attempts:   int(state.GetAttempts()),
		StartedAt:  timeOf(state.GetStartedAt()),
		FinishedAt: timeOf(state.GetFinishedAt()),
		Worker:     state.GetWorker(),
	}
	if state.GetError() != nil {
		read.Err = errorOfStatus(state.GetError())
	}
	return read
}

func statusOf(number protoreflect.EnumNumber) Status {
	return Status(enumName(v1.ExecutionStatus_Value(0).Descriptor(), number))
}

// enumName is the name of a value, "" for none and for those that this release does not know.
func enumName(enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber) string {
	value := enum.Values().ByNumber(number)
	if number == 0 || value == nil {
		return ""
	}
	return string(value.Name())
}

func progressOf(progress *v1.Progress) Progress {
	return Progress{progress.GetPercentage(), progress.GetCurrentStep(), progress.GetRunningSteps()}
}

func metadataOf(metadata *v1.ExecutionMetadata) Metadata {
	return Metadata{
		CreatedAt:    timeOf(metadata.GetCreatedAt()),
		StartedAt:    timeOf(metadata.GetStartedAt()),
		FinishedAt:   timeOf(metadata.GetFinishedAt()),
		Server:       metadata.GetServer(),
		BundleDigest: metadata.GetBundleDigest(),
		Labels:       metadata.GetLabels(),
	}
}

func planOf(plan *v1.PlanResponse) *Plan {
	read := &Plan{Flow: plan.GetFlow(), Version: int(plan.GetVersion()), BundleDigest: plan.GetBundleDigest()}
	for _, step := range plan.GetSteps() {
		planned := PlannedStep{
			Step:     step.GetStep(),
			Executor: step.GetExecutor(),
			Queue:    step.GetQueue(),
			Needs:    step.GetNeeds(),
			Stage:    int(step.GetStage()),
			Decision: PlanDecision(enumName(step.GetDecision().Descriptor(), step.GetDecision().Number())),
			Cost:     step.Cost,
		}
		if step.Items != nil {
			items := int(step.GetItems())
			planned.Items = &items
		}
		if step.Config != nil {
			planned.Config = step.Config.AsMap()
		}
		read.Steps = append(read.Steps, planned)
	}
	return read
}
