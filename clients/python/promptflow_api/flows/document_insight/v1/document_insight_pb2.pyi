import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from promptflow_api.v1 import events_pb2 as _events_pb2
from promptflow_api.v1 import execution_pb2 as _execution_pb2
from promptflow_api.v1 import files_pb2 as _files_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecuteRequest(_message.Message):
    __slots__ = ("document", "execution_mode", "options")
    DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_MODE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    document: _files_pb2.File
    execution_mode: _execution_pb2.ExecutionMode.Value
    options: _execution_pb2.ExecuteOptions
    def __init__(self, document: _Optional[_Union[_files_pb2.File, _Mapping]] = ..., execution_mode: _Optional[_Union[_execution_pb2.ExecutionMode.Value, str]] = ..., options: _Optional[_Union[_execution_pb2.ExecuteOptions, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("text", "mean_confidence", "sentences", "mood")
    class Sentences(_message.Message):
        __slots__ = ("text", "label", "confidence")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        LABEL_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        text: str
        label: str
        confidence: float
        def __init__(self, text: _Optional[str] = ..., label: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...
    class Mood(_message.Message):
        __slots__ = ()
        class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            VALUE_UNSPECIFIED: _ClassVar[Result.Mood.Value]
            positive: _ClassVar[Result.Mood.Value]
            negative: _ClassVar[Result.Mood.Value]
            mixed: _ClassVar[Result.Mood.Value]
            none: _ClassVar[Result.Mood.Value]
        VALUE_UNSPECIFIED: Result.Mood.Value
        positive: Result.Mood.Value
        negative: Result.Mood.Value
        mixed: Result.Mood.Value
        none: Result.Mood.Value
        def __init__(self) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MEAN_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    MOOD_FIELD_NUMBER: _ClassVar[int]
    text: str
    mean_confidence: float
    sentences: _containers.RepeatedCompositeFieldContainer[Result.Sentences]
    mood: Result.Mood.Value
    def __init__(self, text: _Optional[str] = ..., mean_confidence: _Optional[float] = ..., sentences: _Optional[_Iterable[_Union[Result.Sentences, _Mapping]]] = ..., mood: _Optional[_Union[Result.Mood.Value, str]] = ...) -> None: ...

class Steps(_message.Message):
    __slots__ = ("ocr", "sentences", "sentiment", "combine")
    OCR_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    COMBINE_FIELD_NUMBER: _ClassVar[int]
    ocr: OcrStep
    sentences: SentencesStep
    sentiment: SentimentStep
    combine: CombineStep
    def __init__(self, ocr: _Optional[_Union[OcrStep, _Mapping]] = ..., sentences: _Optional[_Union[SentencesStep, _Mapping]] = ..., sentiment: _Optional[_Union[SentimentStep, _Mapping]] = ..., combine: _Optional[_Union[CombineStep, _Mapping]] = ...) -> None: ...

class OcrStep(_message.Message):
    __slots__ = ("state", "output")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    output: OcrOutput
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[OcrOutput, _Mapping]] = ...) -> None: ...

class SentencesStep(_message.Message):
    __slots__ = ("state", "output")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    output: SentencesOutput
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[SentencesOutput, _Mapping]] = ...) -> None: ...

class SentimentStep(_message.Message):
    __slots__ = ("state", "items")
    class Item(_message.Message):
        __slots__ = ("index", "state", "output")
        INDEX_FIELD_NUMBER: _ClassVar[int]
        STATE_FIELD_NUMBER: _ClassVar[int]
        OUTPUT_FIELD_NUMBER: _ClassVar[int]
        index: int
        state: _execution_pb2.StepState
        output: SentimentAnalyzerOutput
        def __init__(self, index: _Optional[int] = ..., state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[SentimentAnalyzerOutput, _Mapping]] = ...) -> None: ...
    STATE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    items: _containers.RepeatedCompositeFieldContainer[SentimentStep.Item]
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., items: _Optional[_Iterable[_Union[SentimentStep.Item, _Mapping]]] = ...) -> None: ...

class CombineStep(_message.Message):
    __slots__ = ("state", "output")
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    state: _execution_pb2.StepState
    output: CombineOutput
    def __init__(self, state: _Optional[_Union[_execution_pb2.StepState, _Mapping]] = ..., output: _Optional[_Union[CombineOutput, _Mapping]] = ...) -> None: ...

class OcrOutput(_message.Message):
    __slots__ = ("text", "confidence", "words")
    class Word(_message.Message):
        __slots__ = ("text", "confidence", "box")
        class Box(_message.Message):
            __slots__ = ("left", "top", "right", "bottom")
            LEFT_FIELD_NUMBER: _ClassVar[int]
            TOP_FIELD_NUMBER: _ClassVar[int]
            RIGHT_FIELD_NUMBER: _ClassVar[int]
            BOTTOM_FIELD_NUMBER: _ClassVar[int]
            left: int
            top: int
            right: int
            bottom: int
            def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., right: _Optional[int] = ..., bottom: _Optional[int] = ...) -> None: ...
        TEXT_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        BOX_FIELD_NUMBER: _ClassVar[int]
        text: str
        confidence: float
        box: OcrOutput.Word.Box
        def __init__(self, text: _Optional[str] = ..., confidence: _Optional[float] = ..., box: _Optional[_Union[OcrOutput.Word.Box, _Mapping]] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    text: str
    confidence: float
    words: _containers.RepeatedCompositeFieldContainer[OcrOutput.Word]
    def __init__(self, text: _Optional[str] = ..., confidence: _Optional[float] = ..., words: _Optional[_Iterable[_Union[OcrOutput.Word, _Mapping]]] = ...) -> None: ...

class SentencesOutput(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, value: _Optional[_Iterable[str]] = ...) -> None: ...

class SentimentAnalyzerOutput(_message.Message):
    __slots__ = ("label", "confidence", "scores")
    class ScoresEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    LABEL_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    label: str
    confidence: float
    scores: _containers.ScalarMap[str, float]
    def __init__(self, label: _Optional[str] = ..., confidence: _Optional[float] = ..., scores: _Optional[_Mapping[str, float]] = ...) -> None: ...

class CombineOutput(_message.Message):
    __slots__ = ("text", "mean_confidence", "sentences", "mood")
    class Sentences(_message.Message):
        __slots__ = ("text", "label", "confidence")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        LABEL_FIELD_NUMBER: _ClassVar[int]
        CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
        text: str
        label: str
        confidence: float
        def __init__(self, text: _Optional[str] = ..., label: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...
    class Mood(_message.Message):
        __slots__ = ()
        class Value(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
            __slots__ = ()
            VALUE_UNSPECIFIED: _ClassVar[CombineOutput.Mood.Value]
            positive: _ClassVar[CombineOutput.Mood.Value]
            negative: _ClassVar[CombineOutput.Mood.Value]
            mixed: _ClassVar[CombineOutput.Mood.Value]
            none: _ClassVar[CombineOutput.Mood.Value]
        VALUE_UNSPECIFIED: CombineOutput.Mood.Value
        positive: CombineOutput.Mood.Value
        negative: CombineOutput.Mood.Value
        mixed: CombineOutput.Mood.Value
        none: CombineOutput.Mood.Value
        def __init__(self) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MEAN_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    MOOD_FIELD_NUMBER: _ClassVar[int]
    text: str
    mean_confidence: float
    sentences: _containers.RepeatedCompositeFieldContainer[CombineOutput.Sentences]
    mood: CombineOutput.Mood.Value
    def __init__(self, text: _Optional[str] = ..., mean_confidence: _Optional[float] = ..., sentences: _Optional[_Iterable[_Union[CombineOutput.Sentences, _Mapping]]] = ..., mood: _Optional[_Union[CombineOutput.Mood.Value, str]] = ...) -> None: ...

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
    __slots__ = ("ocr", "sentences", "sentiment", "combine")
    OCR_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    COMBINE_FIELD_NUMBER: _ClassVar[int]
    ocr: OcrOutput
    sentences: SentencesOutput
    sentiment: SentimentAnalyzerOutput
    combine: CombineOutput
    def __init__(self, ocr: _Optional[_Union[OcrOutput, _Mapping]] = ..., sentences: _Optional[_Union[SentencesOutput, _Mapping]] = ..., sentiment: _Optional[_Union[SentimentAnalyzerOutput, _Mapping]] = ..., combine: _Optional[_Union[CombineOutput, _Mapping]] = ...) -> None: ...
