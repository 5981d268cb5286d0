package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	naps "example.com/e2e/flows/naps/v1"
	"github.com/promptflow-grpc/promptflow-go/promptflow"
)

// complete checks that events are those of one whole run: dense, in order, each once, done last.
func complete(t *testing.T, events []naps.Event) *naps.Execution {
	t.Helper()
	last := 0
	for _, event := range events {
		if sequence := event.Info().Sequence; sequence != 0 {
			if sequence != last+1 {
				t.Errorf("%T has the sequence %d after %d", event, sequence, last)
			}
			last = sequence
		}
	}
	done, ok := events[len(events)-1].(*naps.Done)
	if !ok {
		t.Fatalf("the stream ended with %T", events[len(events)-1])
	}
	if done.Execution.Status != promptflow.StatusCompleted {
		t.Fatalf("the run ended %s: %v", done.Execution.Status, done.Execution.Err)
	}
	return done.Execution
}

func TestAStreamOutlivesCuts(t *testing.T) {
	t.Parallel()
	proxy := newProxy(t, os.Getenv("PROMPTFLOW_ADDRESS"))
	client := naps.New(dialTo(t, proxy.address()))
	var events []naps.Event
	for event, err := range client.Stream(t.Context(), nap(1)) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
		if event.Info().Sequence%2 == 1 {
			proxy.cut()
		}
	}
	execution := complete(t, events)
	if proxy.cuts() < 3 {
		t.Errorf("only %d connections were cut", proxy.cuts())
	}
	if len(execution.Result.Both.Notes) != 2 || execution.Steps.Left.State.Attempts != 1 {
		t.Errorf("the run gave %+v", execution)
	}
}

func TestAStreamOutlivesTheServer(t *testing.T) {
	t.Parallel()
	pids := strings.Fields(os.Getenv("PROMPTFLOW_SERVER_PIDS"))
	var events []naps.Event
	killed := 0
	for event, err := range naps.New(dial(t)).Stream(t.Context(), nap(3)) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
		if _, ok := event.(*naps.StepStarted); ok {
			for _, pid := range pids {
				number, err := strconv.Atoi(pid)
				if err == nil {
					err = syscall.Kill(number, syscall.SIGKILL)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			killed, pids = killed+len(pids), nil
		}
	}
	complete(t, events)
	if killed == 0 && os.Getenv("PROMPTFLOW_SERVER_PIDS") != "" {
		t.Error("the run ended before a server was killed")
	}
}

func TestARunIsReachedFromAnywhere(t *testing.T) {
	t.Parallel()
	handle, err := naps.New(dial(t)).Start(t.Context(), nap(0.4), promptflow.Labels(map[string]string{"team": "go"}))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := naps.New(dial(t)).Handle(handle.ID())
	result, err := elsewhere.Result(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Both.Notes) != 2 {
		t.Errorf("the result is %+v", result)
	}
	execution, err := elsewhere.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if execution.Metadata.Labels["team"] != "go" || execution.Steps.Both.Output == nil {
		t.Errorf("the run is %+v", execution)
	}
	first := 0
	for event, err := range elsewhere.Events(t.Context(), 3) {
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 {
			first = event.Info().Sequence
		}
	}
	if first != 4 {
		t.Errorf("after 3 came %d", first)
	}
}

func TestACancelledRunSaysSo(t *testing.T) {
	t.Parallel()
	handle, err := naps.New(dial(t)).Start(t.Context(), nap(30))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handle.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = handle.Result(t.Context())
	var failure *promptflow.Error
	if !errors.As(err, &failure) || !errors.Is(err, promptflow.ReasonExecutionCancelled) || failure.ExecutionID != handle.ID() {
		t.Errorf("a cancelled run gave %v", err)
	}
	if errors.Is(err, context.Canceled) {
		t.Error("a cancelled run reads as a caller that cancelled")
	}
}

func TestTheDeadlineOfAContextBoundsTheRun(t *testing.T) {
	t.Parallel()
	client := naps.New(dial(t))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := client.Run(ctx, nap(30))
	var failure *promptflow.Error
	if !errors.As(err, &failure) || failure.Code != codes.DeadlineExceeded {
		t.Fatalf("a deadline gave %v", err)
	}
	if !errors.Is(err, context.DeadlineExceeded) && failure.Reason != promptflow.ReasonExecutionTimeout {
		t.Errorf("a deadline reads as %v", err)
	}
	_, err = client.Handle(failure.ExecutionID).Result(t.Context())
	if !errors.Is(err, promptflow.ReasonExecutionTimeout) {
		t.Errorf("the run ended with %v", err)
	}
}

func TestARequestIDStartsOneRun(t *testing.T) {
	t.Parallel()
	client, id := naps.New(dial(t)), promptflow.RequestID(t.Name()+strconv.FormatInt(time.Now().UnixNano(), 36))
	first, err := client.Start(t.Context(), nap(0.1), id)
	if err != nil {
		t.Fatal(err)
	}
	second, err := client.Start(t.Context(), nap(0.1), id)
	if err != nil || second.ID() != first.ID() {
		t.Errorf("the same request started %s and %s: %v", first.ID(), second.ID(), err)
	}
	if _, err = client.Start(t.Context(), nap(0.2), id); !errors.Is(err, promptflow.ReasonRequestIDReused) {
		t.Errorf("other inputs under the same id gave %v", err)
	}
}

func TestACancelledContextEndsStreamsAndGoroutinesAtOnce(t *testing.T) {
	before := runtime.NumGoroutine()
	conn := dial(t)
	client := naps.New(conn)
	ctx, cancel := context.WithCancel(t.Context())
	handle, err := client.Start(t.Context(), nap(30))
	if err != nil {
		t.Fatal(err)
	}
	var last error
	var cancelledAt time.Time
	for _, err := range handle.Events(ctx, 0) {
		if last = err; err == nil && cancelledAt.IsZero() {
			cancelledAt = time.Now()
			cancel()
		}
	}
	if !errors.Is(last, context.Canceled) || time.Since(cancelledAt) > time.Second {
		t.Errorf("after %s: %v", time.Since(cancelledAt), last)
	}
	for range handle.Events(t.Context(), 0) {
		break
	}
	if _, err := handle.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
	if _, err := handle.Status(t.Context()); err == nil {
		t.Error("a closed connection answers")
	}
}
