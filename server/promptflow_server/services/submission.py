"""What a caller asks of Execute: read, checked whole, with every mistake told at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from promptflow_codegen.plan import FlowPlan
from promptflow_core.coercion import CoercionError
from promptflow_core.defaults import with_defaults
from promptflow_core.errors import Reason, Violation
from promptflow_core.values import FileRef, NativeValue
from promptflow_server.services.codec import RemoteFile, Upload, decode_field
from promptflow_server.services.contracts import FlowContract, Message
from promptflow_server.services.errors import bad_request
from promptflow_server.services.requests import findings_in, mask_violations, parse_message, unknown_numbers

MAX_REQUEST_ID_LENGTH = 128
MAX_LABELS = 32
MAX_LABEL_LENGTH = 256

FILE_SIZE_RULE = "max_bytes"
"""What the generator calls the annotation that bounds a file."""

_PART_END = re.compile(r"[.\[]")

_SEND_BYTES = "send the bytes as `content`, or the file itself as multipart/form-data"


@dataclass(frozen=True, slots=True)
class Submission:
    """A request as it came. `given` holds the inputs that were given.

    What of an input could not be read has a violation, and a stand-in in its list or map, so that all others keep their
    places; `unread` names the inputs that `request` lacks altogether though they were given.
    `staged_id` is the execution under which files of it lie in the file store already, "" where none do.
    """

    request: Message
    given: Mapping[str, NativeValue]
    violations: tuple[Violation, ...] = ()
    staged_id: str = ""
    unread: frozenset[str] = frozenset()

    def named(self, request_id: str) -> Submission:
        """The same request with this id, where it has none of its own."""
        if not request_id or self.request.options.request_id:
            return self
        request = type(self.request)()
        request.CopyFrom(self.request)
        request.options.request_id = request_id
        return replace(self, request=request)


@dataclass(frozen=True, slots=True)
class Order:
    """A request that holds: its inputs are complete and valid, though files may still be `Upload`s."""

    inputs: Mapping[str, NativeValue]
    is_sync: bool
    request_id: str
    timeout_ms: int | None
    labels: Mapping[str, str]
    read_mask: Message | None


def read_submission(contract: FlowContract, data: bytes) -> Submission:
    """Read an ExecuteRequest from its wire form.

    A field that the flow does not have, or has with another type, is a mistake: to drop it would run the flow on less
    than the caller gave. Only what the flow itself has given up is passed over: its numbers are reserved.

    Raises:
        FlowError: MALFORMED_REQUEST.
    """
    request = parse_message(contract.execute_request, data)
    violations = [
        Violation("", f"{contract.title} has no input {number} of this type; update the client")
        for number in unknown_numbers(request)
    ]
    given: dict[str, NativeValue] = {}
    names = {field.name for field in contract.plan.inputs.fields}
    for field, _ in request.ListFields():
        if field.name in names:
            try:
                given[field.name] = decode_field(request, field.name)
            except CoercionError as error:
                violations.append(Violation(error.path, error.message))
    return Submission(request, given, tuple(violations))


def check(submission: Submission, contract: FlowContract, max_file_bytes: int) -> Order:
    """Check the whole request and fill in defaults.

    Raises:
        FlowError: INVALID_INPUT or FILE_TOO_LARGE, with every violation.
    """
    too_large = [*_too_large(submission.given, contract.plan, max_file_bytes)]
    found = [*_annotation_violations(submission, contract, too_large)]
    found += _option_violations(submission.request.options, contract)
    found += too_large
    for path, file in files_in(submission.given):
        found += _file_violations(path, file, submission.staged_id)
    unread = {violation.field for violation in submission.violations}
    told = [*submission.violations, *(one for one in found if not _is_inside(one.field, unread))]
    if told:
        raise bad_request(told, Reason.FILE_TOO_LARGE if told == too_large else Reason.INVALID_INPUT)
    return _order(submission, contract.plan)


def files_in(value: NativeValue, path: str = "") -> Iterator[tuple[str, Upload | FileRef | RemoteFile]]:
    """Every file in a value, with its path."""
    match value:
        case Upload() | FileRef() | RemoteFile():
            yield path, value
        case Mapping():
            for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
                yield from files_in(item, f"{path}.{key}" if path else str(key))  # pyright: ignore[reportUnknownArgumentType]
        case list():
            for index, item in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                yield from files_in(item, f"{path}[{index}]")
        case _:
            return


def file_limit(plan: FlowPlan, input_name: str, max_file_bytes: int) -> int:
    """The largest file that an input may carry: the server's limit, or the flow's own where it is lower."""
    field = plan.inputs.field(input_name)
    own = None if field is None else field.constraints.max_bytes
    return max_file_bytes if own is None else min(own, max_file_bytes)


def is_under(execution_id: str, file: FileRef) -> bool:
    """Whether a file lies under an execution; nothing lies under ""."""
    return bool(execution_id) and file.file_id.startswith(f"{execution_id}/")


def too_large(path: str, limit_bytes: int) -> Violation:
    """What a caller reads whose file exceeds its limit."""
    return Violation(path, f"the file is larger than {limit_bytes} bytes; send a smaller one")


def _order(submission: Submission, plan: FlowPlan) -> Order:
    request, options = submission.request, submission.request.options
    modes = request.DESCRIPTOR.fields_by_name["execution_mode"].enum_type.values_by_name
    timeout: timedelta | None = options.timeout.ToTimedelta() if options.HasField("timeout") else None
    return Order(
        inputs=with_defaults(submission.given, plan.inputs),
        is_sync=request.execution_mode == modes["SYNC"].number,
        request_id=options.request_id,
        timeout_ms=None if timeout is None else max(1, timeout // timedelta(milliseconds=1)),
        labels=dict(options.labels),
        read_mask=options.read_mask if options.HasField("read_mask") else None,
    )


def _annotation_violations(
    submission: Submission, contract: FlowContract, too_large: Sequence[Violation]
) -> Iterator[Violation]:
    """What breaks the annotations, less what is known of absent inputs and of sizes."""
    measured = {violation.field for violation in too_large}
    for rule, violation in findings_in(submission.request, contract):
        is_known = violation.field in submission.unread or (rule == FILE_SIZE_RULE and violation.field in measured)
        if not is_known:
            yield violation


def _is_inside(field: str, told: Collection[str]) -> bool:
    """Whether a path is one of these, or leads further into one of them."""
    return field in told or any(field[: end.start()] in told for end in _PART_END.finditer(field))


def _option_violations(options: Message, contract: FlowContract) -> Iterator[Violation]:
    if len(options.request_id) > MAX_REQUEST_ID_LENGTH:
        yield Violation("options.request_id", f"takes at most {MAX_REQUEST_ID_LENGTH} characters")
    if len(options.labels) > MAX_LABELS:
        yield Violation("options.labels", f"takes at most {MAX_LABELS} entries")
    if any(len(text) > MAX_LABEL_LENGTH for entry in options.labels.items() for text in entry):
        yield Violation("options.labels", f"keys and values take at most {MAX_LABEL_LENGTH} characters")
    if options.HasField("timeout"):
        try:
            is_positive = options.timeout.ToTimedelta() > timedelta(0)
        except (ValueError, OverflowError):
            is_positive = False
        if not is_positive:
            yield Violation("options.timeout", "must be a duration above 0, such as `30s`")
    for violation in mask_violations(options.read_mask, contract):
        yield Violation(f"options.{violation.field}", violation.description)


def _too_large(given: Mapping[str, NativeValue], plan: FlowPlan, max_file_bytes: int) -> Iterator[Violation]:
    for name, value in given.items():
        limit = file_limit(plan, name, max_file_bytes)
        for path, file in files_in(value, name):
            if isinstance(file, Upload) and len(file.content) > limit:
                yield too_large(path, limit)


def _file_violations(path: str, file: Upload | FileRef | RemoteFile, staged_id: str) -> Iterator[Violation]:
    match file:
        case Upload(content=b""):
            yield Violation(path, f"the file is empty; {_SEND_BYTES}")
        case FileRef(size_bytes=0) if is_under(staged_id, file):
            yield Violation(path, f"the file is empty; {_SEND_BYTES}")
        case FileRef() if not is_under(staged_id, file):
            yield Violation(path, f"`file_id` is not supported yet; {_SEND_BYTES}")
        case RemoteFile():
            yield Violation(path, f"`uri` is not supported yet; {_SEND_BYTES}")
        case _:
            return
