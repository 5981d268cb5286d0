from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class File(_message.Message):
    __slots__ = ("content", "file_id", "uri", "content_type", "name")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    file_id: str
    uri: str
    content_type: str
    name: str
    def __init__(self, content: _Optional[bytes] = ..., file_id: _Optional[str] = ..., uri: _Optional[str] = ..., content_type: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...
