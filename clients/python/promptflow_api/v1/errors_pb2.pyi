from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VALUE_UNSPECIFIED: _ClassVar[ErrorReason.Value]
        INVALID_INPUT: _ClassVar[ErrorReason.Value]
        MALFORMED_REQUEST: _ClassVar[ErrorReason.Value]
        FILE_UNREADABLE: _ClassVar[ErrorReason.Value]
        FILE_TOO_LARGE: _ClassVar[ErrorReason.Value]
        FLOW_NOT_FOUND: _ClassVar[ErrorReason.Value]
        EXECUTION_NOT_FOUND: _ClassVar[ErrorReason.Value]
        REQUEST_ID_REUSED: _ClassVar[ErrorReason.Value]
        SEQUENCE_OUT_OF_RANGE: _ClassVar[ErrorReason.Value]
        TEMPLATE_FAILED: _ClassVar[ErrorReason.Value]
        TEMPLATE_LIMIT: _ClassVar[ErrorReason.Value]
        CONFIG_INVALID: _ClassVar[ErrorReason.Value]
        OUTPUT_INVALID: _ClassVar[ErrorReason.Value]
        EXECUTOR_FAILED: _ClassVar[ErrorReason.Value]
        STEP_TIMEOUT: _ClassVar[ErrorReason.Value]
        EXECUTION_TIMEOUT: _ClassVar[ErrorReason.Value]
        EXECUTION_CANCELLED: _ClassVar[ErrorReason.Value]
        WORKER_LOST: _ClassVar[ErrorReason.Value]
        NO_WORKERS: _ClassVar[ErrorReason.Value]
        QUEUE_FULL: _ClassVar[ErrorReason.Value]
        MODEL_UNAVAILABLE: _ClassVar[ErrorReason.Value]
        STORE_UNAVAILABLE: _ClassVar[ErrorReason.Value]
        SERVER_DRAINING: _ClassVar[ErrorReason.Value]
        CRASH_LOOP: _ClassVar[ErrorReason.Value]
        INTERNAL: _ClassVar[ErrorReason.Value]
        BUNDLE_REFUSED: _ClassVar[ErrorReason.Value]
        BUNDLE_CONFLICT: _ClassVar[ErrorReason.Value]
        CALLER_REFUSED: _ClassVar[ErrorReason.Value]
    VALUE_UNSPECIFIED: ErrorReason.Value
    INVALID_INPUT: ErrorReason.Value
    MALFORMED_REQUEST: ErrorReason.Value
    FILE_UNREADABLE: ErrorReason.Value
    FILE_TOO_LARGE: ErrorReason.Value
    FLOW_NOT_FOUND: ErrorReason.Value
    EXECUTION_NOT_FOUND: ErrorReason.Value
    REQUEST_ID_REUSED: ErrorReason.Value
    SEQUENCE_OUT_OF_RANGE: ErrorReason.Value
    TEMPLATE_FAILED: ErrorReason.Value
    TEMPLATE_LIMIT: ErrorReason.Value
    CONFIG_INVALID: ErrorReason.Value
    OUTPUT_INVALID: ErrorReason.Value
    EXECUTOR_FAILED: ErrorReason.Value
    STEP_TIMEOUT: ErrorReason.Value
    EXECUTION_TIMEOUT: ErrorReason.Value
    EXECUTION_CANCELLED: ErrorReason.Value
    WORKER_LOST: ErrorReason.Value
    NO_WORKERS: ErrorReason.Value
    QUEUE_FULL: ErrorReason.Value
    MODEL_UNAVAILABLE: ErrorReason.Value
    STORE_UNAVAILABLE: ErrorReason.Value
    SERVER_DRAINING: ErrorReason.Value
    CRASH_LOOP: ErrorReason.Value
    INTERNAL: ErrorReason.Value
    BUNDLE_REFUSED: ErrorReason.Value
    BUNDLE_CONFLICT: ErrorReason.Value
    CALLER_REFUSED: ErrorReason.Value
    def __init__(self) -> None: ...
