package promptflow

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

type readMask []string

func (m readMask) applyRead(o *readOptions) { o.paths = append(o.paths, m...) }
func (m readMask) applyRun(o *runOptions)   { m.applyRead(&o.readOptions) }

// ReadMask has the server answer these parts of an execution alone, such as result.text. What the client needs itself
// comes always: the id, the status, the error, and the result where the call gives it.
func ReadMask(paths ...string) interface {
	RunOption
	ReadOption
} {
	return readMask(paths)
}

// needed are the paths of a read mask with those that tell the end of a run; no paths are no mask.
func needed(paths []string) []string {
	if len(paths) == 0 {
		return nil
	}
	all := slices.Clone(paths)
	for _, path := range []string{"execution_id", "status", "error"} {
		if !slices.Contains(all, path) {
			all = append(all, path)
		}
	}
	return all
}

// withResult has the result come as well, for calls that give it.
func (o runOptions) withResult() runOptions {
	isOfResult := func(path string) bool {
		first, _, _ := strings.Cut(path, ".")
		return first == "*" || first == "result"
	}
	if len(o.paths) > 0 && !slices.ContainsFunc(o.paths, isOfResult) {
		o.paths = append(slices.Clone(o.paths), "result")
	}
	return o
}

func pathsOf(options []ReadOption) []string {
	var read readOptions
	for _, option := range options {
		option.applyRead(&read)
	}
	return read.paths
}

// setMask puts the mask into a request that has one.
func setMask(request protoreflect.Message, paths []string) {
	if paths = needed(paths); paths != nil {
		into[*fieldmaskpb.FieldMask](request, "read_mask").Paths = paths
	}
}
