"""The calls of one flow, typed: what a flow client and a handle share."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from google.protobuf.json_format import MessageToDict

from promptflow_client.connection import Connection, MessageT
from promptflow_client.contract import Contract
from promptflow_client.encoding import encode_inputs, wire_name
from promptflow_client.errors import InternalError, InvalidArgumentError, PromptFlowError, Reason
from promptflow_client.events import Event
from promptflow_client.executions import (
    ComponentHealth,
    Execution,
    ExecutionStatus,
    ExecutionSummary,
    FlowInfo,
    Health,
)
from promptflow_client.following import Cursor, follow
from promptflow_client.lists import list_executions
from promptflow_client.plans import Plan
from promptflow_client.retry import Attempts
from promptflow_client.states import read_plan

ResultT = TypeVar("ResultT")
StepsT = TypeVar("StepsT")
OutputT = TypeVar("OutputT")


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is started.

    The same `request_id` with the same inputs never starts a second run: give one where the caller itself may be
    restarted; without, the client makes one per call. In a batch, each run adds its place to it. `run_timeout` bounds
    the run from its acceptance, and may only shorten what the flow allows. `read_mask` names the fields of executions
    that come back, such as `("result.label",)` or `("status", "steps.ocr")`; the others are empty. What the client
    needs itself comes always.
    """

    request_id: str | None = None
    priority: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    run_timeout: timedelta | None = None
    read_mask: Sequence[str] = ()


MAX_BATCH = 1000
"""Requests of one BatchExecute."""

BATCHES_AT_ONCE = 4
"""Parts of one long batch that are under way at the same time."""

_NEEDED = ("execution_id", "status", "error")
"""Fields without which the end of a run could not be told."""


class FlowCalls(Generic[ResultT, StepsT, OutputT]):
    """The rpcs of one flow over one connection. Deadlines are in seconds; None sets none where a run is awaited."""

    def __init__(self, connection: Connection, contract: Contract[ResultT, StepsT, OutputT]) -> None:
        self._connection = connection
        self._contract = contract

    async def request(
        self, inputs: Mapping[str, Any], options: Options | None, run_timeout_s: float | None = None
    ) -> MessageT:
        """An ExecuteRequest that may be sent more than once; `run_timeout_s` stands in where the options set none.

        Raises:
            InvalidArgumentError: inputs do not fit their types.
            OSError: a file cannot be read.
        """
        options = options or Options()
        message = self._contract.methods["Execute"].request()
        await encode_inputs(inputs, message)
        message.options.request_id = options.request_id or uuid.uuid4().hex
        message.options.labels.update(options.labels)
        if options.priority is not None:
            message.options.priority = options.priority
        if options.run_timeout is not None:
            message.options.timeout.FromTimedelta(options.run_timeout)
        elif run_timeout_s is not None:
            message.options.timeout.FromTimedelta(timedelta(seconds=run_timeout_s))
        _set_mask(message.options, options.read_mask)
        return message

    async def start(self, request: MessageT, timeout: float | None) -> str:
        """Start the run and give its id, as soon as it is recorded."""
        request.execution_mode = _mode(request, "ASYNC")
        execution = await self._connection.call(self._contract.methods["Execute"], request, timeout)
        execution_id: str = execution.execution_id
        return execution_id

    async def events(
        self, cursor: Cursor, timeout: float | None, request: MessageT = None, read_mask: Sequence[str] = ()
    ) -> AsyncGenerator[Event[Execution[ResultT, StepsT], OutputT], None]:
        """Follow a run, after starting it by `request` where the cursor names none."""
        async with aclosing(self._follow(cursor, timeout, request, read_mask)) as messages:
            async for message in messages:
                event = self._contract.event(message)
                if event is not None:
                    yield event

    async def result(self, cursor: Cursor, timeout: float | None, request: MessageT = None) -> ResultT:
        """Follow a run to its end.

        Raises:
            PromptFlowError: the run failed or was cancelled, or its end cannot be learnt.
        """
        async with aclosing(self._follow(cursor, timeout, request)) as messages:
            async for message in messages:
                if message.WhichOneof("event") == "done":
                    return self._contract.result(message.done)
        raise AssertionError("a followed run ends with `done` or with an error")

    async def batch(
        self, inputs: Sequence[Mapping[str, Any]], options: Options | None, timeout: float | None
    ) -> tuple[ResultT | PromptFlowError, ...]:
        """Run once for each of `inputs` and give all outcomes in their order, an error in the place of its result.

        Raises:
            PromptFlowError: the outcomes cannot be learnt.
        """
        options = with_result(options) or Options()
        options = replace(options, request_id=options.request_id or uuid.uuid4().hex)
        attempts = Attempts(self._connection.policy, self._connection.clock, timeout)
        starts = range(0, len(inputs), MAX_BATCH)
        parts: dict[int, list[ResultT | PromptFlowError]] = {}
        queue = iter(starts)

        async def take() -> None:
            for start in queue:
                part = enumerate(inputs[start : start + MAX_BATCH], start)
                parts[start] = await self._part([await self._own(*each, options, attempts) for each in part], attempts)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in starts[:BATCHES_AT_ONCE]:
                    group.create_task(take())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return tuple(outcome for start in starts for outcome in parts[start])

    async def _own(
        self, index: int, inputs: Mapping[str, Any], options: Options, attempts: Attempts
    ) -> MessageT | PromptFlowError:
        """The request of one run of a batch, or why there is none."""
        options = replace(options, request_id=f"{options.request_id}-{index}")
        try:
            request = await self.request(self._wire_named(inputs), options, attempts.remaining_s)
        except InvalidArgumentError as error:
            return error
        except OSError as error:
            unreadable = InvalidArgumentError(f"a file cannot be read: {error}", reason=Reason.FILE_UNREADABLE)
            unreadable.__cause__ = error
            return unreadable
        request.execution_mode = _mode(request, "SYNC")
        return request

    async def _part(
        self, requests: Sequence[MessageT | PromptFlowError], attempts: Attempts
    ) -> list[ResultT | PromptFlowError]:
        """What became of the requests of one call; misfits stay where they are."""
        sound = [request for request in requests if not isinstance(request, PromptFlowError)]
        outcomes: Iterator[MessageT] = iter(())
        if sound:
            method = self._contract.methods["BatchExecute"]
            batch = method.request(requests=sound)
            answer = await self._connection.call(method, batch, attempts.remaining_s, awaits_runs=True)
            if len(answer.outcomes) != len(sound):
                why = f"the server answers {len(answer.outcomes)} of {len(sound)} runs"
                raise InternalError(why, reason=Reason.INTERNAL)
            outcomes = iter(answer.outcomes)
        return [
            request if isinstance(request, PromptFlowError) else self._contract.outcome(next(outcomes))
            for request in requests
        ]

    def _wire_named(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        known = self._contract.methods["Execute"].request().DESCRIPTOR.fields_by_name
        return {wire_name(name, known): value for name, value in inputs.items()}

    def executions(
        self, status: ExecutionStatus | Iterable[ExecutionStatus], page_size: int, timeout: float | None
    ) -> AsyncGenerator[ExecutionSummary, None]:
        """Runs of the flow, the newest first; `timeout` is for each page."""
        flow, version = self._contract.flow, self._contract.version
        return list_executions(
            self._connection, flow=flow, version=version, status=status, page_size=page_size, timeout=timeout
        )

    async def plan(self, inputs: Mapping[str, Any], timeout: float | None) -> Plan:
        """What a run with these inputs would do; nothing runs."""
        method = self._contract.methods["Plan"]
        return read_plan(await self._connection.call(method, await self.request(inputs, None), timeout))

    async def status(
        self, execution_id: str, timeout: float | None, read_mask: Sequence[str] = ()
    ) -> Execution[ResultT, StepsT]:
        """The run as it stands."""
        method = self._contract.methods["GetStatus"]
        request = _set_mask(method.request(execution_id=execution_id), read_mask)
        return self._contract.execution(await self._connection.call(method, request, timeout))

    async def cancel(self, execution_id: str, timeout: float | None) -> Execution[ResultT, StepsT]:
        """Ask the run to end; the run as it stands then."""
        return self._contract.execution(await self._call("Cancel", timeout, execution_id=execution_id))

    async def info(self, timeout: float | None) -> FlowInfo:
        """What the server says of the flow."""
        answer = await self._call("GetInfo", timeout)
        definition = MessageToDict(answer.definition)
        return FlowInfo(answer.flow, answer.version, answer.description, answer.bundle_digest, definition)

    async def health(self, timeout: float | None) -> Health:
        """Whether everything that the flow needs answers."""
        answer = await self._call("CheckHealth", timeout)
        parts = [ComponentHealth(part.name, part.serving, part.message) for part in answer.components]
        return Health(answer.serving, tuple(parts))

    async def _call(self, name: str, timeout: float | None, **fields: Any) -> MessageT:
        method = self._contract.methods[name]
        return await self._connection.call(method, method.request(**fields), timeout)

    def _follow(
        self, cursor: Cursor, timeout: float | None, request: MessageT, read_mask: Sequence[str] = ()
    ) -> AsyncGenerator[MessageT, None]:
        if request is not None:
            # The stream that takes up after a cut answers as the one that started the run.
            read_mask = tuple(request.options.read_mask.paths)
        methods = self._contract.methods

        def open_at(place: Cursor, timeout_s: float | None) -> AsyncGenerator[MessageT, None]:
            if not place.execution_id:
                return self._connection.messages(methods["ExecuteStream"], request, timeout_s)
            watch = methods["Watch"].request(execution_id=place.execution_id, after_sequence=place.sequence)
            return self._connection.messages(methods["Watch"], _set_mask(watch, read_mask), timeout_s)

        return follow(open_at, cursor, Attempts(self._connection.policy, self._connection.clock, timeout))


def with_result(options: Options | None) -> Options | None:
    """The same options, with the result among what comes back: for calls that give it."""
    if options is None or not options.read_mask or any(map(_is_of_result, options.read_mask)):
        return options
    return replace(options, read_mask=(*options.read_mask, "result"))


def _is_of_result(path: str) -> bool:
    return path == "*" or path.partition(".")[0] == "result"


def _mode(request: MessageT, name: str) -> int:
    number: int = request.DESCRIPTOR.fields_by_name["execution_mode"].enum_type.values_by_name[name].number
    return number


def _set_mask(holder: MessageT, paths: Iterable[str]) -> MessageT:
    """Set a read mask with what the client itself needs; without paths there is none."""
    asked = list(paths)
    if asked:
        holder.read_mask.paths.extend(dict.fromkeys([*asked, *_NEEDED]))
    return holder
