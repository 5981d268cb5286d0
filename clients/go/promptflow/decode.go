package promptflow

import (
	"reflect"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// decode fills a generated struct from its message. What is absent stays nil where the struct allows that, else it is
// the empty value of its kind: so it stays usable where a newer server leaves out what this client thinks is there.
func decode(message protoreflect.Message, target reflect.Value) {
	for index := range target.NumField() {
		name, ok := target.Type().Field(index).Tag.Lookup(tag)
		if !ok {
			continue
		}
		field := descriptorOf(message, name)
		if message.Has(field) {
			decodeField(field, message.Get(field), target.Field(index))
		}
	}
}

func decodeField(field protoreflect.FieldDescriptor, value protoreflect.Value, target reflect.Value) {
	switch {
	case field.IsList():
		list := value.List()
		items := reflect.MakeSlice(target.Type(), list.Len(), list.Len())
		for index := range list.Len() {
			decodeValue(field, list.Get(index), items.Index(index))
		}
		target.Set(items)
	case field.IsMap():
		entries := reflect.MakeMapWithSize(target.Type(), value.Map().Len())
		value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
			item := reflect.New(target.Type().Elem()).Elem()
			decodeValue(field.MapValue(), value, item)
			entries.SetMapIndex(reflect.ValueOf(key.String()).Convert(target.Type().Key()), item)
			return true
		})
		target.Set(entries)
	default:
		decodeValue(field, value, target)
	}
}

func decodeValue(field protoreflect.FieldDescriptor, value protoreflect.Value, target reflect.Value) {
	if target.Kind() == reflect.Pointer && target.Type() != reflect.TypeFor[*File]() {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	switch field.Kind() {
	case protoreflect.EnumKind:
		target.SetString(spelled(field.Enum(), value.Enum()))
	case protoreflect.MessageKind:
		decodeMessage(value.Message(), target)
	case protoreflect.BytesKind:
		// An empty value is not nil: that would be an absent one.
		target.SetBytes(append([]byte{}, value.Bytes()...))
	default:
		target.Set(reflect.ValueOf(value.Interface()).Convert(target.Type()))
	}
}

func decodeMessage(message protoreflect.Message, target reflect.Value) {
	switch message := message.Interface().(type) {
	case *structpb.Value:
		if native := message.AsInterface(); native != nil {
			target.Set(reflect.ValueOf(native))
		}
	case *timestamppb.Timestamp:
		target.Set(reflect.ValueOf(message.AsTime()))
	case *durationpb.Duration:
		target.Set(reflect.ValueOf(message.AsDuration()))
	case *v1.File:
		target.Set(reflect.ValueOf(fileOf(message)))
	default:
		decode(message.ProtoReflect(), target)
	}
}

// spelled is a value as the flow spells it; one that is younger than this client reads as its number.
func spelled(enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber) string {
	if name := enumName(enum, number); name != "" || number == 0 {
		return name
	}
	return strconv.Itoa(int(number))
}
