package promptflow_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	documentinsight "github.com/promptflow-grpc/promptflow-go/flows/document_insight/v1"
	sentimentanalysis "github.com/promptflow-grpc/promptflow-go/flows/sentiment_analysis/v1"
	"github.com/promptflow-grpc/promptflow-go/promptflow"
	pb "github.com/promptflow-grpc/promptflow-go/promptflow_api/flows/sentiment_analysis/v1"
	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// told answers each request with its own text as the label.
func told(_ int, request *pb.BatchExecuteRequest) (*pb.BatchExecuteResponse, error) {
	answer := &pb.BatchExecuteResponse{}
	for _, one := range request.GetRequests() {
		answer.Outcomes = append(answer.Outcomes, &pb.BatchOutcome{Outcome: &pb.BatchOutcome_Execution{Execution: &pb.Execution{
			Status: v1.ExecutionStatus_COMPLETED,
			Result: &pb.Result{Analyze: &pb.SentimentAnalyzerOutput{Label: proto.String(one.GetText())}},
		}}})
	}
	return answer, nil
}

func many(count int) []sentimentanalysis.Inputs {
	inputs := make([]sentimentanalysis.Inputs, count)
	for index := range inputs {
		inputs[index].Text = fmt.Sprint(index)
	}
	return inputs
}

func TestMoreInputsThanACallTakesGoInSeveralWithTheSameIdsAgain(t *testing.T) {
	script := &scripted{batch: func(number int, request *pb.BatchExecuteRequest) (*pb.BatchExecuteResponse, error) {
		if number == 2 {
			return nil, status.Error(codes.Unavailable, "cut")
		}
		return told(number, request)
	}}
	client := sentimentanalysis.New(serve(t, script, quick()))
	outcomes, err := client.RunBatch(t.Context(), many(2001), promptflow.RequestID("order"), promptflow.ReadMask("status"))
	if err != nil {
		t.Fatal(err)
	}
	for index, outcome := range outcomes {
		if result, err := outcome.Result(); err != nil || result.Analyze.Label != fmt.Sprint(index) {
			t.Fatalf("run %d gave %+v, %v", index, result, err)
		}
	}
	ids := map[string]bool{}
	for _, batch := range script.batches {
		for _, request := range batch.GetRequests() {
			options := request.GetOptions()
			ids[options.GetRequestId()] = options.GetRequestId() == "order-"+request.GetText()
			if paths := options.GetReadMask().GetPaths(); !slices.Equal(paths, []string{"status", "result", "execution_id", "error"}) {
				t.Fatalf("the mask is %v", paths)
			}
			if request.GetExecutionMode() != v1.ExecutionMode_SYNC {
				t.Fatalf("the mode is %v", request.GetExecutionMode())
			}
		}
	}
	if len(outcomes) != 2001 || len(ids) != 2001 || len(script.batches) != 4 {
		t.Errorf("%d outcomes of %d runs in %d calls", len(outcomes), len(ids), len(script.batches))
	}
	for id, isRight := range ids {
		if !isRight {
			t.Errorf("%s went with another input", id)
		}
	}
}

func TestAMisfitStandsInItsPlaceAndTheOthersRun(t *testing.T) {
	script := &scripted{batch: told}
	client := sentimentanalysis.New(serve(t, script)).Untyped()
	outcomes, err := client.RunBatch(t.Context(), []map[string]any{{"text": "a"}, {"text": 5}, {"text": "c"}})
	if err != nil || len(outcomes) != 3 || outcomes[0].Err != nil || outcomes[2].Err != nil {
		t.Fatalf("it gave %+v, %v", outcomes, err)
	}
	if !errors.Is(outcomes[1].Err, promptflow.ReasonInvalidInput) || outcomes[2].Execution.Result.Analyze.Label != "c" {
		t.Errorf("it gave %+v", outcomes)
	}
	files := []documentinsight.Inputs{{Document: promptflow.FileFrom("/nowhere.png")}}
	unread, err := documentClient(t).RunBatch(t.Context(), files)
	if err != nil || !errors.Is(unread[0].Err, promptflow.ReasonFileUnreadable) || !errors.Is(unread[0].Err, fs.ErrNotExist) {
		t.Errorf("a file that is not there gave %+v, %v", unread, err)
	}
}

func TestTheDeadlineBoundsABatchAsAWhole(t *testing.T) {
	release := make(chan struct{})
	script := &scripted{batch: func(int, *pb.BatchExecuteRequest) (*pb.BatchExecuteResponse, error) {
		<-release
		return nil, status.Error(codes.Unavailable, "over")
	}}
	client := sentimentanalysis.New(serve(t, script))
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	started := time.Now()
	outcomes, err := client.RunBatch(ctx, many(6000))
	if outcomes != nil || !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Second {
		t.Errorf("after %s: %d outcomes, %v", time.Since(started), len(outcomes), err)
	}
}

func TestAFailureOfTheCallIsThatOfTheBatch(t *testing.T) {
	script := &scripted{batch: func(number int, request *pb.BatchExecuteRequest) (*pb.BatchExecuteResponse, error) {
		if len(request.GetRequests()) == 1 {
			return &pb.BatchExecuteResponse{}, nil
		}
		return told(number, request)
	}}
	client := sentimentanalysis.New(serve(t, script))
	outcomes, err := client.RunBatch(t.Context(), many(1001))
	if outcomes != nil || err == nil || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("it gave %d outcomes, %v", len(outcomes), err)
	}
	if outcomes, err = client.RunBatch(t.Context(), nil); err != nil || len(outcomes) != 0 {
		t.Errorf("no inputs gave %v, %v", outcomes, err)
	}
}

func TestReadMasksTravelWithWhatTheClientNeedsItself(t *testing.T) {
	script := &scripted{streams: []func(grpc.ServerStreamingServer[pb.Event]) error{
		events(status.Error(codes.Unavailable, "cut"), 1), events(nil, 9), events(nil, 9), events(nil, 9),
	}}
	client := sentimentanalysis.New(serve(t, script, quick()))
	if _, err := client.Run(t.Context(), inputs, promptflow.ReadMask("steps.analyze")); err != nil {
		t.Fatal(err)
	}
	handle := client.Handle("run-1")
	for _, err := range handle.Events(t.Context(), 0, promptflow.ReadMask("result.analyze", "status")) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := handle.Status(t.Context(), promptflow.ReadMask("progress")); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Run(t.Context(), inputs); err != nil {
		t.Fatal(err)
	}
	needed := []string{"execution_id", "status", "error"}
	ofRun := append([]string{"steps.analyze", "result"}, needed...)
	want := [][]string{ofRun, {"result.analyze", "status", "execution_id", "error"}, append([]string{"progress"}, needed...)}
	if !slices.EqualFunc(script.masks, want, slices.Equal) {
		t.Errorf("the masks of what follows are %v, not %v", script.masks, want)
	}
	if sent := script.requests[0].GetOptions().GetReadMask().GetPaths(); !slices.Equal(sent, ofRun) {
		t.Errorf("the mask of the run is %v", sent)
	}
	if last := script.requests[len(script.requests)-1].GetOptions(); last.GetReadMask() != nil {
		t.Errorf("without a mask went %v", last)
	}
}

func TestTheRunsOfOneFlowAreListed(t *testing.T) {
	script := &scripted{}
	filter := promptflow.Filter{Flow: "another", Statuses: []promptflow.Status{promptflow.StatusFailed}, PageSize: 7}
	for run, err := range sentimentanalysis.New(serve(t, script)).Executions(t.Context(), filter) {
		if err != nil || run.ID != "a" {
			t.Errorf("it gave %v, %v", run, err)
		}
		break
	}
	want := &v1.ListExecutionsRequest{Flow: "sentiment_analysis", Version: 1, PageSize: 7, Statuses: []v1.ExecutionStatus_Value{v1.ExecutionStatus_FAILED}}
	if len(script.lists) != 1 || !proto.Equal(script.lists[0], want) {
		t.Errorf("it asked for %v", script.lists)
	}
}
