import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionMode(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VALUE_UNSPECIFIED: _ClassVar[ExecutionMode.Value]
        ASYNC: _ClassVar[ExecutionMode.Value]
        SYNC: _ClassVar[ExecutionMode.Value]
    VALUE_UNSPECIFIED: ExecutionMode.Value
    ASYNC: ExecutionMode.Value
    SYNC: ExecutionMode.Value
    def __init__(self) -> None: ...

class ExecutionStatus(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VALUE_UNSPECIFIED: _ClassVar[ExecutionStatus.Value]
        QUEUED: _ClassVar[ExecutionStatus.Value]
        RUNNING: _ClassVar[ExecutionStatus.Value]
        COMPLETED: _ClassVar[ExecutionStatus.Value]
        FAILED: _ClassVar[ExecutionStatus.Value]
        CANCELLED: _ClassVar[ExecutionStatus.Value]
    VALUE_UNSPECIFIED: ExecutionStatus.Value
    QUEUED: ExecutionStatus.Value
    RUNNING: ExecutionStatus.Value
    COMPLETED: ExecutionStatus.Value
    FAILED: ExecutionStatus.Value
    CANCELLED: ExecutionStatus.Value
    def __init__(self) -> None: ...

class StepStatus(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VALUE_UNSPECIFIED: _ClassVar[StepStatus.Value]
        PENDING: _ClassVar[StepStatus.Value]
        QUEUED: _ClassVar[StepStatus.Value]
        RUNNING: _ClassVar[StepStatus.Value]
        RETRYING: _ClassVar[StepStatus.Value]
        COMPLETED: _ClassVar[StepStatus.Value]
        FAILED: _ClassVar[StepStatus.Value]
        SKIPPED: _ClassVar[StepStatus.Value]
        CANCELLED: _ClassVar[StepStatus.Value]
    VALUE_UNSPECIFIED: StepStatus.Value
    PENDING: StepStatus.Value
    QUEUED: StepStatus.Value
    RUNNING: StepStatus.Value
    RETRYING: StepStatus.Value
    COMPLETED: StepStatus.Value
    FAILED: StepStatus.Value
    SKIPPED: StepStatus.Value
    CANCELLED: StepStatus.Value
    def __init__(self) -> None: ...

class ExecuteOptions(_message.Message):
    __slots__ = ("request_id", "priority", "labels", "read_mask", "timeout")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    priority: int
    labels: _containers.ScalarMap[str, str]
    read_mask: _field_mask_pb2.FieldMask
    timeout: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., priority: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("percentage", "current_step", "running_steps")
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_FIELD_NUMBER: _ClassVar[int]
    RUNNING_STEPS_FIELD_NUMBER: _ClassVar[int]
    percentage: float
    current_step: str
    running_steps: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, percentage: _Optional[float] = ..., current_step: _Optional[str] = ..., running_steps: _Optional[_Iterable[str]] = ...) -> None: ...

class ExecutionMetadata(_message.Message):
    __slots__ = ("created_at", "started_at", "finished_at", "server", "bundle_digest", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    server: str
    bundle_digest: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., server: _Optional[str] = ..., bundle_digest: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class StepState(_message.Message):
    __slots__ = ("status", "attempts", "started_at", "finished_at", "worker", "error")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    status: StepStatus.Value
    attempts: int
    started_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    worker: str
    error: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[StepStatus.Value, str]] = ..., attempts: _Optional[int] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., worker: _Optional[str] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("flow", "version", "description", "bundle_digest", "definition")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    flow: str
    version: int
    description: str
    bundle_digest: str
    definition: _struct_pb2.Struct
    def __init__(self, flow: _Optional[str] = ..., version: _Optional[int] = ..., description: _Optional[str] = ..., bundle_digest: _Optional[str] = ..., definition: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class CheckHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckHealthResponse(_message.Message):
    __slots__ = ("serving", "components")
    SERVING_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    serving: bool
    components: _containers.RepeatedCompositeFieldContainer[ComponentHealth]
    def __init__(self, serving: _Optional[bool] = ..., components: _Optional[_Iterable[_Union[ComponentHealth, _Mapping]]] = ...) -> None: ...

class ComponentHealth(_message.Message):
    __slots__ = ("name", "serving", "message")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    name: str
    serving: bool
    message: str
    def __init__(self, name: _Optional[str] = ..., serving: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class PlanResponse(_message.Message):
    __slots__ = ("flow", "version", "bundle_digest", "steps")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    flow: str
    version: int
    bundle_digest: str
    steps: _containers.RepeatedCompositeFieldContainer[PlannedStep]
    def __init__(self, flow: _Optional[str] = ..., version: _Optional[int] = ..., bundle_digest: _Optional[str] = ..., steps: _Optional[_Iterable[_Union[PlannedStep, _Mapping]]] = ...) -> None: ...

class PlanDecision(_message.Message):
    __slots__ = ()
    class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        VALUE_UNSPECIFIED: _ClassVar[PlanDecision.Value]
        RUNS: _ClassVar[PlanDecision.Value]
        SKIPPED: _ClassVar[PlanDecision.Value]
        UNDECIDED: _ClassVar[PlanDecision.Value]
    VALUE_UNSPECIFIED: PlanDecision.Value
    RUNS: PlanDecision.Value
    SKIPPED: PlanDecision.Value
    UNDECIDED: PlanDecision.Value
    def __init__(self) -> None: ...

class PlannedStep(_message.Message):
    __slots__ = ("step", "executor", "queue", "needs", "stage", "decision", "items", "cost", "config")
    STEP_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    step: str
    executor: str
    queue: str
    needs: _containers.RepeatedScalarFieldContainer[str]
    stage: int
    decision: PlanDecision.Value
    items: int
    cost: float
    config: _struct_pb2.Struct
    def __init__(self, step: _Optional[str] = ..., executor: _Optional[str] = ..., queue: _Optional[str] = ..., needs: _Optional[_Iterable[str]] = ..., stage: _Optional[int] = ..., decision: _Optional[_Union[PlanDecision.Value, str]] = ..., items: _Optional[int] = ..., cost: _Optional[float] = ..., config: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
