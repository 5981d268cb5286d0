package promptflow

import (
	"context"
	"iter"
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Handle is one run, by its id. It holds nothing else: another process makes the same one with Client.Handle. Where
// the context ends a wait, the run goes on.
type Handle[R, S any] struct {
	conn     *Conn
	contract *contract
	id       string
}

// ID names the run, everywhere and for good.
func (h *Handle[R, S]) ID() string { return h.id }

// Result waits for the end of the run; its error says that the run failed or was cancelled, or that its end cannot be
// learnt.
func (h *Handle[R, S]) Result(ctx context.Context) (*R, error) {
	return lastResult[R](h.contract, h.contract.follow(ctx, h.conn, cursor{executionID: h.id}, opening{}))
}

// Events gives what happened after that sequence, then what happens, up to *Done, or an error last. It resumes by
// itself after a cut; breaking off the loop ends the call.
func (h *Handle[R, S]) Events(ctx context.Context, after int, options ...ReadOption) iter.Seq2[Event, error] {
	place, start := cursor{h.id, int32(min(after, math.MaxInt32))}, opening{mask: pathsOf(options)}
	return typedEvents[R, S](h.contract, h.contract.follow(ctx, h.conn, place, start))
}

// Status gives the run as it stands.
func (h *Handle[R, S]) Status(ctx context.Context, options ...ReadOption) (*Execution[R, S], error) {
	request := h.contract.request("GetStatus")
	setMask(request, pathsOf(options))
	return h.ask(ctx, "GetStatus", request)
}

// Cancel asks the run to end, and gives it as it stands then; a run that has ended stays as it is.
func (h *Handle[R, S]) Cancel(ctx context.Context) (*Execution[R, S], error) {
	return h.ask(ctx, "Cancel", h.contract.request("Cancel"))
}

func (h *Handle[R, S]) ask(ctx context.Context, method string, request protoreflect.Message) (*Execution[R, S], error) {
	setField(request, "execution_id", protoreflect.ValueOfString(h.id))
	execution := h.contract.response(method)
	if err := h.conn.call(ctx, h.contract.path(method), request.Interface(), execution.Interface()); err != nil {
		return nil, err
	}
	return readExecution[R, S](h.contract, execution), nil
}
