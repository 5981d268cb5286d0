package promptflow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// Deeper values would not survive: parsers of messages stop at 100 levels, and one level of JSON takes three.
	maxJSONDepth = 24
	maxExact     = 1 << 53
)

// jsonError is a Go value that JSON, or its message form, cannot hold.
type jsonError struct{ path, description string }

func (e *jsonError) Error() string { return e.path + ": " + e.description }

// encodeJSON makes the message of a JSON value. Beside what encoding/json gives, it takes whatever encoding/json takes.
// Numbers beyond 2^53, and what nests too deep, would not come back as they went and are refused.
func encodeJSON(value any, path string, depth int) (*structpb.Value, error) {
	if depth > maxJSONDepth {
		return nil, &jsonError{path, fmt.Sprintf("nests deeper than %d levels", maxJSONDepth)}
	}
	switch value := value.(type) {
	case nil:
		return structpb.NewNullValue(), nil
	case bool:
		return structpb.NewBoolValue(value), nil
	case string:
		if !utf8.ValidString(value) {
			return nil, &jsonError{path, "is no UTF-8 text"}
		}
		return structpb.NewStringValue(value), nil
	case json.Number:
		return encodeJSONNumber(value, path)
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, &jsonError{path, fmt.Sprintf("%v is no JSON number", value)}
		}
		return structpb.NewNumberValue(value), nil
	case map[string]any:
		return encodeJSONObject(value, path, depth)
	case []any:
		list := &structpb.ListValue{Values: make([]*structpb.Value, len(value))}
		for index, item := range value {
			encoded, err := encodeJSON(item, fmt.Sprintf("%s[%d]", path, index), depth+1)
			if err != nil {
				return nil, err
			}
			list.Values[index] = encoded
		}
		return structpb.NewListValue(list), nil
	default:
		return encodeJSONOther(value, path, depth)
	}
}

func encodeJSONObject(value map[string]any, path string, depth int) (*structpb.Value, error) {
	object := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(value))}
	for key, item := range value {
		if !utf8.ValidString(key) {
			return nil, &jsonError{path, fmt.Sprintf("the key %q is no UTF-8 text", key)}
		}
		encoded, err := encodeJSON(item, path+"."+key, depth+1)
		if err != nil {
			return nil, err
		}
		object.Fields[key] = encoded
	}
	return structpb.NewStructValue(object), nil
}

func encodeJSONNumber(value json.Number, path string) (*structpb.Value, error) {
	number, err := value.Float64()
	if err != nil || math.IsInf(number, 0) || math.IsNaN(number) {
		return nil, &jsonError{path, fmt.Sprintf("%s is no JSON number", value)}
	}
	if exact, err := value.Int64(); isInteger(string(value)) && (err != nil || exact > maxExact || exact < -maxExact) {
		return nil, &jsonError{path, fmt.Sprintf("%s is beyond 2^53 and would lose digits; send it as text", value)}
	}
	return structpb.NewNumberValue(number), nil
}

// encodeJSONOther goes by encoding/json, which knows structs, named types and whatever marshals itself.
func encodeJSONOther(value any, path string, depth int) (*structpb.Value, error) {
	switch reflect.TypeOf(value).Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return nil, &jsonError{path, fmt.Sprintf("%T is no JSON value", value)}
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, &jsonError{path, err.Error()}
	}
	var plain any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&plain); err != nil {
		return nil, &jsonError{path, err.Error()}
	}
	return encodeJSON(plain, path, depth)
}

func isInteger(text string) bool {
	return !bytes.ContainsAny([]byte(text), ".eE")
}
