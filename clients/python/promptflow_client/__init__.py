"""What every generated PromptFlow client stands on: typed runs of flows over gRPC, with asyncio.

It knows no flow: messages are read and written by their descriptors, and a generated module adds the types. It never
imports a part of the server, and never starts a run twice: every request carries an id, and only that is sent again.

promptflow  the base of a generated client of all flows
connection  one channel to one address: headers, deadlines, calls tried again
flow        the base of a generated flow client
handle      one run: its result, events, status, cancel
calls       the calls of one flow, typed; what flow and handle share
following   the events of a run in one piece, however often the stream is cut
contract    what the messages of a flow mean
retry       how long a call is tried, and how long between
events      what happens in a run
executions  a run as it stands
plans       what a run would do
states      the parts of runs and plans that are the same in every flow, out of messages
lists       runs and flows, page after page
sync        the same without asyncio, made of the asynchronous classes
portal      the event loop in a thread that it runs on
encoding    Python values into messages
decoding    messages into Python values
json_values JSON values and their message form
files       what may be given as a file
credentials headers that say who calls
errors      the tree of errors, and the table that makes them of gRPC statuses
"""

from promptflow_client.calls import Options
from promptflow_client.contract import Contract
from promptflow_client.credentials import MetadataHook, api_key, bearer
from promptflow_client.errors import (
    AbortedError,
    AlreadyExistsError,
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    PromptFlowError,
    Reason,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
    Violation,
)
from promptflow_client.events import (
    Accepted,
    Done,
    Event,
    Started,
    StepCompleted,
    StepFailed,
    StepOutput,
    StepProgress,
    StepRetrying,
    StepSkipped,
    StepStarted,
)
from promptflow_client.executions import (
    ComponentHealth,
    Execution,
    ExecutionMetadata,
    ExecutionStatus,
    ExecutionSummary,
    FlowInfo,
    FlowSummary,
    ForEachStep,
    Health,
    Item,
    Progress,
    Step,
    StepState,
    StepStatus,
)
from promptflow_client.files import File, FileSource
from promptflow_client.flow import FlowClientBase
from promptflow_client.handle import Handle
from promptflow_client.json_values import Json
from promptflow_client.plans import Plan, PlanDecision, PlannedStep
from promptflow_client.promptflow import PromptFlowBase
from promptflow_client.retry import RetryPolicy

__all__ = [
    "AbortedError",
    "Accepted",
    "AlreadyExistsError",
    "CancelledError",
    "ComponentHealth",
    "Contract",
    "DataLossError",
    "DeadlineExceededError",
    "Done",
    "Event",
    "Execution",
    "ExecutionMetadata",
    "ExecutionStatus",
    "ExecutionSummary",
    "FailedPreconditionError",
    "File",
    "FileSource",
    "FlowClientBase",
    "FlowInfo",
    "FlowSummary",
    "ForEachStep",
    "Handle",
    "Health",
    "InternalError",
    "InvalidArgumentError",
    "Item",
    "Json",
    "MetadataHook",
    "NotFoundError",
    "Options",
    "OutOfRangeError",
    "PermissionDeniedError",
    "Plan",
    "PlanDecision",
    "PlannedStep",
    "Progress",
    "PromptFlowBase",
    "PromptFlowError",
    "Reason",
    "ResourceExhaustedError",
    "RetryPolicy",
    "Started",
    "Step",
    "StepCompleted",
    "StepFailed",
    "StepOutput",
    "StepProgress",
    "StepRetrying",
    "StepSkipped",
    "StepStarted",
    "StepState",
    "StepStatus",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "Violation",
    "api_key",
    "bearer",
]
