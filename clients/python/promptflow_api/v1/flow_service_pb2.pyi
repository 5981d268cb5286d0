from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListFlowsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFlowsResponse(_message.Message):
    __slots__ = ("flows", "next_page_token", "bundle_digest")
    FLOWS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    flows: _containers.RepeatedCompositeFieldContainer[FlowSummary]
    next_page_token: str
    bundle_digest: str
    def __init__(self, flows: _Optional[_Iterable[_Union[FlowSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., bundle_digest: _Optional[str] = ...) -> None: ...

class FlowSummary(_message.Message):
    __slots__ = ("flow", "version", "description", "service", "path", "digest")
    FLOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    flow: str
    version: int
    description: str
    service: str
    path: str
    digest: str
    def __init__(self, flow: _Optional[str] = ..., version: _Optional[int] = ..., description: _Optional[str] = ..., service: _Optional[str] = ..., path: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class PublishBundleRequest(_message.Message):
    __slots__ = ("bundle", "validate_only")
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    bundle: bytes
    validate_only: bool
    def __init__(self, bundle: _Optional[bytes] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class PublishBundleResponse(_message.Message):
    __slots__ = ("bundle_digest", "previous_digest")
    BUNDLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    bundle_digest: str
    previous_digest: str
    def __init__(self, bundle_digest: _Optional[str] = ..., previous_digest: _Optional[str] = ...) -> None: ...
