"""Requests of any kind: parsed from their wire form, held against the annotations of their messages."""

from __future__ import annotations

from typing import Any, Protocol

import protovalidate
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from promptflow_core.errors import FlowError, Reason, Violation
from promptflow_server.services.contracts import FlowContract, Message, MessageClass, reserved_of
from promptflow_server.services.errors import bad_request


class Rules(Protocol):
    """Whatever knows the annotations that requests are held against."""

    @property
    def validator(self) -> protovalidate.Validator:
        """Judges messages by their annotations."""
        ...


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


def read_request(message_class: MessageClass, data: bytes, rules: Rules) -> Message:
    """A message from its wire form that keeps to its annotations.

    Raises:
        FlowError: MALFORMED_REQUEST, or INVALID_INPUT with every violation.
    """
    message = parse_message(message_class, data)
    violations = violations_of(message, rules)
    if violations:
        raise bad_request(violations)
    return message


def violations_of(message: Message, rules: Rules) -> list[Violation]:
    """Where a message breaks its annotations, with paths such as `tags[0].name`."""
    return [violation for _, violation in findings_in(message, rules)]


def findings_in(message: Message, rules: Rules) -> list[tuple[str, Violation]]:
    """The same, each with the id of the rule that is broken."""
    found = [violation.proto for violation in rules.validator.collect_violations(message)]
    return [(one.rule_id, Violation(_path_of(one.field), one.message)) for one in found]


def unknown_numbers(message: Message) -> list[int]:
    """Numbers on the wire that the message does not have, and has not given up either."""
    unknown = UnknownFieldSet(message)
    numbers = [unknown[index].field_number for index in range(len(unknown))]
    if not numbers:
        return []
    given_up = [range(reserved.start, reserved.end) for reserved in reserved_of(message.DESCRIPTOR).reserved_range]
    return [number for number in numbers if not any(number in reserved for reserved in given_up)]


def mask_violations(mask: Message, contract: FlowContract) -> list[Violation]:
    """The paths of a read mask that name nothing in an `Execution`."""
    return [
        Violation("read_mask", f"`{path}` is no field of Execution; write paths such as `status` or `result`")
        for path in mask.paths
        if path != "*" and not type(mask)(paths=[path]).IsValidForDescriptor(contract.execution.DESCRIPTOR)
    ]


def check_mask(mask: Message, contract: FlowContract) -> None:
    """Refuse a mask with paths that name nothing.

    Raises:
        FlowError: INVALID_INPUT, with every one of them.
    """
    violations = mask_violations(mask, contract)
    if violations:
        raise bad_request(violations)


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
