package conformance

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"time"

	"github.com/promptflow-grpc/promptflow-go/promptflow"
)

const tag = "promptflow"

// filledAll are the structs of several inputs; false where one of them cannot be.
func filledAll[I any](inputs []map[string]any) ([]I, bool) {
	all := make([]I, len(inputs))
	for index, one := range inputs {
		typed, ok := filled[I](one)
		if !ok {
			return nil, false
		}
		all[index] = typed
	}
	return all, true
}

// filled is the struct of inputs with these values; false where it cannot hold them, or cannot leave out what they
// leave out.
func filled[I any](inputs map[string]any) (I, bool) {
	var target I
	ok := fillStruct(reflect.ValueOf(&target).Elem(), inputs)
	return target, ok
}

func fillStruct(target reflect.Value, values map[string]any) bool {
	known := 0
	for index := range target.NumField() {
		name := target.Type().Field(index).Tag.Get(tag)
		value, ok := values[name]
		if !ok && !isOptional(target.Field(index)) {
			return false
		}
		if ok {
			known++
			if !fill(target.Field(index), value) {
				return false
			}
		}
	}
	return known == len(values)
}

func isOptional(field reflect.Value) bool {
	switch field.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	// An enum, whose "" is none.
	return field.Kind() == reflect.String && field.Type() != reflect.TypeFor[string]()
}

func fill(target reflect.Value, value any) bool {
	if target.Kind() == reflect.Interface {
		if value != nil {
			target.Set(reflect.ValueOf(value))
		}
		return true
	}
	if given := reflect.ValueOf(value); given.IsValid() && given.Type() == target.Type() {
		target.Set(given)
		return true
	}
	switch target.Kind() {
	case reflect.Pointer:
		target.Set(reflect.New(target.Type().Elem()))
		return fill(target.Elem(), value)
	case reflect.Slice:
		return fillSlice(target, value)
	case reflect.Map:
		return fillMap(target, value)
	case reflect.Struct:
		values, ok := value.(map[string]any)
		return ok && fillStruct(target, values)
	case reflect.String:
		text, ok := value.(string)
		target.SetString(text)
		return ok
	case reflect.Int64, reflect.Int32:
		number, ok := value.(json.Number)
		parsed, err := strconv.ParseInt(string(number), 10, target.Type().Bits())
		target.SetInt(parsed)
		return ok && err == nil && target.Type() != reflect.TypeFor[time.Duration]()
	case reflect.Float64:
		number, ok := value.(json.Number)
		parsed, err := number.Float64()
		target.SetFloat(parsed)
		return ok && err == nil
	}
	return false
}

func fillSlice(target reflect.Value, value any) bool {
	items, ok := value.([]any)
	if !ok || target.Type().Elem().Kind() == reflect.Uint8 {
		return false
	}
	target.Set(reflect.MakeSlice(target.Type(), len(items), len(items)))
	for index, item := range items {
		if !fill(target.Index(index), item) {
			return false
		}
	}
	return true
}

func fillMap(target reflect.Value, value any) bool {
	entries, ok := value.(map[string]any)
	target.Set(reflect.MakeMap(target.Type()))
	for key, item := range entries {
		inner := reflect.New(target.Type().Elem()).Elem()
		if !fill(inner, item) {
			return false
		}
		target.SetMapIndex(reflect.ValueOf(key), inner)
	}
	return ok
}

// plain is a value of the client as JSON writes it.
func plain(value any) any {
	switch value := value.(type) {
	case *promptflow.File:
		return plainFile(value)
	case []byte:
		if value == nil {
			return nil
		}
		return base64.StdEncoding.EncodeToString(value)
	case time.Time:
		return value.Format(time.RFC3339Nano)
	case time.Duration:
		return strconv.FormatFloat(value.Seconds(), 'f', -1, 64) + "s"
	}
	return plainOther(reflect.ValueOf(value))
}

func plainOther(value reflect.Value) any {
	switch value.Kind() {
	case reflect.Invalid:
		return nil
	case reflect.Pointer:
		if value.IsNil() {
			return nil
		}
		return plain(value.Elem().Interface())
	case reflect.Slice:
		items := make([]any, value.Len())
		for index := range items {
			items[index] = plain(value.Index(index).Interface())
		}
		return items
	case reflect.Map:
		entries := map[string]any{}
		for inner := value.MapRange(); inner.Next(); {
			entries[inner.Key().String()] = plain(inner.Value().Interface())
		}
		return entries
	case reflect.Struct:
		fields := map[string]any{}
		for index := range value.NumField() {
			fields[value.Type().Field(index).Tag.Get(tag)] = plain(value.Field(index).Interface())
		}
		return fields
	case reflect.String:
		if value.String() == "" && value.Type() != reflect.TypeFor[string]() {
			return nil
		}
	}
	return value.Interface()
}

func plainFile(file *promptflow.File) any {
	if file == nil {
		return nil
	}
	fields := map[string]any{"content_type": file.ContentType, "name": file.Name}
	if file.Content != nil {
		fields["content"] = base64.StdEncoding.EncodeToString(file.Content)
	}
	if file.FileID != "" {
		fields["file_id"] = file.FileID
	}
	if file.URI != "" {
		fields["uri"] = file.URI
	}
	return fields
}

func stepsOf(steps any) map[string]string {
	found := map[string]string{}
	value := reflect.ValueOf(steps).Elem()
	for index := range value.NumField() {
		state := value.Field(index).FieldByName("State").Interface().(promptflow.StepState)
		found[value.Type().Field(index).Tag.Get(tag)] = string(state.Status)
	}
	return found
}
