package promptflow

import (
	"fmt"
	"reflect"
	"time"

	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/promptflow-grpc/promptflow-go/promptflow_api/v1"
)

// contract is what the messages of one flow's service mean.
type contract struct {
	service protoreflect.ServiceDescriptor
	event   protoreflect.MessageType
	// steps is the struct that stands for the message Steps; its fields say what each step answers.
	steps reflect.Type
}

// newContract finds a service by its full name. Its generated package is imported by whoever names it, so that a
// missing one is a mistake of generation, and panics.
func newContract(service string, steps reflect.Type) *contract {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		panic(fmt.Sprintf("promptflow: no generated package of %s is part of this program: %v", service, err))
	}
	k := &contract{service: found.(protoreflect.ServiceDescriptor), steps: steps}
	k.event = messageType(k.method("Watch").Output())
	return k
}

func messageType(descriptor protoreflect.MessageDescriptor) protoreflect.MessageType {
	found, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		panic(fmt.Sprintf("promptflow: %s is not generated: %v", descriptor.FullName(), err))
	}
	return found
}

func (k *contract) method(name string) protoreflect.MethodDescriptor {
	method := k.service.Methods().ByName(protoreflect.Name(name))
	if method == nil {
		panic(fmt.Sprintf("promptflow: %s has no method %s; generate it again", k.service.FullName(), name))
	}
	return method
}

func (k *contract) path(method string) string {
	return fmt.Sprintf("/%s/%s", k.service.FullName(), method)
}

func (k *contract) request(method string) protoreflect.Message {
	return messageType(k.method(method).Input()).New()
}

func (k *contract) response(method string) protoreflect.Message {
	return messageType(k.method(method).Output()).New()
}

// event is an Event with what follow has to know of it.
type event struct {
	info    EventInfo
	isDone  bool
	kind    protoreflect.Name
	content protoreflect.Message
}

func (k *contract) readEvent(data []byte) (*event, error) {
	message := k.event.New()
	if err := unmarshal(data, message.Interface()); err != nil {
		return nil, err
	}
	read := &event{info: EventInfo{
		ExecutionID: field(message, "execution_id").String(),
		Sequence:    int(field(message, "sequence").Int()),
		Time:        timeOf(field(message, "time").Message().Interface().(*timestamppb.Timestamp)),
		Progress:    progressOf(field(message, "progress").Message().Interface().(*v1.Progress)),
	}}
	arm := message.WhichOneof(message.Descriptor().Oneofs().ByName("event"))
	if arm != nil {
		read.kind, read.content = arm.Name(), message.Get(arm).Message()
		read.isDone = arm.Name() == "done"
	}
	return read, nil
}

// errorOf is why an Execution did not complete; it names the run and the step, so that both can be found.
func (k *contract) errorOf(execution protoreflect.Message) *Error {
	var found *Error
	switch status := statusOf(field(execution, "status").Enum()); {
	case has(execution, "error"):
		found = errorOfStatus(field(execution, "error").Message().Interface().(*statuspb.Status))
	case status == StatusCancelled:
		found = &Error{Code: codes.Canceled, Reason: ReasonExecutionCancelled, Message: "the run was cancelled"}
	case status == StatusFailed:
		found = &Error{Code: codes.Unknown, Message: "the run failed and the server does not say why"}
	default:
		return nil
	}
	if found.ExecutionID == "" {
		found.ExecutionID = field(execution, "execution_id").String()
	}
	if found.Step == "" {
		found.Step = failedStep(field(execution, "steps").Message())
	}
	return found
}

func failedStep(steps protoreflect.Message) string {
	fields := steps.Descriptor().Fields()
	for index := range fields.Len() {
		step := steps.Get(fields.Get(index)).Message()
		if stepState(step).GetStatus() == v1.StepStatus_FAILED {
			return string(fields.Get(index).Name())
		}
	}
	return ""
}

// stepValue is the output in a StepValue, as a pointer to the struct that stands for it; nil where there is none.
func (k *contract) stepValue(value protoreflect.Message) any {
	arm := value.WhichOneof(value.Descriptor().Oneofs().ByName("of_step"))
	if arm == nil {
		return nil
	}
	for index := range k.steps.NumField() {
		if known := k.steps.Field(index); known.Tag.Get(tag) == string(arm.Name()) {
			return reflect.New(known.Type).Interface().(stepReader).readOutput(value.Get(arm).Message())
		}
	}
	return nil
}

// stepReader is a field of a flow's Steps.
type stepReader interface {
	readStep(message protoreflect.Message)
	readOutput(message protoreflect.Message) any
}

func readExecution[R, S any](k *contract, message protoreflect.Message) *Execution[R, S] {
	read := &Execution[R, S]{
		ID:       field(message, "execution_id").String(),
		Status:   statusOf(field(message, "status").Enum()),
		Progress: progressOf(field(message, "progress").Message().Interface().(*v1.Progress)),
		Err:      k.errorOf(message),
		Metadata: metadataOf(field(message, "metadata").Message().Interface().(*v1.ExecutionMetadata)),
	}
	if has(message, "result") {
		read.Result = new(R)
		decode(field(message, "result").Message(), reflect.ValueOf(read.Result).Elem())
	}
	steps, into := field(message, "steps").Message(), reflect.ValueOf(&read.Steps).Elem()
	for index := range into.NumField() {
		name := into.Type().Field(index).Tag.Get(tag)
		into.Field(index).Addr().Interface().(stepReader).readStep(field(steps, name).Message())
	}
	return read
}

func readResult[R any](k *contract, execution protoreflect.Message) (*R, error) {
	if failure := k.errorOf(execution); failure != nil {
		return nil, failure
	}
	result := new(R)
	decode(field(execution, "result").Message(), reflect.ValueOf(result).Elem())
	return result, nil
}

// typed is an event as callers see it; nil for a heartbeat and for kinds that this release does not know.
func typed[R, S any](k *contract, e *event) Event {
	switch e.kind {
	case "accepted":
		return &Accepted[R, S]{e.info, readExecution[R, S](k, e.content)}
	case "started":
		return &Started[R, S]{e.info, readExecution[R, S](k, e.content)}
	case "done":
		return &Done[R, S]{e.info, readExecution[R, S](k, e.content)}
	case "heartbeat", "":
		return nil
	default:
		return k.stepEvent(e)
	}
}

func (k *contract) stepEvent(e *event) Event {
	// Outputs are the flow's own messages, all else is shared.
	if e.kind == "step_output" || e.kind == "step_completed" {
		item, output := (*int32)(nil), any(nil)
		if has(e.content, "item") {
			value := int32(field(e.content, "item").Int())
			item = &value
		}
		if has(e.content, "output") {
			output = k.stepValue(field(e.content, "output").Message())
		}
		info := stepInfo(e, field(e.content, "step").String(), item)
		attempt := int(field(e.content, "attempt").Int())
		if e.kind == "step_output" {
			return &StepOutput{info, attempt, output}
		}
		return &StepCompleted{info, attempt, output}
	}
	switch content := e.content.Interface().(type) {
	case *v1.StepStartedEvent:
		return &StepStarted{stepInfo(e, content.GetStep(), content.Item), int(content.GetAttempt())}
	case *v1.StepProgressEvent:
		return &StepProgress{stepInfo(e, content.GetStep(), content.Item), content.GetPercentage(), content.GetMessage()}
	case *v1.StepFailedEvent:
		return &StepFailed{stepInfo(e, content.GetStep(), content.Item), int(content.GetAttempt()), errorOfStatus(content.GetError())}
	case *v1.StepRetryingEvent:
		delay, failure := content.GetDelay().AsDuration(), errorOfStatus(content.GetError())
		return &StepRetrying{stepInfo(e, content.GetStep(), content.Item), int(content.GetAttempt()), delay, failure}
	case *v1.StepSkippedEvent:
		return &StepSkipped{stepInfo(e, content.GetStep(), content.Item), content.GetReason()}
	default:
		return nil
	}
}

func stepInfo(e *event, step string, item *int32) StepInfo {
	info := StepInfo{EventInfo: e.info, Step: step}
	if item != nil {
		index := int(*item)
		info.Item = &index
	}
	return info
}

func stepState(step protoreflect.Message) *v1.StepState {
	return field(step, "state").Message().Interface().(*v1.StepState)
}

func field(message protoreflect.Message, name string) protoreflect.Value {
	return message.Get(descriptorOf(message, name))
}

func has(message protoreflect.Message, name string) bool {
	return message.Has(descriptorOf(message, name))
}

func setField(message protoreflect.Message, name string, value protoreflect.Value) {
	message.Set(descriptorOf(message, name), value)
}

func descriptorOf(message protoreflect.Message, name string) protoreflect.FieldDescriptor {
	found := message.Descriptor().Fields().ByName(protoreflect.Name(name))
	if found == nil {
		panic(fmt.Sprintf("promptflow: %s has no field %s; generate both again", message.Descriptor().FullName(), name))
	}
	return found
}

func into[M proto.Message](message protoreflect.Message, name string) M {
	return message.Mutable(descriptorOf(message, name)).Message().Interface().(M)
}

func timeOf(moment *timestamppb.Timestamp) time.Time {
	if moment == nil {
		return time.Time{}
	}
	return moment.AsTime()
}
