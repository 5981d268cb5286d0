import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from promptflow_api.v1 import events_pb2 as _events_pb2
from promptflow_api.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecuteRequest(_message.Message):
    __slots__ = ("text", "amount", "execution_mode", "options")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_MODE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    text: str
    amount: float
    execution_mode: _execution_pb2.ExecutionMode.Value
    options: _execution_pb2.ExecuteOptions
    def __init__(self, text: _Optional[str] = ..., amount: _Optional[float] = ..., execution_mode: _Optional[_Union[_execution_pb2.ExecutionMode.Value, str]] = ..., options: _Optional[_Union[_execution_pb2.ExecuteOptions, _Mapping]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("execution_id", "after_sequence", "read_mask")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    after_sequence: int
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, execution_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("execution_id", "read_mask")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, execution_id: _Optional[str] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class BatchExecuteRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ExecuteRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ExecuteRequest, _Mapping]]] = ...) -> None: ...

class BatchExecuteResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[BatchOutcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[BatchOutcome, _Mapping]]] = ...) -> None: ...

class BatchOutcome(_message.Message):
    __slots__ = ("execution", "error")
    EXECUTION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    execution: Execution
    error: _status_pb2.Status
    def __init__(self, execution: _Optional[_Union[Execution, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("execution_id", "status", "progress", "result", "steps", "error", "metadata")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    status: _execution_pb2.ExecutionStatus.Value
    progress: _execution_pb2.Progress
    result: Result
    steps: Steps
    error: _status_pb2.Status
    metadata: _execution_pb2.ExecutionMetadata
    def __init__(self, execution_id: _Optional[str] = ..., status: _Optional[_Union[_execution_pb2.ExecutionStatus.Value, str]] = ..., progress: _Optional[_Union[_execution_pb2.Progress, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., steps: _Optional[_Union[Steps, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., metadata: _Optional[_Union[_execution_pb2.ExecutionMetadata, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("route_decision", "path_a", "path_b")
    ROUTE_DECISION_FIELD_NUMBER: _ClassVar[int]
    PATH_A_FIELD_NUMBER: _ClassVar[int]
    PATH_B_FIELD_NUMBER: _ClassVar[int]
    route_decision: RouteDecisionOutput
    path_a: PathAOutput
    path_b: PathBOutput
    def __init__(self, route_decision: _Optional[_Union[RouteDecisionOutput, _Mapping]] = ..., path_a: _Optional[_Union[PathAOutput, _Mapping]] = ..., path_b: _Optional[_Union[PathBOutput, _Mapping]] = ...) -> None: ...

class Steps(_message.Message):
    __slots__ = ("route_decision", "path_a", "path_b")
    ROUTE_DECISION_FIELD_NUMBER: _ClassVar[int]
    PATH_A_FIELD_NUMBER: _ClassVar[int]
    PATH_B_FIELD_NUMBER: _ClassVar[int]
    route_decision: RouteDecisionStep
    path_a: PathAStep
    path_b: PathBStep
    def __init__(self, route_decision: _Optional[_Union[RouteDecisionStep, _Mapping]] = ..., path_a: _Optional[_Union[PathAStep, _Mapping]] = ..., path_b: _Optional[_Union[PathBStep, _Mapping]] = ...) -> None: ...

class RouteDecisionStep(_message.Message):
    __slots__ = ("state", "output")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    output: RouteDecisionOutput
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[RouteDecisionOutput, _Mapping]] = ...) -> None: ...

class PathAStep(_message.Message):
    __slots__ = ("state", "output")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    output: PathAOutput
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[PathAOutput, _Mapping]] = ...) -> None: ...

class PathBStep(_message.Message):
    __slots__ = ("state", "output")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    output: PathBOutput
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[PathBOutput, _Mapping]] = ...) -> None: ...

class RouteDecisionOutput(_message.Message):
    __slots__ = ("path",)
    class Path(_message.Message):
        __slots__ = ()
        class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            VALUE_UNSPECIFIED: _ClassVar[RouteDecisionOutput.Path.Value]
            a: _ClassVar[RouteDecisionOutput.Path.Value]
            b: _ClassVar[RouteDecisionOutput.Path.Value]
        VALUE_UNSPECIFIED: RouteDecisionOutput.Path.Value
        a: RouteDecisionOutput.Path.Value
        b: RouteDecisionOutput.Path.Value
        def __init__(self) -> None: ...
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: RouteDecisionOutput.Path.Value
    def __init__(self, path: _Optional[_Union[RouteDecisionOutput.Path.Value, str]] = ...) -> None: ...

class PathAOutput(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class PathBOutput(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("execution_id", "sequence", "time", "progress", "accepted", "started", "step_started", "step_progress", "step_output", "step_completed", "step_failed", "step_retrying", "step_skipped", "heartbeat", "done")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STEP_STARTED_FIELD_NUMBER: _ClassVar[int]
    STEP_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    STEP_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    STEP_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    STEP_FAILED_FIELD_NUMBER: _ClassVar[int]
    STEP_RETRYING_FIELD_NUMBER: _ClassVar[int]
    STEP_SKIPPED_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    sequence: int
    time: _timestamp_pb2.Timestamp
    progress: _execution_pb2.Progress
    accepted: Execution
    started: Execution
    step_started: _events_pb2.StepStartedEvent
    step_progress: _events_pb2.StepProgressEvent
    step_output: StepOutputEvent
    step_completed: StepOutputEvent
    step_failed: _events_pb2.StepFailedEvent
    step_retrying: _events_pb2.StepRetryingEvent
    step_skipped: _events_pb2.StepSkippedEvent
    heartbeat: _events_pb2.HeartbeatEvent
    done: Execution
    def __init__(self, execution_id: _Optional[str] = ..., sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., progress: _Optional[_Union[_execution_pb2.Progress, _Mapping]] = ..., accepted: _Optional[_Union[Execution, _Mapping]] = ..., started: _Optional[_Union[Execution, _Mapping]] = ..., step_started: _Optional[_Union[_events_pb2.StepStartedEvent, _Mapping]] = ..., step_progress: _Optional[_Union[_events_pb2.StepProgressEvent, _Mapping]] = ..., step_output: _Optional[_Union[StepOutputEvent, _Mapping]] = ..., step_completed: _Optional[_Union[StepOutputEvent, _Mapping]] = ..., step_failed: _Optional[_Union[_events_pb2.StepFailedEvent, _Mapping]] = ..., step_retrying: _Optional[_Union[_events_pb2.StepRetryingEvent, _Mapping]] = ..., step_skipped: _Optional[_Union[_events_pb2.StepSkippedEvent, _Mapping]] = ..., heartbeat: _Optional[_Union[_events_pb2.HeartbeatEvent, _Mapping]] = ..., done: _Optional[_Union[Execution, _Mapping]] = ...) -> None: ...

class StepOutputEvent(_message.Message):
    __slots__ = ("step", "item", "attempt", "output")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    step: str
    item: int
    attempt: int
    output: StepValue
    def __init__(self, step: _Optional[str] = ..., item: _Optional[int] = ..., attempt: _Optional[int] = ..., output: _Optional[_Union[StepValue, _Mapping]] = ...) -> None: ...

class StepValue(_message.Message):
    __slots__ = ("route_decision", "path_a", "path_b")
    ROUTE_DECISION_FIELD_NUMBER: _ClassVar[int]
    PATH_A_FIELD_NUMBER: _ClassVar[int]
    PATH_B_FIELD_NUMBER: _ClassVar[int]
    route_decision: RouteDecisionOutput
    path_a: PathAOutput
    path_b: PathBOutput
    def __init__(self, route_decision: _Optional[_Union[RouteDecisionOutput, _Mapping]] = ..., path_a: _Optional[_Union[PathAOutput, _Mapping]] = ..., path_b: _Optional[_Union[PathBOutput, _Mapping]] = ...) -> None: ...
