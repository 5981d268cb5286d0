// Package conformance runs the table of cases that the clients of all languages share. It is no part of the client.
//
// A program for some flows names their clients and calls Serve. Cases come as JSON lines on standard input, outcomes go
// as JSON lines to standard output.
package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/promptflow-grpc/promptflow-go/promptflow"
)

// Case is what is to be done.
type Case struct {
	ID          int               `json:"id"`
	Flow        string            `json:"flow"`
	Version     int               `json:"version"`
	Call        string            `json:"call"`
	ExecutionID string            `json:"execution_id"`
	Inputs      json.RawMessage   `json:"inputs"`
	Batch       []json.RawMessage `json:"batch"`
	ReadMask    []string          `json:"read_mask"`
	TimeoutS    float64           `json:"timeout_s"`
}

// Outcome is what came.
type Outcome struct {
	Result     any               `json:"result"`
	Steps      map[string]string `json:"steps,omitempty"`
	Status     string            `json:"status"`
	Reason     string            `json:"reason"`
	Message    string            `json:"message"`
	Step       string            `json:"step"`
	Violations map[string]string `json:"violations,omitempty"`
	Outcomes   []*Outcome        `json:"outcomes,omitempty"`
}

type answer struct {
	ID int `json:"id"`
	*Outcome
}

// Flow does what a case says with the client of one flow.
type Flow func(ctx context.Context, one Case) (*Outcome, error)

// Key names a flow in the table of Serve.
func Key(flow string, version int) string { return fmt.Sprintf("%s@%d", flow, version) }

// Serve answers cases until there are no more.
func Serve(input io.Reader, output io.Writer, flows map[string]Flow) error {
	lines := bufio.NewReader(input)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var one Case
		if err := json.Unmarshal(line, &one); err != nil {
			return err
		}
		flow := flows[Key(one.Flow, one.Version)]
		if flow == nil {
			return fmt.Errorf("this program has no flow %s", Key(one.Flow, one.Version))
		}
		line, err = json.Marshal(answer{one.ID, outcomeFor(flow, one)})
		if err != nil {
			return err
		}
		if _, err := output.Write(append(line, '\n')); err != nil {
			return err
		}
	}
}

func outcomeFor(flow Flow, one Case) *Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(one.TimeoutS*float64(time.Second)))
	defer cancel()
	outcome, err := flow(ctx, one)
	if err != nil {
		return failureOf(err)
	}
	return outcome
}

func failureOf(err error) *Outcome {
	var failure *promptflow.Error
	if !errors.As(err, &failure) {
		return &Outcome{Status: "UNKNOWN", Message: err.Error()}
	}
	violations := map[string]string{}
	for _, violation := range failure.Violations {
		violations[violation.Field] = violation.Description
	}
	return &Outcome{
		Status:     code.Code_name[int32(failure.Code)],
		Reason:     string(failure.Reason),
		Message:    failure.Message,
		Step:       failure.Step,
		Violations: violations,
	}
}

func nativeInputs(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var inputs map[string]any
	if err := decoder.Decode(&inputs); err != nil {
		return nil, err
	}
	for name, value := range inputs {
		native, err := nativeOf(value)
		if err != nil {
			return nil, err
		}
		inputs[name] = native
	}
	return inputs, nil
}

// nativeOf is a tagged value as the client takes it.
func nativeOf(value any) (any, error) {
	switch value := value.(type) {
	case []any:
		for index, item := range value {
			native, err := nativeOf(item)
			if err != nil {
				return nil, err
			}
			value[index] = native
		}
		return value, nil
	case map[string]any:
		if native, err := tagged(value); native != nil || err != nil {
			return native, err
		}
		for key, item := range value {
			native, err := nativeOf(item)
			if err != nil {
				return nil, err
			}
			value[key] = native
		}
		return value, nil
	default:
		return value, nil
	}
}

func tagged(value map[string]any) (any, error) {
	if path, ok := value["$file"].(string); ok {
		return promptflow.FileFrom(path), nil
	}
	if content, ok := value["$content"].(string); ok {
		data, err := base64.StdEncoding.DecodeString(content)
		name, _ := value["name"].(string)
		return promptflow.FileBytes(data, name), err
	}
	if content, ok := value["$bytes"].(string); ok {
		return base64.StdEncoding.DecodeString(content)
	}
	if text, ok := value["$timestamp"].(string); ok {
		return time.Parse(time.RFC3339Nano, text)
	}
	if text, ok := value["$duration"].(string); ok {
		seconds, err := strconv.ParseFloat(strings.TrimSuffix(text, "s"), 64)
		return time.Duration(seconds * float64(time.Second)), err
	}
	return nil, nil
}
