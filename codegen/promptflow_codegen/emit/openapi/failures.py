"""What every operation may answer instead of what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from promptflow_codegen.emit.openapi.schemas import ERROR, Schema

_ANSWERS: Mapping[str, str] = {
    "400": "The request does not fit; `details` names every mistake",
    "404": "There is no such execution, or no such path",
    "429": "Too much waits already; `RetryInfo` says when to come back",
    "503": "A part that the flow needs does not answer; `RetryInfo` says when to come back",
    "default": "Any other failure, in the same form",
}
_EXAMPLES: Mapping[str, Schema] = {
    "400": {
        "code": 3,
        "message": "`text`: value is required",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INVALID_INPUT",
                "domain": "promptflow",
                "metadata": {},
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [{"field": "text", "description": "value is required"}],
            },
        ],
    },
    "503": {
        "code": 14,
        "message": "no worker serves the queue `sentiment`",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NO_WORKERS",
                "domain": "promptflow",
                "metadata": {"step": "analyze"},
            },
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "1s"},
        ],
    },
}


def error_schema() -> Schema:
    """google.rpc.Status as REST has it."""
    info = {
        "title": "ErrorInfo",
        "type": "object",
        "required": ["@type", "reason", "domain"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.ErrorInfo"},
            "reason": {"type": "string", "description": "Stable; programs go by it"},
            "domain": {"type": "string"},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    violation = {
        "type": "object",
        "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
    }
    bad_request = {
        "title": "BadRequest",
        "type": "object",
        "required": ["@type"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.BadRequest"},
            "field_violations": {"type": "array", "items": violation},
        },
    }
    retry = {
        "title": "RetryInfo",
        "type": "object",
        "required": ["@type"],
        "properties": {
            "@type": {"const": "type.googleapis.com/google.rpc.RetryInfo"},
            "retry_delay": {"type": "string", "examples": ["1s"]},
        },
    }
    other = {"type": "object", "required": ["@type"], "properties": {"@type": {"type": "string"}}}
    return {
        "type": "object",
        "description": "google.rpc.Status",
        "required": ["code", "message"],
        "properties": {
            "code": {"type": "integer", "description": "The status code of gRPC"},
            "message": {"type": "string", "description": "For people; it may change"},
            "details": {"type": "array", "items": {"anyOf": [info, bad_request, retry, other]}},
        },
    }


def failure_components() -> dict[str, Schema]:
    """The answers by name."""
    return {_name(status): _answer(status, text) for status, text in _ANSWERS.items()}


def failure_responses() -> dict[str, Schema]:
    """References to them by HTTP status."""
    return {status: {"$ref": f"#/components/responses/{_name(status)}"} for status in _ANSWERS}


def _answer(status: str, text: str) -> Schema:
    content: Schema = {"schema": {"$ref": f"#/components/schemas/{ERROR}"}}
    if status in _EXAMPLES:
        content["example"] = _EXAMPLES[status]
    return {"description": text, "content": {"application/json": content}}


def _name(status: str) -> str:
    return "Failure" if status == "default" else f"Failure{status}"
