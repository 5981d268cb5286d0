package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/promptflow-grpc/promptflow-go/promptflow"
)

// For is a flow by its connection and client. Inputs go as the flow's struct where that can hold them, else by name.
func For[I, R, S any](conn *promptflow.Conn, client *promptflow.Client[I, R, S]) Flow {
	return func(ctx context.Context, one Case) (*Outcome, error) {
		if one.Call == "flows" {
			return flowOf(ctx, conn, one)
		}
		values := one.Batch
		if one.Call != "batch" {
			values = []json.RawMessage{one.Inputs}
		}
		inputs := make([]map[string]any, len(values))
		for index, value := range values {
			var err error
			if inputs[index], err = nativeInputs(value); err != nil {
				return nil, err
			}
		}
		if typed, ok := filledAll[I](inputs); ok {
			return call(ctx, client, one, typed)
		}
		return call(ctx, client.Untyped(), one, inputs)
	}
}

// call does what a case says with the inputs of its batch, or with the first and only ones.
func call[I, R, S any](ctx context.Context, client *promptflow.Client[I, R, S], one Case, inputs []I) (*Outcome, error) {
	mask := promptflow.ReadMask(one.ReadMask...)
	switch one.Call {
	case "run":
		return resultOf(client.Run(ctx, inputs[0], mask))
	case "stream":
		return lastOf[R, S](client.Stream(ctx, inputs[0], mask))
	case "start":
		handle, err := client.Start(ctx, inputs[0], mask)
		if err != nil {
			return nil, err
		}
		return resultOf(handle.Result(ctx))
	case "batch":
		return batchOf(client.RunBatch(ctx, inputs, mask))
	case "plan":
		plan, err := client.Plan(ctx, inputs[0])
		if err != nil {
			return nil, err
		}
		return &Outcome{Status: "OK", Result: plainPlan(plan)}, nil
	}
	handle := client.Handle(one.ExecutionID)
	if one.ExecutionID == "" {
		var err error
		if handle, err = ended(ctx, client, inputs[0]); err != nil {
			return nil, err
		}
	}
	switch one.Call {
	case "executions":
		return runOf(handle.ID(), client.Executions(ctx, promptflow.Filter{PageSize: 1}))
	case "watch":
		return lastOf[R, S](handle.Events(ctx, 0, mask))
	case "status":
		return outcomeOf(handle.Status(ctx, mask))
	case "cancel":
		return outcomeOf(handle.Cancel(ctx))
	default:
		return nil, fmt.Errorf("%q is no call", one.Call)
	}
}

// ended is a run that was started and has ended, well or not.
func ended[I, R, S any](ctx context.Context, client *promptflow.Client[I, R, S], inputs I) (*promptflow.Handle[R, S], error) {
	handle, err := client.Start(ctx, inputs)
	if err != nil {
		return nil, err
	}
	var failure *promptflow.Error
	if _, err := handle.Result(ctx); err != nil && !errors.As(err, &failure) {
		return nil, err
	}
	return handle, nil
}

func resultOf[R any](result *R, err error) (*Outcome, error) {
	if err != nil {
		return nil, err
	}
	return &Outcome{Status: "OK", Result: plain(result)}, nil
}

func lastOf[R, S any](events iter.Seq2[promptflow.Event, error]) (*Outcome, error) {
	var last promptflow.Event
	for event, err := range events {
		if err != nil {
			return nil, err
		}
		last = event
	}
	done, ok := last.(*promptflow.Done[R, S])
	if !ok {
		return nil, fmt.Errorf("the stream ended with %T", last)
	}
	return outcomeOf(done.Execution, nil)
}

func outcomeOf[R, S any](execution *promptflow.Execution[R, S], err error) (*Outcome, error) {
	if err != nil {
		return nil, err
	}
	if execution.Err != nil {
		return nil, execution.Err
	}
	return &Outcome{Status: "OK", Result: plain(execution.Result), Steps: stepsOf(&execution.Steps)}, nil
}

func batchOf[R, S any](found []promptflow.Outcome[R, S], err error) (*Outcome, error) {
	if err != nil {
		return nil, err
	}
	whole := &Outcome{Status: "OK"}
	for _, one := range found {
		outcome, err := resultOf(one.Result())
		if err != nil {
			outcome = failureOf(err)
		}
		whole.Outcomes = append(whole.Outcomes, outcome)
	}
	return whole, nil
}

func runOf(id string, runs iter.Seq2[*promptflow.Summary, error]) (*Outcome, error) {
	for run, err := range runs {
		if err != nil {
			return nil, err
		}
		if run.ID == id {
			result := map[string]any{
				"execution_id": run.ID, "flow": run.Flow, "version": run.Version, "status": string(run.Status),
			}
			return &Outcome{Status: "OK", Result: result}, nil
		}
	}
	return nil, fmt.Errorf("the run %s is not listed", id)
}

func flowOf(ctx context.Context, conn *promptflow.Conn, one Case) (*Outcome, error) {
	for flow, err := range conn.Flows(ctx, promptflow.FlowFilter{PageSize: 1}) {
		if err != nil {
			return nil, err
		}
		if flow.Flow == one.Flow && flow.Version == one.Version {
			result := map[string]any{
				"flow": flow.Flow, "version": flow.Version, "service": flow.Service, "path": flow.Path,
			}
			return &Outcome{Status: "OK", Result: result}, nil
		}
	}
	return nil, fmt.Errorf("the flow %s is not listed", Key(one.Flow, one.Version))
}

func plainPlan(plan *promptflow.Plan) map[string]any {
	steps := []any{}
	for _, step := range plan.Steps {
		steps = append(steps, map[string]any{
			"step": step.Step, "executor": step.Executor, "queue": step.Queue, "needs": plain(step.Needs),
			"stage": step.Stage, "decision": string(step.Decision), "items": plain(step.Items), "cost": plain(step.Cost),
			"config": step.Config,
		})
	}
	return map[string]any{"flow": plan.Flow, "version": plan.Version, "bundle_digest": plan.BundleDigest, "steps": steps}
}
