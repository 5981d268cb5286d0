package promptflow

import (
	"context"
	"errors"
	"iter"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// cursor is how far a reader is: the run, "" until the first event names it, and the last sequence seen.
type cursor struct {
	executionID string
	sequence    int32
}

// opening is how the events of a run are asked for: by the request that starts it, nil where it runs already, and the
// fields of executions that come, which those of the request have to be. All of them come where mask is empty.
type opening struct {
	request []byte
	mask    []string
}

// follow gives each event after the cursor once, done last, however often the stream is cut. It starts the run by
// its request as long as the cursor names none: with the same request id each time, so that a cut before the first event
// starts nothing twice.
func (k *contract) follow(ctx context.Context, conn *Conn, place cursor, start opening) iter.Seq2[*event, error] {
	return func(yield func(*event, error) bool) {
		tries := attempts{policy: conn.policy}
		for {
			failure := error(&Error{Code: codes.Unavailable, Message: "the stream ended before the run did"})
			for data, err := range k.open(ctx, conn, place, start) {
				if err != nil {
					failure = err
					break
				}
				next, err := k.readEvent(data)
				if err != nil {
					failure = err
					break
				}
				if !next.isDone && 0 < next.info.Sequence && next.info.Sequence <= int(place.sequence) {
					continue
				}
				place.executionID = next.info.ExecutionID
				place.sequence = max(place.sequence, int32(next.info.Sequence))
				tries.progressed()
				if !yield(next, nil) || next.isDone {
					return
				}
			}
			failure = ofRun(failure, place.executionID)
			if isCut(failure, place.executionID != "") {
				if failure = tries.wait(ctx, failure); failure == nil {
					continue
				}
			}
			yield(nil, failure)
			return
		}
	}
}

func (k *contract) open(ctx context.Context, conn *Conn, place cursor, start opening) iter.Seq2[[]byte, error] {
	if place.executionID == "" {
		return conn.messages(ctx, k.path("ExecuteStream"), start.request)
	}
	watch := k.request("Watch")
	setField(watch, "execution_id", protoreflect.ValueOfString(place.executionID))
	setField(watch, "after_sequence", protoreflect.ValueOfInt32(place.sequence))
	setMask(watch, start.mask)
	data, err := marshal(watch.Interface())
	if err != nil {
		return func(yield func([]byte, error) bool) { yield(nil, err) }
	}
	return conn.messages(ctx, k.path("Watch"), data)
}

// ofRun names the run in a failure, so that it can be found.
func ofRun(failure error, executionID string) error {
	var found *Error
	if errors.As(failure, &found) && found.ExecutionID == "" {
		found.ExecutionID = executionID
	}
	return failure
}
