package promptflow_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	sentimentanalysis "github.com/promptflow-grpc/promptflow-go/flows/sentiment_analysis/v1"
	"github.com/promptflow-grpc/promptflow-go/promptflow"
	pb "github.com/promptflow-grpc/promptflow-go/promptflow_api/flows/sentiment_analysis/v1"
	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// scripted is a server that misbehaves as told: each call takes the next answer of the script.
type scripted struct {
	pb.UnimplementedSentimentAnalysisServiceServer
	v1.UnimplementedExecutionServiceServer
	mutex    sync.Mutex
	streams  []func(grpc.ServerStreamingServer[pb.Event]) error
	calls    []func() (*pb.Execution, error)
	requests []*pb.ExecuteRequest
	watches  []int32
	masks    [][]string
	lists    []*v1.ListExecutionsRequest
	batches  []*pb.BatchExecuteRequest
	batch    func(number int, request *pb.BatchExecuteRequest) (*pb.BatchExecuteResponse, error)
	headers  []metadata.MD
}

func (s *scripted) next() func(grpc.ServerStreamingServer[pb.Event]) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if len(s.streams) == 0 {
		return func(grpc.ServerStreamingServer[pb.Event]) error {
			return status.Error(codes.DataLoss, "the script is over")
		}
	}
	one := s.streams[0]
	s.streams = s.streams[1:]
	return one
}

func (s *scripted) ExecuteStream(request *pb.ExecuteRequest, stream grpc.ServerStreamingServer[pb.Event]) error {
	headers, _ := metadata.FromIncomingContext(stream.Context())
	s.mutex.Lock()
	s.requests = append(s.requests, request)
	s.headers = append(s.headers, headers)
	s.mutex.Unlock()
	return s.next()(stream)
}

func (s *scripted) Watch(request *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.Event]) error {
	s.mutex.Lock()
	s.watches = append(s.watches, request.GetAfterSequence())
	s.masks = append(s.masks, request.GetReadMask().GetPaths())
	s.mutex.Unlock()
	return s.next()(stream)
}

func (s *scripted) Execute(_ context.Context, request *pb.ExecuteRequest) (*pb.Execution, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.requests = append(s.requests, request)
	one := s.calls[0]
	s.calls = s.calls[1:]
	return one()
}

func (s *scripted) GetStatus(_ context.Context, request *pb.GetStatusRequest) (*pb.Execution, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.masks = append(s.masks, request.GetReadMask().GetPaths())
	return &pb.Execution{ExecutionId: request.GetExecutionId()}, nil
}

func (s *scripted) BatchExecute(_ context.Context, request *pb.BatchExecuteRequest) (*pb.BatchExecuteResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.batches = append(s.batches, request)
	return s.batch(len(s.batches), request)
}

func (s *scripted) ListExecutions(_ context.Context, request *v1.ListExecutionsRequest) (*v1.ListExecutionsResponse, error) {
	s.mutex.Lock()
	s.lists = append(s.lists, proto.CloneOf(request))
	s.mutex.Unlock()
	switch request.GetPageToken() {
	case "":
		return &v1.ListExecutionsResponse{Executions: []*v1.ExecutionSummary{{ExecutionId: "a"}, {ExecutionId: "b"}}, NextPageToken: "2"}, nil
	case "2":
		return &v1.ListExecutionsResponse{NextPageToken: "3"}, nil
	case "3":
		return &v1.ListExecutionsResponse{Executions: []*v1.ExecutionSummary{{ExecutionId: "c"}}, NextPageToken: "4"}, nil
	default:
		return nil, status.Error(codes.InvalidArgument, "no such page")
	}
}

// events sends events of these sequences, then ends as told.
func events(last error, sequences ...int32) func(grpc.ServerStreamingServer[pb.Event]) error {
	return func(stream grpc.ServerStreamingServer[pb.Event]) error {
		for _, sequence := range sequences {
			if err := stream.Send(event(sequence)); err != nil {
				return err
			}
		}
		return last
	}
}

func event(sequence int32) *pb.Event {
	made := &pb.Event{ExecutionId: "run-1", Sequence: sequence}
	switch sequence {
	case 0:
		made.Event = &pb.Event_Heartbeat{Heartbeat: &v1.HeartbeatEvent{}}
	case 9:
		made.Event = &pb.Event_Done{Done: &pb.Execution{
			ExecutionId: "run-1",
			Status:      v1.ExecutionStatus_COMPLETED,
			Result:      &pb.Result{Analyze: &pb.SentimentAnalyzerOutput{Label: proto.String("positive")}},
		}}
	default:
		made.Event = &pb.Event_StepStarted{StepStarted: &v1.StepStartedEvent{Step: "analyze", Attempt: 1}}
	}
	return made
}

func serve(t *testing.T, script *scripted, options ...promptflow.DialOption) *promptflow.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterSentimentAnalysisServiceServer(server, script)
	v1.RegisterExecutionServiceServer(server, script)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := promptflow.Dial(listener.Addr().String(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func quick() promptflow.DialOption {
	return promptflow.WithRetry(promptflow.RetryPolicy{
		Patience: 2 * time.Second, Initial: 5 * time.Millisecond, Max: 20 * time.Millisecond,
	})
}

var inputs = sentimentanalysis.Inputs{Text: "hi"}

func TestAStreamIsTakenUpAgainWithoutGapOrRepeat(t *testing.T) {
	script := &scripted{streams: []func(grpc.ServerStreamingServer[pb.Event]) error{
		events(status.Error(codes.Unavailable, "not yet")),
		events(status.Error(codes.Internal, "RST_STREAM"), 1, 2),
		events(nil, 2, 3, 0),
		events(status.Error(codes.Unavailable, "cut")),
		events(nil, 3, 4, 9, 10),
	}}
	client := sentimentanalysis.New(serve(t, script, quick()))
	var seen []int
	for event, err := range client.Stream(t.Context(), inputs) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, event.Info().Sequence)
	}
	if want := []int{1, 2, 3, 4, 9}; !slices.Equal(seen, want) {
		t.Errorf("events are %v, not %v", seen, want)
	}
	if want := []int32{2, 3, 3}; !slices.Equal(script.watches, want) {
		t.Errorf("it resumed after %v, not %v", script.watches, want)
	}
	if len(script.requests) != 2 || script.requests[0].GetOptions().GetRequestId() != script.requests[1].GetOptions().GetRequestId() {
		t.Errorf("the run was asked for by %v", script.requests)
	}
}

func TestAFailureBeforeTheFirstEventIsNotRepeated(t *testing.T) {
	for _, code := range []codes.Code{codes.Internal, codes.Unknown, codes.ResourceExhausted, codes.FailedPrecondition} {
		script := &scripted{streams: []func(grpc.ServerStreamingServer[pb.Event]) error{events(status.Error(code, "no")), events(nil, 9)}}
		_, err := sentimentanalysis.New(serve(t, script, quick())).Run(t.Context(), inputs)
		if status.Code(err) != code || len(script.requests) != 1 {
			t.Errorf("%s gave %v after %d requests", code, err, len(script.requests))
		}
	}
}

func TestASilentStreamCountsAsCut(t *testing.T) {
	silent := func(stream grpc.ServerStreamingServer[pb.Event]) error {
		if err := stream.Send(event(1)); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	mute := func(stream grpc.ServerStreamingServer[pb.Event]) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	script := &scripted{streams: []func(grpc.ServerStreamingServer[pb.Event]) error{mute, silent, events(nil, 9)}}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	policy := promptflow.RetryPolicy{Silence: 500 * time.Millisecond, Initial: 5 * time.Millisecond}
	result, err := sentimentanalysis.New(serve(t, script, promptflow.WithRetry(policy))).Run(ctx, inputs)
	if err != nil || result.Analyze.Label != "positive" {
		t.Errorf("it gave %+v, %v", result, err)
	}
}

func TestPatienceBeginsAfreshWithEachNewEvent(t *testing.T) {
	script := &scripted{}
	for sequence := range int32(8) {
		script.streams = append(script.streams, events(status.Error(codes.Unavailable, "cut"), sequence+1))
	}
	script.streams = append(script.streams, events(nil, 9))
	policy := promptflow.RetryPolicy{Patience: 100 * time.Millisecond, Initial: 40 * time.Millisecond, Max: 40 * time.Millisecond}
	if _, err := sentimentanalysis.New(serve(t, script, promptflow.WithRetry(policy))).Run(t.Context(), inputs); err != nil {
		t.Error(err)
	}
}

func TestACallMeetsUnavailableWithTheSameRequestAndTheDelayAskedFor(t *testing.T) {
	busy, err := status.New(codes.Unavailable, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(300 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	script := &scripted{calls: []func() (*pb.Execution, error){
		func() (*pb.Execution, error) { return nil, busy.Err() },
		func() (*pb.Execution, error) { return &pb.Execution{ExecutionId: "run-1"}, nil },
	}}
	started := time.Now()
	handle, err := sentimentanalysis.New(serve(t, script, quick())).Start(t.Context(), inputs)
	if err != nil || handle.ID() != "run-1" || time.Since(started) < 300*time.Millisecond {
		t.Errorf("after %s: %v", time.Since(started), err)
	}
	if !proto.Equal(script.requests[0], script.requests[1]) || script.requests[0].GetOptions().GetRequestId() == "" {
		t.Errorf("the requests were %v", script.requests)
	}
}

func TestPatienceWithANobodyEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	conn, err := promptflow.Dial(address, promptflow.WithRetry(promptflow.RetryPolicy{Patience: 300 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := sentimentanalysis.New(conn).Run(t.Context(), inputs); status.Code(err) != codes.Unavailable {
		t.Errorf("it gave %v", err)
	}
}

func TestTheDeadlineGoesAlongWithTheRun(t *testing.T) {
	script := &scripted{streams: []func(grpc.ServerStreamingServer[pb.Event]) error{events(nil, 9), events(nil, 9)}}
	client := sentimentanalysis.New(serve(t, script))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, options := range [][]promptflow.RunOption{nil, {promptflow.RunTimeout(time.Second), promptflow.Priority(3)}} {
		if _, err := client.Run(ctx, inputs, options...); err != nil {
			t.Fatal(err)
		}
	}
	first, second := script.requests[0].GetOptions(), script.requests[1].GetOptions()
	if sent := first.GetTimeout().AsDuration(); sent < 50*time.Second || sent > time.Minute {
		t.Errorf("the deadline went as %s", sent)
	}
	if second.GetTimeout().AsDuration() != time.Second || second.GetPriority() != 3 || first.Priority != nil {
		t.Errorf("the options went as %v", second)
	}
}

func TestHeadersAreMadeForEachTry(t *testing.T) {
	script := &scripted{streams: []func(grpc.ServerStreamingServer[pb.Event]) error{
		events(status.Error(codes.Unavailable, "")), events(nil, 9),
	}}
	tokens := []string{"one", "two"}
	token := func(context.Context) (string, error) {
		next := tokens[0]
		tokens = tokens[1:]
		return next, nil
	}
	conn := serve(t, script, quick(), promptflow.WithAPIKey("key"), promptflow.WithBearer(token), promptflow.WithGzip())
	if _, err := sentimentanalysis.New(conn).Run(t.Context(), inputs); err != nil {
		t.Fatal(err)
	}
	for index, want := range []string{"Bearer one", "Bearer two"} {
		headers := script.headers[index]
		if !slices.Equal(headers.Get("authorization"), []string{want}) || !slices.Equal(headers.Get("x-api-key"), []string{"key"}) {
			t.Errorf("the headers of try %d are %v", index, headers)
		}
	}
	broken := errors.New("no token")
	conn = serve(t, script, promptflow.WithBearer(func(context.Context) (string, error) { return "", broken }))
	if _, err := sentimentanalysis.New(conn).Info(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a hook that failed gave %v", err)
	}
}

func TestListsFetchWhatIsLookedAt(t *testing.T) {
	var seen []string
	var last error
	for run, err := range serve(t, &scripted{}).Executions(t.Context(), promptflow.Filter{}) {
		if last = err; err == nil {
			seen = append(seen, run.ID)
		}
	}
	if !slices.Equal(seen, []string{"a", "b", "c"}) || status.Code(last) != codes.InvalidArgument {
		t.Errorf("it gave %v, then %v", seen, last)
	}
	for _, err := range serve(t, &scripted{}).Executions(t.Context(), promptflow.Filter{Statuses: []promptflow.Status{"ODD"}}) {
		if !errors.Is(err, promptflow.ReasonInvalidInput) {
			t.Errorf("a status that is none gave %v", err)
		}
	}
}

func TestAnAnswerThatCannotBeReadIsNotAskedForAgain(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	server := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		calls++
		return stream.SendMsg([]byte{0xff})
	}))
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	conn, err := promptflow.Dial(listener.Addr().String(), quick())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = sentimentanalysis.New(conn).Handle("run-1").Result(t.Context())
	if !errors.Is(err, promptflow.ReasonInternal) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

// bytesCodec sends what is no message.
type bytesCodec struct{}

func (bytesCodec) Name() string                       { return "proto" }
func (bytesCodec) Marshal(value any) ([]byte, error)  { return value.([]byte), nil }
func (bytesCodec) Unmarshal(data []byte, _ any) error { return nil }

func TestInputsByNameAreRefusedAllAtOnce(t *testing.T) {
	client := sentimentanalysis.New(serve(t, &scripted{})).Untyped()
	_, err := client.Run(t.Context(), map[string]any{"text": 7, "tetx": "x"})
	var failure *promptflow.Error
	if !errors.As(err, &failure) || len(failure.Violations) != 2 || failure.Violations[0].Field != "tetx" {
		t.Errorf("it gave %v", err)
	}
}

func TestAReaderThatFailsSaysWhichInput(t *testing.T) {
	file := promptflow.FileReader(brokenReader{}, "x.png")
	_, err := documentClient(t).Run(t.Context(), documentInputs(file))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("it gave %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
