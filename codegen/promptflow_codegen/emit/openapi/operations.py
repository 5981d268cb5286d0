"""Methods with a REST path as operations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from promptflow_codegen.emit.openapi.annotations import Route
from promptflow_codegen.emit.openapi.examples import EXECUTION_ID, NoExampleError, example_of
from promptflow_codegen.emit.openapi.failures import failure_responses
from promptflow_codegen.emit.openapi.schemas import FILE, Schema, Schemas
from promptflow_codegen.emit.openapi.streams import stream_content

JSON, FORM = "application/json", "multipart/form-data"

_IN_PATH = re.compile(r"\{(\w+)\}")
_SUMMARIES: Mapping[str, str] = {
    "Execute": "Run the flow",
    "ExecuteStream": "Run the flow and follow its events",
    "Watch": "Follow the events of a run",
    "GetStatus": "Look at a run",
    "Cancel": "End a run",
    "BatchExecute": "Run the flow many times",
    "Plan": "What a run would do, without running it",
    "GetInfo": "What the flow is",
    "CheckHealth": "Whether all that the flow needs is there",
    "ListExecutions": "List runs of all flows, the newest first",
    "ListFlows": "List the flows",
}
_NOTES: Mapping[str, str] = {
    "Execute": "With `execution_mode` ASYNC, the default, the answer is the run as it was accepted; with SYNC it comes "
    "when the run has ended, and a run that fails answers as an error. `options.request_id` makes it safe to repeat.",
    "ExecuteStream": "Events come as they happen, `done` last; a stream that ends without it was cut. Go on with the "
    "watch path, after the last sequence that came.",
    "Watch": "Events after `after_sequence` (or the header `Last-Event-ID`), then as they happen, until `done`.",
    "Cancel": "A run that has ended stays as it is.",
    "BatchExecute": "Each outcome is what a single call would have answered, in the order of the requests.",
}
_FOLLOWED_BY = ("Watch", "GetStatus", "Cancel")
_FORMS = ("Execute", "ExecuteStream")


@dataclass(frozen=True, slots=True)
class OperationWriter:
    """Writes the operations of one service; `prefix` makes their ids unique, `tag` groups them."""

    schemas: Schemas
    prefix: str
    tag: str

    def operation(self, method: MethodDescriptor, route: Route) -> Schema:
        """One operation."""
        in_path = set(_IN_PATH.findall(route.path))
        rest = [field for field in method.input_type.fields if field.name not in in_path]
        parameters = [self._parameter(field, "path") for field in method.input_type.fields if field.name in in_path]
        written: Schema = {
            "operationId": f"{self.prefix}{method.name}",
            "summary": _SUMMARIES.get(method.name, method.name),
            "tags": [self.tag],
        }
        if method.name in _NOTES:
            written["description"] = _NOTES[method.name]
        if not route.has_body:
            parameters += [self._parameter(field, "query") for field in rest]
        if parameters:
            written["parameters"] = parameters
        if route.takes_message:
            written["requestBody"] = self._body(method)
        written["responses"] = {"200": self._answer(method), **failure_responses()}
        return written

    def _parameter(self, field: FieldDescriptor, place: str) -> Schema:
        parameter: Schema = {
            "name": field.name,
            "in": place,
            "required": place == "path" or self.schemas.is_required(field, is_given=True),
            "schema": self.schemas.of_field(field, is_given=True),
        }
        if field.name == "execution_id":
            parameter["schema"] = {"type": "string", "format": "uuid"}
            parameter["example"] = EXECUTION_ID
        return parameter

    def _body(self, method: MethodDescriptor) -> Schema:
        schema = self.schemas.given(method.input_type)
        content: Schema = {JSON: {"schema": schema}}
        with suppress(NoExampleError):
            content[JSON]["example"] = example_of(schema, self.schemas.components)
        if method.name in _FORMS:
            content[FORM] = {"schema": self._form(method.input_type)}
        return {"required": True, "content": content}

    def _form(self, message: Descriptor) -> Schema:
        """The fields as the parts of a form: files as files, `options` as JSON."""
        return {
            "type": "object",
            "properties": {field.name: self._part(field) for field in message.fields},
            "required": [field.name for field in message.fields if self.schemas.is_required(field, is_given=True)],
            "additionalProperties": False,
        }

    def _part(self, field: FieldDescriptor) -> Schema:
        schema = self.schemas.of_field(field, is_given=True)
        kind = field.message_type.full_name if field.message_type is not None else ""
        if kind == "google.protobuf.Value" and not field.is_repeated:
            return {"type": "string", "contentMediaType": JSON, "examples": ['{"a": 1}']}
        if kind != FILE:
            return schema
        file: Schema = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
        return {"type": "array", "items": file} if field.is_repeated else file

    def _answer(self, method: MethodDescriptor) -> Schema:
        schema = self.schemas.answered(method.output_type)
        content = dict(self._content(method, schema))
        answer: Schema = {"description": "As asked for", "content": content}
        if method.name == "Execute":
            answer["links"] = {name: self._link(name) for name in _FOLLOWED_BY}
        if method.output_type.name in ("Execution", "Event"):
            header: Schema = {"description": "The run, from the first byte on", "schema": {"type": "string"}}
            answer["headers"] = {"x-execution-id": header}
        return answer

    def _link(self, name: str) -> Schema:
        found = {"execution_id": "$response.body#/execution_id"}
        return {"operationId": f"{self.prefix}{name}", "parameters": found}

    def _content(self, method: MethodDescriptor, schema: Schema) -> Iterator[tuple[str, Schema]]:
        components = self.schemas.components
        if method.server_streaming:
            event: Any = example_of(schema, components)
            yield from stream_content(schema, event).items()
            return
        example = example_of(schema, components)
        promised = method.output_type.fields_by_name.get("result")
        if promised is not None and promised.message_type is not None:
            result = self.schemas.answered(promised.message_type)
            example |= {"status": "COMPLETED", "result": example_of(result, components, is_whole=True)}
        yield JSON, {"schema": schema, "example": example}
