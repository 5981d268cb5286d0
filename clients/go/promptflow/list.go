package promptflow

import (
	"context"
	"fmt"
	"iter"
	"math"

	"google.golang.org/grpc/codes"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// Filter says which runs are listed; zero fields list all.
type Filter struct {
	Flow     string
	Version  int
	Statuses []Status
	// PageSize is how many runs one call fetches, at most 1000; 0 leaves it to the server.
	PageSize int
}

// FlowFilter says how flows are listed.
type FlowFilter struct {
	// PageSize is how many flows one call fetches, at most 1000; 0 leaves it to the server.
	PageSize int
}

// FlowSummary is one flow that is served.
type FlowSummary struct {
	Flow        string
	Version     int
	Description string
	// Service is the full name of its gRPC service, Path is what its REST paths begin with.
	Service string
	Path    string
}

// Executions lists runs, the newest first; further pages are fetched while the loop goes on.
func (c *Conn) Executions(ctx context.Context, filter Filter) iter.Seq2[*Summary, error] {
	return pages(func(token string) ([]*Summary, string, error) {
		request := &v1.ListExecutionsRequest{
			Flow:      filter.Flow,
			Version:   int32(min(filter.Version, math.MaxInt32)),
			PageSize:  int32(min(filter.PageSize, math.MaxInt32)),
			PageToken: token,
		}
		for _, status := range filter.Statuses {
			number, ok := v1.ExecutionStatus_Value_value[string(status)]
			if !ok {
				why := fmt.Sprintf("%q is no status of a run", status)
				return nil, "", &Error{Code: codes.InvalidArgument, Reason: ReasonInvalidInput, Message: why}
			}
			request.Statuses = append(request.Statuses, v1.ExecutionStatus_Value(number))
		}
		answer := new(v1.ListExecutionsResponse)
		err := c.call(ctx, v1.ExecutionService_ListExecutions_FullMethodName, request, answer)
		found := make([]*Summary, 0, len(answer.GetExecutions()))
		for _, run := range answer.GetExecutions() {
			found = append(found, summaryOf(run))
		}
		return found, answer.GetNextPageToken(), err
	})
}

// Flows lists the flows that are served, by name and version.
func (c *Conn) Flows(ctx context.Context, filter FlowFilter) iter.Seq2[*FlowSummary, error] {
	return pages(func(token string) ([]*FlowSummary, string, error) {
		answer := new(v1.ListFlowsResponse)
		request := &v1.ListFlowsRequest{PageSize: int32(min(filter.PageSize, math.MaxInt32)), PageToken: token}
		err := c.call(ctx, v1.FlowService_ListFlows_FullMethodName, request, answer)
		found := make([]*FlowSummary, 0, len(answer.GetFlows()))
		for _, flow := range answer.GetFlows() {
			found = append(found, &FlowSummary{
				flow.GetFlow(), int(flow.GetVersion()), flow.GetDescription(), flow.GetService(), flow.GetPath(),
			})
		}
		return found, answer.GetNextPageToken(), err
	})
}

func summaryOf(run *v1.ExecutionSummary) *Summary {
	summary := &Summary{
		ID:       run.GetExecutionId(),
		Flow:     run.GetFlow(),
		Version:  int(run.GetVersion()),
		Status:   statusOf(run.GetStatus().Number()),
		Progress: progressOf(run.GetProgress()),
		Metadata: metadataOf(run.GetMetadata()),
	}
	if run.GetError() != nil {
		summary.Err = errorOfStatus(run.GetError())
	}
	return summary
}

// pages gives the entries of one page after the other; a page is fetched when the loop comes to it.
func pages[T any](fetch func(token string) ([]T, string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for token := ""; ; {
			found, next, err := fetch(token)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, one := range found {
				if !yield(one, nil) {
					return
				}
			}
			// A server that gave the same token again would be asked for ever.
			if next == "" || next == token {
				return
			}
			token = next
		}
	}
}
