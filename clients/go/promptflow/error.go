package promptflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// Reason says why something failed. It is an error itself, so that errors.Is(err, promptflow.ReasonNoWorkers) tells
// one failure from another. A server may send reasons that this release does not know.
type Reason string

// The reasons that this release knows.
const (
	ReasonInvalidInput       Reason = "INVALID_INPUT"
	ReasonMalformedRequest   Reason = "MALFORMED_REQUEST"
	ReasonFileUnreadable     Reason = "FILE_UNREADABLE"
	ReasonFileTooLarge       Reason = "FILE_TOO_LARGE"
	ReasonFlowNotFound       Reason = "FLOW_NOT_FOUND"
	ReasonExecutionNotFound  Reason = "EXECUTION_NOT_FOUND"
	ReasonRequestIDReused    Reason = "REQUEST_ID_REUSED"
	ReasonSequenceOutOfRange Reason = "SEQUENCE_OUT_OF_RANGE"
	ReasonTemplateFailed     Reason = "TEMPLATE_FAILED"
	ReasonTemplateLimit      Reason = "TEMPLATE_LIMIT"
	ReasonConfigInvalid      Reason = "CONFIG_INVALID"
	ReasonOutputInvalid      Reason = "OUTPUT_INVALID"
	ReasonExecutorFailed     Reason = "EXECUTOR_FAILED"
	ReasonStepTimeout        Reason = "STEP_TIMEOUT"
	ReasonExecutionTimeout   Reason = "EXECUTION_TIMEOUT"
	ReasonExecutionCancelled Reason = "EXECUTION_CANCELLED"
	ReasonWorkerLost         Reason = "WORKER_LOST"
	ReasonNoWorkers          Reason = "NO_WORKERS"
	ReasonQueueFull          Reason = "QUEUE_FULL"
	ReasonModelUnavailable   Reason = "MODEL_UNAVAILABLE"
	ReasonStoreUnavailable   Reason = "STORE_UNAVAILABLE"
	ReasonServerDraining     Reason = "SERVER_DRAINING"
	ReasonCrashLoop          Reason = "CRASH_LOOP"
	ReasonInternal           Reason = "INTERNAL"
	ReasonBundleRefused      Reason = "BUNDLE_REFUSED"
	ReasonBundleConflict     Reason = "BUNDLE_CONFLICT"
	ReasonCallerRefused      Reason = "CALLER_REFUSED"
)

// Error gives the reason's name.
func (r Reason) Error() string { return string(r) }

// Violation is one mistake in the inputs; Field is a path such as tags[2].
type Violation struct {
	Field       string
	Description string
}

// Error is a call or a run that failed.
//
// errors.Is compares it with a Reason, and with context.Canceled and context.DeadlineExceeded where the caller's own
// context ended the call. status.Code of gRPC reads its code.
type Error struct {
	Code codes.Code
	// Reason is "" where the failure is the transport's own.
	Reason  Reason
	Message string
	// Violations name the inputs that are wrong, all of them.
	Violations []Violation
	// RetryAfter is above zero where waiting helps.
	RetryAfter time.Duration
	// ExecutionID is the run that failed, or whose result did not come; with it, the run itself may still go on.
	ExecutionID string
	// Step is the step that failed.
	Step string
	// Metadata is what else the server says of the place.
	Metadata map[string]string

	cause error
}

// Error gives what failed on one line.
func (e *Error) Error() string {
	var text strings.Builder
	if e.Reason != "" {
		text.WriteString(string(e.Reason))
	} else {
		text.WriteString(e.Code.String())
	}
	text.WriteString(": ")
	text.WriteString(e.Message)
	for _, violation := range e.Violations {
		fmt.Fprintf(&text, "; %s: %s", violation.Field, violation.Description)
	}
	return text.String()
}

// Unwrap gives the error of the context, or of a file, that is behind this one.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether target is this error's reason.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason != "" && reason == e.Reason
}

// GRPCStatus gives code and message to status.Code and status.FromError.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// errorOfStatus is a google.rpc.Status as the error that it stands for; details of unknown type are passed over.
func errorOfStatus(from *statuspb.Status) *Error {
	found := &Error{Code: codes.Code(from.GetCode()), Message: from.GetMessage()}
	if found.Code > codes.Unauthenticated || found.Code == codes.OK {
		found.Code = codes.Unknown
	}
	if found.Message == "" {
		found.Message = found.Code.String()
	}
	for _, detail := range from.GetDetails() {
		found.read(detail)
	}
	found.ExecutionID, found.Step = found.Metadata["execution_id"], found.Metadata["step"]
	return found
}

func (e *Error) read(detail *anypb.Any) {
	message, err := detail.UnmarshalNew()
	if err != nil {
		return
	}
	switch detail := message.(type) {
	case *errdetails.ErrorInfo:
		e.Reason, e.Metadata = Reason(detail.GetReason()), maps.Clone(detail.GetMetadata())
	case *errdetails.BadRequest:
		e.Violations = nil
		for _, violation := range detail.GetFieldViolations() {
			e.Violations = append(e.Violations, Violation{violation.GetField(), violation.GetDescription()})
		}
	case *errdetails.RetryInfo:
		e.RetryAfter = max(0, detail.GetRetryDelay().AsDuration())
	}
}

// errorOfCall is the error of a call that failed under ctx.
func errorOfCall(ctx context.Context, failure error) error {
	found := errorOfStatus(status.Convert(failure).Proto())
	if found.Reason != "" {
		return found
	}
	_, hasDeadline := ctx.Deadline()
	switch {
	case found.Code == codes.DeadlineExceeded && hasDeadline:
		// The server measures the same deadline, and may be the first to say so.
		found.cause = context.DeadlineExceeded
	case ctx.Err() != nil:
		return overdue(ctx.Err(), found)
	}
	return found
}

// overdue is the error of a caller whose context ended, after failure.
func overdue(ended error, failure error) error {
	found := &Error{Code: codes.DeadlineExceeded, Message: "the time given is over", cause: ended}
	if errors.Is(ended, context.Canceled) {
		found.Code, found.Message = codes.Canceled, "the caller cancelled"
	}
	var last *Error
	if errors.As(failure, &last) {
		found.ExecutionID, found.Step, found.Metadata = last.ExecutionID, last.Step, last.Metadata
		if last.cause == nil && last.Code != codes.Canceled {
			found.Message += "; the last failure was " + last.Error()
		}
	}
	return found
}

// isCut tells whether a stream that ended so may be taken up again, and is not the server's word that it is over.
// isKnown: the run has its id, so that the next stream only reads.
func isCut(failure error, isKnown bool) bool {
	var found *Error
	if !errors.As(failure, &found) {
		return false
	}
	switch found.Code {
	case codes.Unavailable:
		return true
	case codes.Canceled, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		// What gRPC makes of a reset connection or of a proxy's time limit, where no server had a word in it.
		return isKnown && found.Reason == ""
	default:
		return false
	}
}
