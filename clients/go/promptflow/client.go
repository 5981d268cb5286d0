package promptflow

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"iter"
	"reflect"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// Client is one flow over one connection: I are its inputs, R is its result, S are its steps. Generated packages have
// an alias for theirs, and a function New.
//
// The deadline of a context bounds the call; in Run, Stream and RunBatch it bounds the runs too, since nobody would be
// there for what comes later. Without one, a run is awaited for as long as the server shows signs of life.
type Client[I, R, S any] struct {
	conn     *Conn
	contract *contract
	flow     string
	version  int
}

// NewClient makes the client of a service by its full name; generated packages call it.
func NewClient[I, R, S any](conn *Conn, service, flow string, version int) *Client[I, R, S] {
	return &Client[I, R, S]{conn, newContract(service, reflect.TypeFor[S]()), flow, version}
}

// Untyped is the same flow with inputs by name, for programs that learn them at run time. Values that do not fit are
// refused before anything is sent, all at once.
func (c *Client[I, R, S]) Untyped() *Client[map[string]any, R, S] {
	return &Client[map[string]any, R, S]{c.conn, c.contract, c.flow, c.version}
}

// Run runs the flow and gives its result; cuts and restarts of the server on the way are borne.
func (c *Client[I, R, S]) Run(ctx context.Context, inputs I, options ...RunOption) (*R, error) {
	start, err := c.encoded(ctx, inputs, chosen(options).withResult())
	if err != nil {
		return nil, err
	}
	return lastResult[R](c.contract, c.contract.follow(ctx, c.conn, cursor{}, start))
}

// Start starts the flow and comes back as soon as the run is recorded.
func (c *Client[I, R, S]) Start(ctx context.Context, inputs I, options ...RunOption) (*Handle[R, S], error) {
	request, err := c.request(ctx, inputs, chosen(options), v1.ExecutionMode_ASYNC, false)
	if err != nil {
		return nil, err
	}
	execution := c.contract.response("Execute")
	if err := c.conn.call(ctx, c.contract.path("Execute"), request.Interface(), execution.Interface()); err != nil {
		return nil, err
	}
	return c.Handle(field(execution, "execution_id").String()), nil
}

// Stream runs the flow and gives what happens as it happens, *Done last, or an error last. Breaking off the loop ends
// the call. A second loop over the same stream attaches to the same run.
func (c *Client[I, R, S]) Stream(ctx context.Context, inputs I, options ...RunOption) iter.Seq2[Event, error] {
	start, err := c.encoded(ctx, inputs, chosen(options))
	if err != nil {
		return func(yield func(Event, error) bool) { yield(nil, err) }
	}
	return typedEvents[R, S](c.contract, c.contract.follow(ctx, c.conn, cursor{}, start))
}

// Handle is a run that was started anywhere; nothing is sent.
func (c *Client[I, R, S]) Handle(executionID string) *Handle[R, S] {
	return &Handle[R, S]{c.conn, c.contract, executionID}
}

// Plan says what a run would do, without running anything.
func (c *Client[I, R, S]) Plan(ctx context.Context, inputs I, options ...RunOption) (*Plan, error) {
	request, err := c.request(ctx, inputs, chosen(options), v1.ExecutionMode_VALUE_UNSPECIFIED, false)
	if err != nil {
		return nil, err
	}
	answer := new(v1.PlanResponse)
	if err := c.conn.call(ctx, c.contract.path("Plan"), request.Interface(), answer); err != nil {
		return nil, err
	}
	return planOf(answer), nil
}

// Executions lists the runs of this flow and major version, the newest first: Flow and Version of the filter are the
// client's own; see Conn.Executions.
func (c *Client[I, R, S]) Executions(ctx context.Context, filter Filter) iter.Seq2[*Summary, error] {
	filter.Flow, filter.Version = c.flow, c.version
	return c.conn.Executions(ctx, filter)
}

// Info gives the flow as the server runs it.
func (c *Client[I, R, S]) Info(ctx context.Context) (*Info, error) {
	answer := new(v1.GetInfoResponse)
	if err := c.conn.call(ctx, c.contract.path("GetInfo"), new(v1.GetInfoRequest), answer); err != nil {
		return nil, err
	}
	return &Info{
		Flow:         answer.GetFlow(),
		Version:      int(answer.GetVersion()),
		Description:  answer.GetDescription(),
		BundleDigest: answer.GetBundleDigest(),
		Definition:   answer.GetDefinition().AsMap(),
	}, nil
}

// Health tells whether everything that the flow needs answers.
func (c *Client[I, R, S]) Health(ctx context.Context) (*Health, error) {
	answer := new(v1.CheckHealthResponse)
	if err := c.conn.call(ctx, c.contract.path("CheckHealth"), new(v1.CheckHealthRequest), answer); err != nil {
		return nil, err
	}
	health := &Health{IsServing: answer.GetServing()}
	for _, part := range answer.GetComponents() {
		health.Components = append(health.Components, Component{part.GetName(), part.GetServing(), part.GetMessage()})
	}
	return health, nil
}

func (c *Client[I, R, S]) encoded(ctx context.Context, inputs I, run runOptions) (opening, error) {
	request, err := c.request(ctx, inputs, run, v1.ExecutionMode_VALUE_UNSPECIFIED, true)
	if err != nil {
		return opening{}, err
	}
	data, err := marshal(request.Interface())
	return opening{request: data, mask: run.paths}, err
}

// request is an ExecuteRequest that may be sent more than once. isAwaited: the deadline of ctx bounds the run too.
func (c *Client[I, R, S]) request(
	ctx context.Context, inputs I, run runOptions, mode v1.ExecutionMode_Value, isAwaited bool,
) (protoreflect.Message, error) {
	message := c.contract.request("Execute")
	if err := encode(reflect.ValueOf(inputs), message); err != nil {
		return nil, err
	}
	if mode != v1.ExecutionMode_VALUE_UNSPECIFIED {
		setField(message, "execution_mode", protoreflect.ValueOfEnum(mode.Number()))
	}
	options := into[*v1.ExecuteOptions](message, "options")
	options.RequestId, options.Priority, options.Labels = run.requestID, run.priority, run.labels
	if len(run.paths) > 0 {
		options.ReadMask = &fieldmaskpb.FieldMask{Paths: needed(run.paths)}
	}
	if run.timeout != nil {
		options.Timeout = durationpb.New(*run.timeout)
	} else if deadline, ok := ctx.Deadline(); ok && isAwaited {
		// The server refuses a timeout that is not above zero; a context that is over ends the call by itself.
		options.Timeout = durationpb.New(max(time.Millisecond, time.Until(deadline)))
	}
	return message, nil
}

func chosen(options []RunOption) runOptions {
	var run runOptions
	for _, option := range options {
		option.applyRun(&run)
	}
	if run.requestID == "" {
		var id [16]byte
		_, _ = rand.Read(id[:]) // it never fails
		run.requestID = hex.EncodeToString(id[:])
	}
	return run
}

func typedEvents[R, S any](k *contract, events iter.Seq2[*event, error]) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		for read, err := range events {
			if err != nil {
				yield(nil, err)
				return
			}
			if event := typed[R, S](k, read); event != nil && !yield(event, nil) {
				return
			}
		}
	}
}

func lastResult[R any](k *contract, events iter.Seq2[*event, error]) (*R, error) {
	for read, err := range events {
		if err != nil {
			return nil, err
		}
		if read.isDone {
			return readResult[R](k, read.content)
		}
	}
	panic("promptflow: a followed run ends with done or with an error")
}
