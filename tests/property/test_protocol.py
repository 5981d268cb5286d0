"""The protocol of a run under crashes, zombies and lost replies: the real machine over the real functions of Redis.

Servers and workers are taken apart into single calls, so that a crash can come between any two. At the end nothing
goes wrong any more, and the run must end with each step recorded once.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar, TypeVar
from uuid import uuid4

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.server.engine.plans import call, callee, flow, program, step

from promptflow_core.errors import ErrorRecord, Reason
from promptflow_core.records import (
    Call,
    CallResult,
    EventKind,
    EventRecord,
    ExecutionRecord,
    ExecutionStatus,
    StepStatus,
)
from promptflow_core.retry import RetryPolicy
from promptflow_core.values import decode_value, encode_value
from promptflow_server.engine.machine import Transition, advance
from promptflow_server.engine.run_state import RunState
from promptflow_server.engine.transitions import (
    AckCall,
    CallFinished,
    CancelCall,
    CancelRequested,
    Command,
    Opened,
    RunEvent,
    StartCall,
)
from promptflow_server.store.state import Loss, RunLostError, Signal, StateManager
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Lease, Queue

FOREVER = Lease(beat_ms=600_000, lease_ms=600_000, grace_ms=600_000)
TWICE = RetryPolicy(max_attempts=2, initial_ms=1, max_ms=1)
INNER = callee(
    "inner",
    step("flaky", "{{ inputs.tags }}", queue="q"),
    step("items", "{{ [item, steps.flaky.value] }}", for_each="{{ inputs.tags }}", queue="q"),
)
PLAN = flow(
    step("first", 1, queue="q", retry=TWICE),
    step("second", "{{ steps.first.value }}", queue="q"),
    step("each", "{{ item }}", for_each="{{ range(3) }}", max_parallel=2, queue="q"),
    step("last", "{{ [steps.second.value, steps.each | length] }}", queue="q"),
    call("call", INNER, {"tags": ["{{ steps.first.value }}", "b"]}, retry=TWICE),
    call("calls", INNER, {"tags": ["{{ item }}"]}, for_each="{{ range(2) | map('string') }}", max_parallel=1),
)
PROGRAM = program(PLAN, INNER)
ROUNDS_TO_THE_END = 200

T = TypeVar("T")


@dataclass(eq=False)
class Server:
    """A process that drives the run; what it has decided and not yet done is in `todo`."""

    name: str
    job: Job
    state: RunState | None = None
    todo: deque[Transition | Command] = field(default_factory=deque[Transition | Command])
    inbox: list[RunEvent] = field(default_factory=list[RunEvent])
    last_reply: str = "0-0"
    is_given_up: bool = False


@dataclass(eq=False)
class Worker:
    """A process of the pool with one call in its hands."""

    name: str
    job: Job


class Protocol(RuleBasedStateMachine):
    """One run, any number of processes."""

    loop: ClassVar[asyncio.Runner]
    link: ClassVar[Link]

    def __init__(self) -> None:
        super().__init__()
        self.run_id = uuid4().hex
        self.state = StateManager(self.link)
        self.flows, self.pool = Queue(self.link, f"flows-{self.run_id}"), Queue(self.link, f"q-{self.run_id}")
        self.servers: list[Server] = []
        self.workers: list[Worker] = []
        self.now_ms = 1_000
        self.is_cancelled = False
        self.executed: Counter[str] = Counter()
        self._do(self._create())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    async def _create(self) -> None:
        record = ExecutionRecord(self.run_id, PLAN.name, 1, "d", ExecutionStatus.QUEUED, 1, {})
        await self.state.create(record, EventRecord(self.run_id, 1, 0, EventKind.ACCEPTED))
        await self._sweep()

    async def _sweep(self) -> None:
        await self.flows.put("", [(self.run_id, 0, b"")])

    @rule()
    def sweep(self) -> None:
        """A repeated put, from the caller that started the run or from the sweep."""
        self._do(self._sweep())

    @rule()
    def claim_run(self) -> None:
        self._do(self._claim_run())

    async def _claim_run(self) -> bool:
        name = uuid4().hex
        await self.flows.beat(name, 1, FOREVER)
        jobs = await self.flows.claim(name, 1)
        if not jobs:
            await self.flows.leave(name, patience_s=5)
            return False
        self.servers.append(Server(name, jobs[0]))
        return True

    @precondition(lambda self: self.servers)
    @rule(pick=st.integers(0, 10), is_reply_lost=st.booleans())
    def serve(self, pick: int, is_reply_lost: bool) -> None:
        self._do(self._serve(self.servers[pick % len(self.servers)], is_reply_lost=is_reply_lost))

    async def _serve(self, server: Server, *, is_reply_lost: bool = False) -> None:
        """One call of a server to Redis."""
        try:
            if server.state is None:
                await self._open(server, is_reply_lost=is_reply_lost)
            elif server.todo:
                for _ in range(1 + is_reply_lost):
                    await self._perform(server, server.todo[0])
                server.todo.popleft()
            elif server.state.record.status.is_terminal:
                await self._leave(server)
            elif server.inbox or self._is_due(server):
                self._take_turn(server)
            else:
                await self._read_replies(server)
        except RunLostError as error:
            if error.loss is Loss.SEQ:
                await self._kill_server(server)
            elif error.loss is Loss.FENCED:
                self.servers.remove(server)
            else:
                await self._leave(server)

    async def _open(self, server: Server, *, is_reply_lost: bool) -> None:
        for _ in range(1 + is_reply_lost):
            opened = await self.state.open(self.run_id, server.job.token, server.name)
        server.state = RunState.of(PROGRAM, opened.record, server=server.name, epoch=server.job.token)
        server.inbox.append(Opened())
        if opened.signal is Signal.CANCEL:
            server.inbox.append(CancelRequested())

    def _take_turn(self, server: Server) -> None:
        assert server.state is not None
        transition = advance(server.state, server.inbox, now_ms=self.now_ms, rng=Random(1))
        server.inbox.clear()
        server.todo.extend([transition, *transition.commands])

    async def _perform(self, server: Server, thing: Transition | Command) -> None:
        match thing:
            case Transition(commit=commit, state=after):
                if commit is not None:
                    signal = await self.state.commit(
                        self.run_id,
                        epoch=server.job.token,
                        sequence=after.record.sequence - len(commit.events),
                        head=commit.head,
                        steps=commit.steps,
                        events=commit.events,
                    )
                    if signal is Signal.CANCEL:
                        server.inbox.append(CancelRequested())
                server.state = after
            case StartCall(call=call):
                await self.pool.put(server.name, [(call.id, call.epoch, msgspec.msgpack.encode(call))])
            case CancelCall(call_id=call_id):
                await self.pool.cancel([call_id])
            case AckCall(call_id=call_id):
                await self.pool.ack([call_id])
            case _:
                pass

    async def _read_replies(self, server: Server) -> None:
        for entry, fields in await self.pool.replies(server.name, server.last_reply):
            server.last_reply = entry
            for payload in fields[1::2]:
                result = msgspec.msgpack.decode(payload, type=CallResult)
                output = None if result.output is None else decode_value(result.output)
                server.inbox.append(CallFinished(result.call_id, output, result.error, result.worker))

    def _is_due(self, server: Server) -> bool:
        assert server.state is not None
        return server.state.wake_at_ms is not None and server.state.wake_at_ms <= self.now_ms

    async def _leave(self, server: Server) -> None:
        await self.flows.done(server.name, 0, [(server.job, b"")])
        self.servers.remove(server)

    @precondition(lambda self: self.servers)
    @rule(pick=st.integers(0, 10))
    def kill_server(self, pick: int) -> None:
        self._do(self._kill_server(self.servers[pick % len(self.servers)]))

    async def _kill_server(self, server: Server) -> None:
        self.servers.remove(server)
        await self.flows.leave(server.name, patience_s=5)

    @precondition(lambda self: self.servers)
    @rule(pick=st.integers(0, 10))
    def give_server_up(self, pick: int) -> None:
        """Its lease is lost and it does not know: a zombie from now on."""
        server = self.servers[pick % len(self.servers)]
        server.is_given_up = True
        self._do(self.flows.leave(server.name, patience_s=5))

    @rule()
    def claim_call(self) -> None:
        self._do(self._claim_call())

    async def _claim_call(self) -> bool:
        name = uuid4().hex
        await self.pool.beat(name, 1, FOREVER)
        jobs = await self.pool.claim(name, 1)
        if not jobs:
            await self.pool.leave(name, patience_s=5)
            return False
        self.workers.append(Worker(name, jobs[0]))
        return True

    @precondition(lambda self: self.workers)
    @rule(pick=st.integers(0, 10), is_reply_lost=st.booleans(), fails=st.booleans())
    def finish_call(self, pick: int, is_reply_lost: bool, fails: bool) -> None:
        worker = self.workers[pick % len(self.workers)]
        may_fail = "/first/" in worker.job.id or "/call/flaky/" in worker.job.id
        for _ in range(1 + is_reply_lost):
            self._do(self._finish_call(worker, fails=fails and may_fail))
        self.workers.remove(worker)

    async def _finish_call(self, worker: Worker, *, fails: bool) -> None:
        call = msgspec.msgpack.decode(worker.job.body, type=Call)
        self.executed[call.id] += 1
        result = CallResult(call.id, output=encode_value({"value": call.id}), worker=worker.name)
        if fails and call.attempt == 1:
            result = CallResult(call.id, error=ErrorRecord(Reason.EXECUTOR_FAILED, "broken"))
        await self.pool.done(worker.name, 0, [(worker.job, msgspec.msgpack.encode(result))])

    @precondition(lambda self: self.workers)
    @rule(pick=st.integers(0, 10))
    def kill_worker(self, pick: int) -> None:
        worker = self.workers.pop(pick % len(self.workers))
        self._do(self.pool.leave(worker.name, patience_s=5))

    @precondition(lambda self: self.workers)
    @rule(pick=st.integers(0, 10))
    def give_worker_up(self, pick: int) -> None:
        self._do(self.pool.leave(self.workers[pick % len(self.workers)].name, patience_s=5))

    @rule(ms=st.integers(1, 5))
    def pass_time(self, ms: int) -> None:
        self.now_ms += ms

    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        if pick == 0:
            self._do(self.state.signal(self.run_id, Signal.CANCEL))
            self.is_cancelled = True

    @invariant()
    def the_record_is_consistent(self) -> None:
        record, events = self._do(self._recorded())
        assert [event.sequence for event in events] == list(range(1, record.sequence + 1))
        kinds = Counter(event.kind for event in events)
        assert kinds[EventKind.DONE] == record.status.is_terminal
        completed = Counter(event.step for event in events if event.kind is EventKind.STEP_COMPLETED)
        assert all(count == 1 for count in completed.values())

    async def _recorded(self) -> tuple[ExecutionRecord, list[EventRecord]]:
        return await self.state.read(self.run_id), await self.state.events(self.run_id, 0)

    def teardown(self) -> None:
        self._do(self._end())
        record, events = self._do(self._recorded())
        assert events[-1].kind is EventKind.DONE
        if self.is_cancelled and record.status is ExecutionStatus.CANCELLED:
            return
        assert record.status is ExecutionStatus.COMPLETED, record
        # The first attempt of `call` may have failed inside; what it left stays as it ended.
        last_call = "call" if record.steps["call"].attempt == 1 else "call@2"
        ended = {path: one.status for path, one in record.steps.items() if last_call == "call" or path[:5] != "call/"}
        assert ended == dict.fromkeys(
            ["first", "second", "each", "each/0", "each/1", "each/2", "last", "call", "calls", "calls/0", "calls/1"]
            + [f"{calls}/flaky" for calls in ("calls/0", "calls/1")]
            + [f"{calls}/items{item}" for calls in ("calls/0", "calls/1") for item in ("", "/0")]
            + [f"{last_call}/{inner}" for inner in ("flaky", "items", "items/0", "items/1")],
            StepStatus.COMPLETED,
        )
        completed = [event.step for event in events if event.kind is EventKind.STEP_COMPLETED]
        assert sorted(completed) == sorted(
            ["each", "first", "last", "second", "call", f"{last_call}/flaky", f"{last_call}/items", "calls"]
        )
        for path, one in record.steps.items():
            if isinstance(one.output, dict) and "value" in one.output:
                step, _, item = path.rpartition("/")
                assert one.output["value"].startswith(f"{self.run_id}/{step if item.isdigit() else path}/")

    async def _end(self) -> None:
        """From now on nothing fails; zombies go on until they see what they are."""
        for _ in range(ROUNDS_TO_THE_END):
            is_over = (await self.state.read(self.run_id)).status.is_terminal
            if is_over and all(server.is_given_up for server in self.servers):
                # A zombie may wait for ever for answers that go to another.
                return
            self.now_ms += 10
            await self._sweep()
            while await self._claim_run():
                pass
            for server in list(self.servers):
                await self._serve(server)
            while await self._claim_call():
                pass
            for worker in self.workers:
                await self._finish_call(worker, fails=False)
            self.workers.clear()
        raise AssertionError("the run is stuck")


@pytest.fixture(scope="module", autouse=True)
def _connected(redis_url: str) -> Iterator[None]:
    with asyncio.Runner() as runner:
        Protocol.loop = runner

        async def connect() -> Link:
            return Link(redis_url)

        Protocol.link = runner.run(connect())
        yield
        runner.run(Protocol.link.close())


TestProtocol = Protocol.TestCase
TestProtocol.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
