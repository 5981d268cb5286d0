package promptflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// tag names the message's field that a field of a generated struct stands for.
const tag = "promptflow"

// Ptr gives a pointer to a value, for inputs that may be absent.
func Ptr[T any](value T) *T { return &value }

// encode sets the inputs of a request from a generated struct or from a map; files are read here, after all else was
// found to fit. Its error has every violation.
func encode(inputs reflect.Value, request protoreflect.Message) error {
	var walk encoder
	walk.fields(inputs, request, "")
	if len(walk.violations) > 0 {
		return misfit(walk.violations)
	}
	for _, load := range walk.files {
		if err := load(); err != nil {
			return err
		}
	}
	return nil
}

func misfit(violations []Violation) *Error {
	message := "an input does not fit"
	if len(violations) > 1 {
		message = fmt.Sprintf("%d inputs do not fit", len(violations))
	}
	// Maps have no order, answers have.
	slices.SortStableFunc(violations, func(a, b Violation) int { return strings.Compare(a.Field, b.Field) })
	return &Error{
		Code: codes.InvalidArgument, Reason: ReasonInvalidInput, Message: message, Violations: violations,
	}
}

// encoder is one walk over the inputs; it collects what is wrong and which files are to be read.
type encoder struct {
	violations []Violation
	files      []func() error
}

func (e *encoder) refuse(path, format string, values ...any) {
	e.violations = append(e.violations, Violation{path, fmt.Sprintf(format, values...)})
}

func (e *encoder) fields(value reflect.Value, message protoreflect.Message, path string) {
	known := message.Descriptor().Fields()
	if value.Kind() == reflect.Map {
		for entries := value.MapRange(); entries.Next(); {
			name := entries.Key().String()
			field := known.ByName(protoreflect.Name(name))
			if field == nil {
				e.refuse(below(path, name), "there is no such field; there are %s", names(known))
			} else if item := bare(entries.Value()); item.IsValid() {
				e.field(field, item, message, below(path, name))
			}
		}
		return
	}
	for index := range value.NumField() {
		name, ok := value.Type().Field(index).Tag.Lookup(tag)
		if !ok {
			continue
		}
		field := descriptorOf(message, name)
		if item := bare(value.Field(index)); item.IsValid() && !isAbsent(value.Field(index), item, field) {
			e.field(field, item, message, below(path, name))
		}
	}
}

// bare is the value behind pointers and interfaces; the zero Value where one of them is nil.
func bare(value reflect.Value) reflect.Value {
	for value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		if value.Type() == reflect.TypeFor[*File]() && !value.IsNil() {
			return value
		}
		value = value.Elem()
	}
	return value
}

// isAbsent tells whether a struct's field says nothing: nil, or the zero value of a kind of which zero is none.
func isAbsent(field, item reflect.Value, descriptor protoreflect.FieldDescriptor) bool {
	switch item.Kind() {
	case reflect.Slice, reflect.Map:
		return item.IsNil()
	case reflect.String:
		return field.Kind() == reflect.String && descriptor.Enum() != nil && item.String() == ""
	case reflect.Struct:
		return field.Kind() == reflect.Struct && item.Type() == reflect.TypeFor[time.Time]() && item.IsZero()
	}
	return false
}

func (e *encoder) field(field protoreflect.FieldDescriptor, value reflect.Value, message protoreflect.Message, path string) {
	switch {
	case field.IsMap():
		e.entries(field, value, message.Mutable(field).Map(), path)
	case field.IsList():
		e.items(field, value, message.Mutable(field).List(), path)
	case field.Message() != nil:
		e.message(value, message.Mutable(field).Message(), path)
	default:
		if scalar, err := scalarOf(field, value); err != nil {
			e.refuse(path, "%v", err)
		} else {
			message.Set(field, scalar)
		}
	}
}

func (e *encoder) items(field protoreflect.FieldDescriptor, value reflect.Value, target protoreflect.List, path string) {
	if !isList(value) {
		e.refuse(path, "%s is no list", shown(value))
		return
	}
	for index := range value.Len() {
		item, inside := bare(value.Index(index)), fmt.Sprintf("%s[%d]", path, index)
		if field.Message() != nil {
			e.message(item, target.AppendMutable().Message(), inside)
		} else if scalar, err := scalarOf(field, item); err != nil {
			e.refuse(inside, "%v", err)
		} else {
			target.Append(scalar)
		}
	}
}

func (e *encoder) entries(field protoreflect.FieldDescriptor, value reflect.Value, target protoreflect.Map, path string) {
	if value.Kind() != reflect.Map || value.Type().Key().Kind() != reflect.String {
		e.refuse(path, "%s is no map with text as keys", shown(value))
		return
	}
	inner := field.MapValue()
	for entries := value.MapRange(); entries.Next(); {
		name, item := entries.Key().String(), bare(entries.Value())
		inside := fmt.Sprintf("%s[%s]", path, name)
		key := protoreflect.ValueOfString(name).MapKey()
		if !utf8.ValidString(name) {
			e.refuse(path, "the key %q is no UTF-8 text", name)
		} else if inner.Message() != nil {
			e.message(item, target.Mutable(key).Message(), inside)
		} else if scalar, err := scalarOf(inner, item); err != nil {
			e.refuse(inside, "%v", err)
		} else {
			target.Set(key, scalar)
		}
	}
}

func (e *encoder) message(value reflect.Value, target protoreflect.Message, path string) {
	switch target := target.Interface().(type) {
	case *structpb.Value:
		e.json(value, target, path)
	case *timestamppb.Timestamp:
		moment, ok := valueOf[time.Time](value)
		if stamp := timestamppb.New(moment); !ok {
			e.refuse(path, "%s is no time.Time", shown(value))
		} else if stamp.CheckValid() != nil {
			e.refuse(path, "%s is out of range; a year is 1 to 9999", moment)
		} else {
			target.Seconds, target.Nanos = stamp.Seconds, stamp.Nanos
		}
	case *durationpb.Duration:
		duration, ok := valueOf[time.Duration](value)
		if !ok {
			e.refuse(path, "%s is no time.Duration", shown(value))
		}
		sent := durationpb.New(duration)
		target.Seconds, target.Nanos = sent.Seconds, sent.Nanos
	case *v1.File:
		e.file(value, target, path)
	default:
		e.object(value, target, path)
	}
}

func (e *encoder) json(value reflect.Value, target *structpb.Value, path string) {
	var native any
	if value.IsValid() {
		native = value.Interface()
	}
	encoded, err := encodeJSON(native, path, 0)
	var found *jsonError
	if errors.As(err, &found) {
		e.refuse(found.path, "%s", found.description)
		return
	}
	target.Kind = encoded.Kind
}

func (e *encoder) file(value reflect.Value, target *v1.File, path string) {
	file, ok := valueOf[*File](value)
	if content, isBytes := valueOf[[]byte](value); isBytes {
		file, ok = FileBytes(content, ""), true
	} else if given, isFile := valueOf[File](value); isFile {
		file, ok = &given, true
	}
	if !ok || file == nil {
		e.refuse(path, "%s is no *promptflow.File", shown(value))
		return
	}
	if !utf8.ValidString(file.Name) || !utf8.ValidString(file.ContentType) || !utf8.ValidString(file.FileID) || !utf8.ValidString(file.URI) {
		e.refuse(path, "the file has a name, a type or a place that is no UTF-8 text")
		return
	}
	e.files = append(e.files, func() error {
		if err := file.load(target); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

func (e *encoder) object(value reflect.Value, target proto.Message, path string) {
	isMap := value.Kind() == reflect.Map && value.Type().Key().Kind() == reflect.String
	if !isMap && value.Kind() != reflect.Struct {
		e.refuse(path, "%s is no object", shown(value))
		return
	}
	if !isMap && !isGenerated(value.Type()) {
		e.refuse(path, "%s is no object of this flow", shown(value))
		return
	}
	e.fields(value, target.ProtoReflect(), path)
}

func isGenerated(kind reflect.Type) bool {
	for index := range kind.NumField() {
		if _, ok := kind.Field(index).Tag.Lookup(tag); ok {
			return true
		}
	}
	return kind.NumField() == 0
}

func scalarOf(field protoreflect.FieldDescriptor, value reflect.Value) (protoreflect.Value, error) {
	var none protoreflect.Value
	switch field.Kind() {
	case protoreflect.EnumKind:
		return enumOf(field.Enum(), value)
	case protoreflect.BoolKind:
		if value.Kind() == reflect.Bool {
			return protoreflect.ValueOfBool(value.Bool()), nil
		}
	case protoreflect.StringKind:
		if value.Kind() == reflect.String && value.Type() != reflect.TypeFor[json.Number]() {
			if !utf8.ValidString(value.String()) {
				return none, errors.New("is no UTF-8 text")
			}
			return protoreflect.ValueOfString(value.String()), nil
		}
	case protoreflect.BytesKind:
		if content, ok := valueOf[[]byte](value); ok {
			return protoreflect.ValueOfBytes(content), nil
		}
	case protoreflect.DoubleKind:
		if number, ok := floatOf(value); ok {
			return protoreflect.ValueOfFloat64(number), nil
		}
	case protoreflect.Int64Kind, protoreflect.Int32Kind:
		return integerOf(field.Kind(), value)
	}
	return none, fmt.Errorf("%s is no %s", shown(value), spellings[field.Kind()])
}

var spellings = map[protoreflect.Kind]string{
	protoreflect.BoolKind:   "bool",
	protoreflect.StringKind: "string",
	protoreflect.BytesKind:  "[]byte",
	protoreflect.DoubleKind: "float64",
	protoreflect.Int64Kind:  "int64",
	protoreflect.Int32Kind:  "int32",
}

func enumOf(enum protoreflect.EnumDescriptor, value reflect.Value) (protoreflect.Value, error) {
	var known []string
	for index := range enum.Values().Len() {
		found := enum.Values().Get(index)
		if found.Number() == 0 {
			continue
		}
		if value.Kind() == reflect.String && value.String() == string(found.Name()) {
			return protoreflect.ValueOfEnum(found.Number()), nil
		}
		known = append(known, string(found.Name()))
	}
	return protoreflect.Value{}, fmt.Errorf("%s is none of %s", shown(value), strings.Join(known, ", "))
}

func floatOf(value reflect.Value) (float64, bool) {
	switch {
	case value.CanFloat():
		return value.Float(), true
	case value.CanInt():
		return float64(value.Int()), true
	case value.CanUint():
		return float64(value.Uint()), true
	}
	number, ok := valueOf[json.Number](value)
	float, err := number.Float64()
	return float, ok && err == nil
}

func integerOf(kind protoreflect.Kind, value reflect.Value) (protoreflect.Value, error) {
	var none protoreflect.Value
	var number int64
	switch {
	case value.CanInt():
		number = value.Int()
	case value.CanUint() && value.Uint() <= math.MaxInt64:
		number = int64(value.Uint())
	case value.CanUint():
		return none, fmt.Errorf("%d is out of range", value.Uint())
	case value.CanFloat() && value.Float() == math.Trunc(value.Float()) && math.Abs(value.Float()) <= maxExact:
		// What encoding/json makes of a whole number.
		number = int64(value.Float())
	default:
		text, ok := valueOf[json.Number](value)
		parsed, err := strconv.ParseInt(string(text), 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			return none, fmt.Errorf("%s is out of range", text)
		}
		if !ok || err != nil {
			return none, fmt.Errorf("%s is no %s", shown(value), spellings[kind])
		}
		number = parsed
	}
	if kind == protoreflect.Int64Kind {
		return protoreflect.ValueOfInt64(number), nil
	}
	if number < math.MinInt32 || number > math.MaxInt32 {
		return none, fmt.Errorf("%d is out of range", number)
	}
	return protoreflect.ValueOfInt32(int32(number)), nil
}

func isList(value reflect.Value) bool {
	if value.Kind() != reflect.Slice && value.Kind() != reflect.Array {
		return false
	}
	return value.Type().Elem().Kind() != reflect.Uint8
}

func valueOf[T any](value reflect.Value) (T, bool) {
	if !value.IsValid() {
		var none T
		return none, false
	}
	found, ok := value.Interface().(T)
	return found, ok
}

func shown(value reflect.Value) string {
	if !value.IsValid() {
		return "nil"
	}
	text := []rune(fmt.Sprintf("%#v", value.Interface()))
	if len(text) > 60 {
		return string(text[:57]) + "…"
	}
	return string(text)
}

func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func names(fields protoreflect.FieldDescriptors) string {
	found := make([]string, fields.Len())
	for index := range found {
		found[index] = string(fields.Get(index).Name())
	}
	return strings.Join(found, ", ")
}
