"""Requests of any kind: parsed from their wire form, held against the annotations of their messages."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_server.services.contracts import FlowContract, Message, MessageClass
from promptflow_server.services.errors import bad_request


def parse_message(message_class: MessageClass, data: bytes) -> Message:
    """A message from its wire form.

    Raises:
        FlowError: MALFORMED_REQUEST.
    """
    try:
        return message_class.FromString(data)
    except DecodeError as error:
        name = message_class.DESCRIPTOR.full_name
        raise FlowError(Reason.MALFORMED_REQUEST, f"the request is no `{name}`: {error}") from None


def read_request(message_class: MessageClass, data: bytes, contract: FlowContract) -> Message:
    """A message from its wire form that keeps to its annotations.

    Raises:
        FlowError: MALFORMED_REQUEST, or INVALID_INPUT with every violation.
    """
    message = parse_message(message_class, data)
    violations = violations_of(message, contract)
    if violations:
        raise bad_request(violations)
    return message


def violations_of(message: Message, contract: FlowContract) -> list[Violation]:
    """Where a message breaks its annotations, with paths such as `tags[0].name`."""
    found = contract.validator.collect_violations(message)
    return [Violation(_path_of(violation.proto.field), violation.proto.message) for violation in found]


def mask_violations(mask: Message, contract: FlowContract) -> list[Violation]:
    """The paths of a read mask that name nothing in an `Execution`."""
    return [
        Violation("read_mask", f"`{path}` is no field of Execution; write paths such as `status` or `result`")
        for path in mask.paths
        if path != "*" and not type(mask)(paths=[path]).IsValidForDescriptor(contract.execution.DESCRIPTOR)
    ]


def masked(execution: Message, mask: Message | None) -> Message:
    """The fields of an `Execution` that `mask` names, and always its id and status; all where it names none.

    JSON prints both even where they are not set, so that a mask without them would answer a run of no id and no status.
    """
    if mask is None or not mask.paths or "*" in mask.paths:
        return execution
    selected = type(execution)()
    mask.MergeMessage(execution, selected)
    selected.execution_id, selected.status = execution.execution_id, execution.status
    return selected


def _path_of(field: Any) -> str:
    path = ""
    for element in field.elements if field is not None else ():
        path += f".{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    return path
