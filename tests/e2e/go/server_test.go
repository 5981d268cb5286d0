package main

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	documentinsight "example.com/e2e/flows/document_insight/v1"
	everytype "example.com/e2e/flows/every_type/v1"
	naps "example.com/e2e/flows/naps/v1"
	sentimentanalysis "example.com/e2e/flows/sentiment_analysis/v1"
	"github.com/promptflow-grpc/promptflow-go/promptflow"
)

func dial(t *testing.T, options ...promptflow.DialOption) *promptflow.Conn {
	t.Helper()
	return dialTo(t, os.Getenv("PROMPTFLOW_ADDRESS"), options...)
}

func dialTo(t *testing.T, address string, options ...promptflow.DialOption) *promptflow.Conn {
	t.Helper()
	conn, err := promptflow.Dial(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func nap(seconds float64) naps.Inputs {
	return naps.Inputs{Seconds: &seconds, Note: promptflow.Ptr("go")}
}

func TestARunGivesItsTypedResult(t *testing.T) {
	t.Parallel()
	for _, options := range [][]promptflow.DialOption{nil, {promptflow.WithGzip()}} {
		client := sentimentanalysis.New(dial(t, options...))
		result, err := client.Run(t.Context(), sentimentanalysis.Inputs{Text: strings.Repeat("I love this! ", 9)})
		if err != nil {
			t.Fatal(err)
		}
		if result.Analyze.Label != "positive" || result.Analyze.Confidence < 0.9 {
			t.Errorf("praise gave %+v", result.Analyze)
		}
	}
}

func TestEveryValueComesBackAsItWent(t *testing.T) {
	t.Parallel()
	moment := time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC)
	inputs := everytype.Inputs{
		Text:     "héllo\x00🙂",
		Count:    10_000_000_000_000_000,
		Small:    promptflow.Ptr(int32(math.MinInt32)),
		Ratio:    promptflow.Ptr(math.SmallestNonzeroFloat64),
		Flag:     promptflow.Ptr(false),
		Data:     []byte{0, 255},
		Moment:   &moment,
		Wait:     promptflow.Ptr(-1500 * time.Millisecond),
		Anything: map[string]any{"a": []any{1.0, 2.5, "x", nil, true, map[string]any{}}},
		Color:    everytype.InputColor_Dark_blue,
		Tags:     []string{"a", ""},
		Weights:  map[string]float64{"": 1.5, "b": 0},
		Person:   &everytype.InputPerson{Name: "Ada", Age: promptflow.Ptr(int32(0))},
	}
	result, err := everytype.New(dial(t)).Run(t.Context(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	echo := result.Echo
	came := []any{
		echo.Text, echo.Count, echo.Small, echo.Ratio, echo.Flag, echo.Data, echo.Moment, echo.Wait, echo.Anything,
		string(echo.Color), echo.Tags, echo.Weights, echo.Person.Name, echo.Person.Age,
	}
	want := []any{
		inputs.Text, inputs.Count, inputs.Small, inputs.Ratio, inputs.Flag, inputs.Data, inputs.Moment, inputs.Wait,
		inputs.Anything, "dark_blue", inputs.Tags, inputs.Weights, inputs.Person.Name, inputs.Person.Age,
	}
	for index := range want {
		if !reflect.DeepEqual(bareOf(came[index]), bareOf(want[index])) {
			t.Errorf("%#v came back as %#v", bareOf(want[index]), bareOf(came[index]))
		}
	}
}

func bareOf(value any) any {
	if found := reflect.ValueOf(value); found.Kind() == reflect.Pointer && !found.IsNil() {
		return found.Elem().Interface()
	}
	return value
}

func TestAbsentInputsTakeTheirDefaults(t *testing.T) {
	t.Parallel()
	result, err := everytype.New(dial(t)).Run(t.Context(), everytype.Inputs{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	echo := result.Echo
	if bareOf(echo.Small) != int32(7) || bareOf(echo.Flag) != true || echo.Color != "green" {
		t.Errorf("defaults are %+v", echo)
	}
	if echo.Data != nil || echo.Moment != nil || echo.Person != nil || echo.Anything != nil || bareOf(echo.Count) != int64(0) {
		t.Errorf("what was absent came as %+v", echo)
	}
}

func TestAFileMayBeAPathBytesOrAReader(t *testing.T) {
	t.Parallel()
	client := documentinsight.New(dial(t))
	path := filepath.Join(os.Getenv("PROMPTFLOW_SAMPLES"), "letter.jpg")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*promptflow.File{
		"a path":   promptflow.FileFrom(path),
		"bytes":    promptflow.FileBytes(content, "letter.jpg"),
		"a reader": promptflow.FileReader(bytes.NewReader(content), "letter.jpg"),
	}
	for name, file := range files {
		result, err := client.Run(t.Context(), documentinsight.Inputs{Document: file})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if result.Mood != documentinsight.ResultMood_Mixed || len(result.Sentences) == 0 {
			t.Errorf("%s gave %+v", name, result)
		}
	}
	_, err = client.Run(t.Context(), documentinsight.Inputs{Document: promptflow.FileFrom("/nowhere.jpg")})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there gave %v", err)
	}
}

func TestErrorsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	client := everytype.New(dial(t))
	_, err := client.Run(t.Context(), everytype.Inputs{Count: -1})
	var failure *promptflow.Error
	if !errors.As(err, &failure) || !errors.Is(err, promptflow.ReasonInvalidInput) {
		t.Fatalf("violations gave %v", err)
	}
	if status.Code(err) != codes.InvalidArgument || len(failure.Violations) != 2 {
		t.Errorf("violations are %v", failure.Violations)
	}
	_, err = client.Handle("00000000-0000-4000-8000-000000000000").Status(t.Context())
	if !errors.Is(err, promptflow.ReasonExecutionNotFound) || errors.Is(err, promptflow.ReasonInvalidInput) {
		t.Errorf("a run that nobody knows gave %v", err)
	}
	_, err = client.Run(t.Context(), everytype.Inputs{Text: "x", Color: "mauve", Anything: []any{math.NaN(), 1 << 60}})
	if !errors.As(err, &failure) || len(failure.Violations) != 2 {
		t.Errorf("values that no message can carry gave %v", err)
	}
}

func TestABatchSaysOfEachRunWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	client := everytype.New(dial(t))
	outcomes, err := client.RunBatch(t.Context(), []everytype.Inputs{{Text: "a"}, {Text: ""}, {Text: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	for index, text := range map[int]string{0: "a", 2: "c"} {
		result, err := outcomes[index].Result()
		if err != nil || bareOf(result.Echo.Text) != text {
			t.Errorf("run %d gave %+v, %v", index, result, err)
		}
	}
	if _, err := outcomes[1].Result(); !errors.Is(err, promptflow.ReasonInvalidInput) {
		t.Errorf("wrong inputs gave %v", err)
	}
}

func TestAReadMaskLeavesOutWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	client := sentimentanalysis.New(dial(t))
	handle, err := client.Start(t.Context(), sentimentanalysis.Inputs{Text: "I love this!"}, promptflow.ReadMask("status"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handle.Result(t.Context()); err != nil {
		t.Fatal(err)
	}
	execution, err := handle.Status(t.Context(), promptflow.ReadMask("result.analyze.label"))
	if err != nil || execution.ID != handle.ID() || execution.Status != promptflow.StatusCompleted {
		t.Fatalf("it gave %+v, %v", execution, err)
	}
	if execution.Result.Analyze.Label != "positive" || execution.Result.Analyze.Scores != nil || execution.Steps.Analyze.Output != nil {
		t.Errorf("it gave %+v", execution)
	}
	for event, err := range handle.Events(t.Context(), 0, promptflow.ReadMask("steps")) {
		if err != nil {
			t.Fatal(err)
		}
		if done, ok := event.(*sentimentanalysis.Done); ok && (done.Execution.Result != nil || done.Execution.Steps.Analyze.Output == nil) {
			t.Errorf("the last event has %+v", done.Execution)
		}
	}
}

func TestAPlanRunsNothing(t *testing.T) {
	t.Parallel()
	plan, err := naps.New(dial(t)).Plan(t.Context(), nap(30))
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) != 3 || plan.Steps[2].Step != "both" || plan.Steps[2].Stage != 1 || plan.Steps[0].Decision != promptflow.PlanRuns {
		t.Errorf("the plan is %+v", plan)
	}
}

func TestListsFetchPageAfterPage(t *testing.T) {
	t.Parallel()
	conn := dial(t)
	client := naps.New(conn)
	started := map[string]bool{}
	for range 5 {
		handle, err := client.Start(t.Context(), nap(0))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := handle.Result(t.Context()); err != nil {
			t.Fatal(err)
		}
		started[handle.ID()] = true
	}
	seen := map[string]bool{}
	for run, err := range client.Executions(t.Context(), promptflow.Filter{PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[run.ID] {
			t.Errorf("%s is listed twice", run.ID)
		}
		seen[run.ID] = true
		delete(started, run.ID)
		if len(started) == 0 {
			break
		}
	}
	if len(started) != 0 {
		t.Errorf("%v are not listed", started)
	}
	for flow, err := range conn.Flows(t.Context(), promptflow.FlowFilter{PageSize: 2}) {
		if err != nil {
			t.Fatal(err)
		}
		if flow.Flow == "naps" {
			return
		}
	}
	t.Error("the flow naps is not listed")
}

func TestAFlowTellsOfItself(t *testing.T) {
	t.Parallel()
	client := naps.New(dial(t, promptflow.WithAPIKey("key")))
	info, err := client.Info(t.Context())
	if err != nil || info.Flow != "naps" || info.Version != 1 || info.Definition["inputs"] == nil {
		t.Errorf("info is %+v, %v", info, err)
	}
	health, err := client.Health(t.Context())
	if err != nil || !health.IsServing || len(health.Components) == 0 {
		t.Errorf("health is %+v, %v", health, err)
	}
}
