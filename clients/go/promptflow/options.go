package promptflow

import (
	"context"
	"crypto/tls"
	"maps"
	"time"

	"google.golang.org/grpc"
)

// MetadataFunc gives the headers of one call; it is asked before each, and before each try.
type MetadataFunc func(ctx context.Context) (map[string]string, error)

// DialOption says how a connection is made.
type DialOption func(*dialOptions)

type dialOptions struct {
	tls      *tls.Config
	metadata MetadataFunc
	policy   RetryPolicy
	gzip     bool
	grpc     []grpc.DialOption
}

// WithTLS encrypts the connection; nil trusts the roots of the system. Without it, the connection is plain.
func WithTLS(config *tls.Config) DialOption {
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return func(o *dialOptions) { o.tls = config }
}

// WithAPIKey sends an API key with each call.
func WithAPIKey(key string) DialOption {
	return WithMetadata(func(context.Context) (map[string]string, error) {
		return map[string]string{"x-api-key": key}, nil
	})
}

// WithBearer sends a bearer token with each call; token is asked each time, so that tokens can be renewed.
func WithBearer(token func(ctx context.Context) (string, error)) DialOption {
	return WithMetadata(func(ctx context.Context) (map[string]string, error) {
		current, err := token(ctx)
		return map[string]string{"authorization": "Bearer " + current}, err
	})
}

// WithMetadata sends headers with each call; several of them add up.
func WithMetadata(headers MetadataFunc) DialOption {
	return func(o *dialOptions) {
		before := o.metadata
		if before == nil {
			o.metadata = headers
			return
		}
		o.metadata = func(ctx context.Context) (map[string]string, error) {
			all := map[string]string{}
			for _, one := range []MetadataFunc{before, headers} {
				found, err := one(ctx)
				if err != nil {
					return nil, err
				}
				maps.Copy(all, found)
			}
			return all, nil
		}
	}
}

// WithRetry replaces how long failures are borne; the default rides out a restart of the server.
func WithRetry(policy RetryPolicy) DialOption {
	return func(o *dialOptions) { o.policy = policy }
}

// WithGzip compresses what is sent. Compressed answers are read with or without it.
func WithGzip() DialOption {
	return func(o *dialOptions) { o.gzip = true }
}

// WithGRPC adds options of gRPC itself; they come after, and so replace, the client's own.
func WithGRPC(options ...grpc.DialOption) DialOption {
	return func(o *dialOptions) { o.grpc = append(o.grpc, options...) }
}

// RunOption says how a run is started.
type RunOption interface{ applyRun(*runOptions) }

// ReadOption says what of a run is answered.
type ReadOption interface{ applyRead(*readOptions) }

type runOptions struct {
	requestID string
	priority  *int32
	labels    map[string]string
	timeout   *time.Duration
	readOptions
}

type readOptions struct{ paths []string }

type runOption func(*runOptions)

func (apply runOption) applyRun(o *runOptions) { apply(o) }

// RequestID names the request: the same id with the same inputs never starts a second run. Give one where the caller
// itself may be restarted; without, the client makes one per call. In a batch, each run adds its place to it.
func RequestID(id string) RunOption {
	return runOption(func(o *runOptions) { o.requestID = id })
}

// Priority lets runs of a higher one go first.
func Priority(priority int32) RunOption {
	return runOption(func(o *runOptions) { o.priority = &priority })
}

// Labels are kept with the run.
func Labels(labels map[string]string) RunOption {
	return runOption(func(o *runOptions) {
		if o.labels == nil {
			o.labels = map[string]string{}
		}
		maps.Copy(o.labels, labels)
	})
}

// RunTimeout bounds the run from its acceptance; it may only shorten what the flow allows. Without it, the deadline of
// the context bounds a run that is awaited.
func RunTimeout(timeout time.Duration) RunOption {
	return runOption(func(o *runOptions) { o.timeout = &timeout })
}
