package promptflow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

const (
	// maxBatch is how many requests one BatchExecute takes.
	maxBatch = 1000
	// batchesAtOnce is how many parts of one long batch are under way at the same time.
	batchesAtOnce = 4
)

// Outcome is what became of one run of a batch: Err says why it did not complete. Execution is nil where it did not
// even begin, or where the server answers a failure alone.
type Outcome[R, S any] struct {
	Execution *Execution[R, S]
	Err       error
}

// Result gives the result of the run, or why there is none.
func (o Outcome[R, S]) Result() (*R, error) {
	if o.Err != nil {
		return nil, o.Err
	}
	return o.Execution.Result, nil
}

// RunBatch runs the flow once per inputs and gives what became of each, in their order; a run that fails, or whose
// inputs do not fit, has its error in its place. The error is that of the batch as a whole, whose outcomes cannot be
// learnt; with the same RequestID, no run is made again.
func (c *Client[I, R, S]) RunBatch(ctx context.Context, inputs []I, options ...RunOption) ([]Outcome[R, S], error) {
	outcomes, run := make([]Outcome[R, S], len(inputs)), chosen(options).withResult()
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	starts := make(chan int)
	var workers sync.WaitGroup
	var first sync.Once
	var failure error
	for range min(batchesAtOnce, (len(inputs)+maxBatch-1)/maxBatch) {
		workers.Go(func() {
			for start := range starts {
				end := min(start+maxBatch, len(inputs))
				if err := c.runPart(within, inputs[start:end], start, run, outcomes[start:end]); err != nil {
					first.Do(func() { failure = err })
					cancel()
				}
			}
		})
	}
	start := 0
	for ; start < len(inputs) && within.Err() == nil; start += maxBatch {
		starts <- start
	}
	close(starts)
	workers.Wait()
	if failure == nil && start < len(inputs) {
		// The context ended before all parts were sent.
		failure = overdue(ctx.Err(), nil)
	}
	if failure != nil {
		return nil, failure
	}
	return outcomes, nil
}

// runPart runs what one call takes; the first of its inputs is the one at start.
func (c *Client[I, R, S]) runPart(
	ctx context.Context, inputs []I, start int, run runOptions, outcomes []Outcome[R, S],
) error {
	batch := c.contract.request("BatchExecute")
	requests := batch.Mutable(descriptorOf(batch, "requests")).List()
	var sent []int
	for at, one := range inputs {
		each := run
		each.requestID += "-" + strconv.Itoa(start+at)
		request, err := c.request(ctx, one, each, v1.ExecutionMode_SYNC, true)
		if err != nil {
			outcomes[at].Err = ofInputs(err)
			continue
		}
		requests.Append(protoreflect.ValueOfMessage(request))
		sent = append(sent, at)
	}
	if len(sent) == 0 {
		return nil
	}
	answer := c.contract.response("BatchExecute")
	if err := c.conn.await(ctx, c.contract.path("BatchExecute"), batch.Interface(), answer.Interface()); err != nil {
		return err
	}
	found := field(answer, "outcomes").List()
	if found.Len() != len(sent) {
		why := fmt.Sprintf("the server answers %d of %d runs", found.Len(), len(sent))
		return &Error{Code: codes.Internal, Reason: ReasonInternal, Message: why}
	}
	for index, at := range sent {
		outcomes[at] = readOutcome[R, S](c.contract, found.Get(index).Message())
	}
	return nil
}

// ofInputs is why inputs cannot be sent, which is in place of their outcome: a misfit, or a file that cannot be read.
func ofInputs(err error) error {
	if found := (*Error)(nil); errors.As(err, &found) {
		return err
	}
	return &Error{Code: codes.InvalidArgument, Reason: ReasonFileUnreadable, Message: err.Error(), cause: err}
}

func readOutcome[R, S any](k *contract, message protoreflect.Message) Outcome[R, S] {
	switch {
	case has(message, "error"):
		return Outcome[R, S]{Err: errorOfStatus(field(message, "error").Message().Interface().(*statuspb.Status))}
	case !has(message, "execution"):
		return Outcome[R, S]{Err: &Error{Code: codes.Unknown, Message: "the server does not say what became of the run"}}
	}
	execution := readExecution[R, S](k, field(message, "execution").Message())
	if execution.Err != nil {
		return Outcome[R, S]{execution, execution.Err}
	}
	return Outcome[R, S]{Execution: execution}
}
