from google.rpc import status_pb2 as _status_pb2
from promptflow_api.v1 import execution_pb2 as _execution_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListExecutionsRequest(_message.Message):
    __slots__ = ("flow", "version", "statuses", "page_size", "page_token")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    flow: str
    version: int
    statuses: _containers.RepeatedScalarFieldContainer[_execution_pb2.ExecutionStatus.Value]
    page_size: int
    page_token: str
    def __init__(self, flow: _Optional[str] = ..., version: _Optional[int] = ..., statuses: _Optional[_Iterable[_Union[_execution_pb2.ExecutionStatus.Value, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExecutionsResponse(_message.Message):
    __slots__ = ("executions", "next_page_token")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[ExecutionSummary]
    next_page_token: str
    def __init__(self, executions: _Optional[_Iterable[_Union[ExecutionSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExecutionSummary(_message.Message):
    __slots__ = ("execution_id", "flow", "version", "status", "progress", "error", "metadata")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    FLOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    flow: str
    version: int
    status: _execution_pb2.ExecutionStatus.Value
    progress: _execution_pb2.Progress
    error: _status_pb2.Status
    metadata: _execution_pb2.ExecutionMetadata
    def __init__(self, execution_id: _Optional[str] = ..., flow: _Optional[str] = ..., version: _Optional[int] = ..., status: _Optional[_Union[_execution_pb2.ExecutionStatus.Value, str]] = ..., progress: _Optional[_Union[_execution_pb2.Progress, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., metadata: _Optional[_Union[_execution_pb2.ExecutionMetadata, _Mapping]] = ...) -> None: ...
