package promptflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	modulePath       = "github.com/promptflow-grpc/promptflow-go"
	maxReceivedBytes = 64 << 20
)

var (
	errSilent = errors.New("the stream was silent")
	errClosed = errors.New("promptflow: this connection is closed; dial another one")
)

// Conn is one PromptFlow, reached at one address. It connects with the first call, and again whenever it has to. All
// clients may share it, from any goroutine.
type Conn struct {
	channel  *grpc.ClientConn
	policy   RetryPolicy
	metadata MetadataFunc
	options  []grpc.CallOption
	isClosed atomic.Bool
}

// Dial makes a connection to target: host:port of the server or of the gateway, or any other name that gRPC resolves.
// Nothing is sent yet.
func Dial(target string, options ...DialOption) (*Conn, error) {
	var chosen dialOptions
	for _, option := range options {
		option(&chosen)
	}
	transport := insecure.NewCredentials()
	if chosen.tls != nil {
		transport = credentials.NewTLS(chosen.tls)
	}
	channel, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithUserAgent(userAgent()),
		grpc.WithDisableServiceConfig(),
		// The channel's own back-off grows to two minutes, in which no try of ours would reach the network.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// A peer that vanished without a word is noticed within half a minute; pings only while a call is open.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
	}, chosen.grpc...)...)
	if err != nil {
		return nil, fmt.Errorf("promptflow: %w", err)
	}
	conn := &Conn{channel: channel, policy: chosen.policy.withDefaults(), metadata: chosen.metadata}
	conn.options = []grpc.CallOption{grpc.ForceCodec(rawCodec{}), grpc.MaxCallRecvMsgSize(maxReceivedBytes)}
	if chosen.gzip {
		conn.options = append(conn.options, grpc.UseCompressor(gzip.Name))
	}
	return conn, nil
}

// Close ends all calls and the connection; runs go on.
func (c *Conn) Close() error {
	if c.isClosed.Swap(true) {
		return nil
	}
	return c.channel.Close()
}

// call makes a unary call within the context's deadline, or the policy's; UNAVAILABLE is tried again, so that request
// has to be one that may be sent twice.
func (c *Conn) call(ctx context.Context, method string, request, response proto.Message) error {
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, c.policy.Call)
		defer cancel()
		ctx = bounded
	}
	return c.repeat(ctx, method, request, response, false)
}

// await is a call whose answer takes as long as runs take: it has no deadline of its own, and is tried again where the
// connection breaks on the way.
func (c *Conn) await(ctx context.Context, method string, request, response proto.Message) error {
	return c.repeat(ctx, method, request, response, true)
}

func (c *Conn) repeat(ctx context.Context, method string, request, response proto.Message, awaitsRuns bool) error {
	data, err := marshal(request)
	if err != nil {
		return err
	}
	tries := attempts{policy: c.policy}
	for {
		var answer []byte
		failure := c.callOnce(ctx, method, data, &answer)
		if failure == nil {
			return unmarshal(answer, response)
		}
		if !isCut(failure, awaitsRuns) {
			return failure
		}
		if err := tries.wait(ctx, failure); err != nil {
			return err
		}
	}
}

func (c *Conn) callOnce(ctx context.Context, method string, request []byte, answer *[]byte) error {
	outgoing, err := c.outgoing(ctx)
	if err != nil {
		return err
	}
	if err := c.channel.Invoke(outgoing, method, request, answer, c.options...); err != nil {
		return c.failure(ctx, err)
	}
	return nil
}

// messages opens a stream once and gives its messages, encoded; breaking off the loop ends the call. A stream that is
// silent for too long ends with UNAVAILABLE.
func (c *Conn) messages(ctx context.Context, method string, request []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if err := c.receive(ctx, method, request, func(message []byte) bool { return yield(message, nil) }); err != nil {
			yield(nil, err)
		}
	}
}

func (c *Conn) receive(ctx context.Context, method string, request []byte, take func([]byte) bool) error {
	outgoing, err := c.outgoing(ctx)
	if err != nil {
		return err
	}
	outgoing, cancel := context.WithCancelCause(outgoing)
	defer cancel(nil)
	watchdog := time.AfterFunc(c.policy.Silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	fail := func(err error) error {
		if context.Cause(outgoing) == errSilent {
			return &Error{Code: codes.Unavailable, Message: fmt.Sprintf("the stream was silent for %s", c.policy.Silence)}
		}
		return c.failure(ctx, err)
	}
	stream, err := c.channel.NewStream(outgoing, &grpc.StreamDesc{ServerStreams: true}, method, c.options...)
	if err != nil {
		return fail(err)
	}
	// What SendMsg reports as io.EOF, RecvMsg explains.
	if err := stream.SendMsg(request); err != nil && err != io.EOF {
		return fail(err)
	}
	if err := stream.CloseSend(); err != nil {
		return fail(err)
	}
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return fail(err)
		}
		// The consumer may take its time.
		watchdog.Stop()
		if !take(message) {
			return nil
		}
		watchdog.Reset(c.policy.Silence)
	}
}

func (c *Conn) outgoing(ctx context.Context) (context.Context, error) {
	if c.isClosed.Load() {
		return nil, errClosed
	}
	if c.metadata == nil {
		return ctx, nil
	}
	headers, err := c.metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("promptflow: the headers of the call: %w", err)
	}
	for key, value := range headers {
		ctx = metadata.AppendToOutgoingContext(ctx, key, value)
	}
	return ctx, nil
}

func (c *Conn) failure(ctx context.Context, err error) error {
	if c.isClosed.Load() {
		return errClosed
	}
	return errorOfCall(ctx, err)
}

func marshal(message proto.Message) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, &Error{Code: codes.InvalidArgument, Reason: ReasonInvalidInput, Message: err.Error(), cause: err}
	}
	return data, nil
}

func unmarshal(data []byte, message proto.Message) error {
	if err := proto.Unmarshal(data, message); err != nil {
		// With a reason: asking again would give the same.
		why := "an answer of the server cannot be read; are client and server of the same flow?"
		return &Error{Code: codes.Internal, Reason: ReasonInternal, Message: why, cause: err}
	}
	return nil
}

func userAgent() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == modulePath {
				return "promptflow-go/" + module.Version
			}
		}
	}
	return "promptflow-go"
}
