package promptflow

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"
)

func TestJSONValuesComeBackAsEncodingJSONReadsThem(t *testing.T) {
	type named struct {
		Word string `json:"word"`
	}
	for _, value := range []any{
		nil, true, "", "é\x00", 0.0, -1.5, math.MaxFloat64, []any{}, map[string]any{}, []any{nil, "x", []any{1.0}},
		map[string]any{"": map[string]any{"a": nil}}, 7, int64(-3), uint8(9), 1 << 53, json.Number("1e3"), named{"x"},
		&named{"y"}, []named{{"z"}}, map[string]int{"a": 1}, time.Unix(0, 0).UTC(), []byte("abc"),
	} {
		data, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		encoded, err := encodeJSON(value, "x", 0)
		if err != nil {
			t.Errorf("%#v: %v", value, err)
		} else if got := encoded.AsInterface(); !reflect.DeepEqual(got, want) {
			t.Errorf("%#v came back as %#v", value, got)
		}
	}
}

func TestWhatWouldNotComeBackIsRefusedWithItsPath(t *testing.T) {
	deep := any("x")
	for range maxJSONDepth + 1 {
		deep = []any{deep}
	}
	for _, one := range []struct {
		value any
		path  string
	}{
		{math.NaN(), "x"},
		{[]any{1.0, math.Inf(-1)}, "x[1]"},
		{map[string]any{"a": 1<<53 + 1}, "x.a"},
		{json.Number("9007199254740993"), "x"},
		{json.Number("1e999"), "x"},
		{"\xff", "x"},
		{map[string]any{"\xff": 1}, "x"},
		{func() {}, "x"},
		{map[int]any{1: make(chan int)}, "x"},
		{deep, "x[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"},
	} {
		_, err := encodeJSON(one.value, "x", 0)
		var found *jsonError
		if !errors.As(err, &found) || found.path != one.path {
			t.Errorf("%#v gave %v, not a refusal at %s", one.value, err, one.path)
		}
	}
}
