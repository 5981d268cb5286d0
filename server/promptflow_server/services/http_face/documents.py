"""A JSON document as a submission: its shape by a pydantic model per flow, its constraints by the message that it makes.

Forms of values are those of protobuf's JSON, and more where people write otherwise: enums without regard to case,
durations as in YAML. null is absence.
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from promptflow_core.coercion import INT32, INT64, CoercionError, coerce
from promptflow_core.errors import Violation
from promptflow_core.types import (
    SCALARS,
    EnumType,
    FieldType,
    Kind,
    ListType,
    MapType,
    ObjectType,
    ScalarType,
    ValueType,
)
from promptflow_core.values import FileRef, NativeValue
from pydantic import ConfigDict, PlainValidator, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import TypedDict

from promptflow_server.services.codec import RemoteFile, Upload, encode_message
from promptflow_server.services.contracts import FlowContract
from promptflow_server.services.submission import Submission
