import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StepStartedEvent(_message.Message):
    __slots__ = ("step", "item", "attempt")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    step: str
    item: int
    attempt: int
    def __init__(self, step: _Optional[str] = ..., item: _Optional[int] = ..., attempt: _Optional[int] = ...) -> None: ...

class StepProgressEvent(_message.Message):
    __slots__ = ("step", "item", "percentage", "message")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    step: str
    item: int
    percentage: float
    message: str
    def __init__(self, step: _Optional[str] = ..., item: _Optional[int] = ..., percentage: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class StepFailedEvent(_message.Message):
    __slots__ = ("step", "item", "attempt", "error")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    step: str
    item: int
    attempt: int
    error: _status_pb2.Status
    def __init__(self, step: _Optional[str] = ..., item: _Optional[int] = ..., attempt: _Optional[int] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StepRetryingEvent(_message.Message):
    __slots__ = ("step", "item", "attempt", "delay", "error")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    step: str
    item: int
    attempt: int
    delay: _duration_pb2.Duration
    error: _status_pb2.Status
    def __init__(self, step: _Optional[str] = ..., item: _Optional[int] = ..., attempt: _Optional[int] = ..., delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class StepSkippedEvent(_message.Message):
    __slots__ = ("step", "item", "reason")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    step: str
    item: int
    reason: str
    def __init__(self, step: _Optional[str] = ..., item: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class HeartbeatEvent(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
