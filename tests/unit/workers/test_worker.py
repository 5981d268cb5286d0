"""A worker process: every call gets an answer, whatever its executor, its config, Redis or a signal does."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from promptflow_core.errors import FlowError, Reason
from promptflow_core.executor import (
    BaseExecutor,
    ExecutionContext,
    ExecutionResult,
    ExecutorConfig,
    ExecutorOutput,
)
from promptflow_core.records import Call, CallProgress, CallResult, call_id
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_core.values import FileRef, NativeValue, decode_value, encode_value
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_workers.dispatch.blobs import BlobStore
from promptflow_workers.dispatch.calls import RedisCallDispatch
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Lease, Queue
from promptflow_workers.worker import PoolOptions, serve_pool

FAST = Lease(beat_ms=100, lease_ms=600, grace_ms=400)


class Order(ExecutorConfig):
    do: str
    file: FileRef | None = None


class Report(ExecutorOutput):
    text: str
    count: int | None = None


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


FAILURES: Mapping[str, Callable[[], BaseException]] = {
    "bug": lambda: ZeroDivisionError("division by zero"),
    "refuse": lambda: FlowError(Reason.FILE_UNREADABLE, "not an image", metadata={"page": "2"}),
    "time out by itself": lambda: TimeoutError("the other side is slow"),
    "fail with bytes": lambda: OSError("cannot open scan-\udce9.png"),
    "refuse with bytes": lambda: FlowError(Reason.FILE_UNREADABLE, "\udce9", metadata={"\udce9": "\udce9"}),
    "fail without words": MuteError,
    "cancel itself": asyncio.CancelledError,
}


class Worker(BaseExecutor[Order, Report]):
    """Does what its config says."""

    name, queue = "worker", "q"
    Config, Output = Order, Report

    async def execute(self, context: ExecutionContext, config: Order) -> ExecutionResult[Report]:
        if config.do in FAILURES:
            raise FAILURES[config.do]()
        match config.do:
            case "lie":
                return ExecutionResult(Report.model_construct(text=cast("str", 3)))
            case "hang":
                await asyncio.Event().wait()
            case "progress":
                for percentage in range(100):
                    await context.emit_progress(percentage, "working on scan-\udce9.png")
            case "read":
                assert config.file is not None
                return ExecutionResult(Report(text=context.files.path(config.file).read_text()))
            case "tell":
                about = (context.execution_id, context.step, context.call_id, context.attempt)
                return ExecutionResult(Report(text=repr(about)))
        return ExecutionResult(Report(text=config.do.upper()))


class Late(Worker):
    """Cannot start at once."""

    name = "late"
    attempts: ClassVar[int] = 0

    async def start(self) -> None:
        Late.attempts += 1
        if Late.attempts == 1:
            raise FlowError(Reason.MODEL_UNAVAILABLE, "run `promptflow models pull late`")
        if Late.attempts == 2:
            raise KeyError("a mistake in start")


class Absent(Worker):
    """Can never start."""

    name = "absent"

    async def start(self) -> None:
        raise FlowError(Reason.MODEL_UNAVAILABLE, "run `promptflow models pull absent`")


def call(number: int, do: str = "work", executor: str = "worker", **config: NativeValue) -> Call:
    encoded = encode_value({"do": do, **config})
    return Call(call_id("x", "step", number, 2), executor, "x", "step", number, 2, encoded)


class Client:
    """Puts calls and waits for what comes."""

    def __init__(self, link: Link) -> None:
        self.dispatch = RedisCallDispatch(link, "p1")
        self.answers = self.dispatch.replies()
        self.progress: list[CallProgress] = []

    async def ask(self, asked: Call) -> CallResult:
        await self.dispatch.put("q", [asked])
        return await self.result(asked.id)

    async def result(self, of: str) -> CallResult:
        async with asyncio.timeout(8):
            while True:
                answer = await self.next()
                if isinstance(answer, CallResult) and answer.call_id == of:
                    return answer

    async def next(self) -> CallResult | CallProgress:
        async with asyncio.timeout(8):
            answer = await anext(self.answers)
        if isinstance(answer, CallProgress):
            self.progress.append(answer)
        return answer


@pytest.fixture
async def client(link: Link) -> AsyncIterator[Client]:
    connected = Client(link)
    yield connected
    connected.dispatch.close()


@pytest.fixture
def settings(flushed_redis_url: str, tmp_path: Path) -> Settings:
    return Settings(redis_url=flushed_redis_url, data_dir=tmp_path)


StartPool = Callable[..., "asyncio.Task[None]"]


@pytest.fixture
async def start_pool(settings: Settings) -> AsyncIterator[StartPool]:
    """Starts the worker in this loop; it is cancelled at the end of the test."""
    pools: list[asyncio.Task[None]] = []

    def start(*executors: type[Worker], url: str = settings.redis_url) -> asyncio.Task[None]:
        registry = ExecutorRegistry(executors or (Worker,))
        options = PoolOptions(slots=4, name="pool", lease=FAST)
        queues = ["slow", "q", "empty"]
        serving = serve_pool(settings.model_copy(update={"redis_url": url}), queues, registry, options)
        pools.append(asyncio.create_task(serving))
        return pools[-1]

    yield start
    for pool in pools:
        pool.cancel()
        with suppress(asyncio.CancelledError):
            await pool


async def test_a_call_is_answered_with_its_output_and_the_workers_name(client: Client, start_pool: StartPool) -> None:
    start_pool()
    answer = await client.ask(call(1))
    assert decode_value(answer.output or b"") == {"text": "WORK"}
    assert answer.worker.startswith("pool-")


@pytest.mark.parametrize(
    ("asked", "reason", "message"),
    [
        (call(1, "bug"), Reason.EXECUTOR_FAILED, "ZeroDivisionError: division by zero"),
        (call(1, "time out by itself"), Reason.EXECUTOR_FAILED, "TimeoutError: the other side is slow"),
        (call(1, "fail with bytes"), Reason.EXECUTOR_FAILED, "OSError: cannot open scan-?.png"),
        (call(1, "fail without words"), Reason.EXECUTOR_FAILED, "MuteError: "),
        (call(1, "cancel itself"), Reason.EXECUTOR_FAILED, "RuntimeError: the executor cancelled its own call"),
        (call(1, "refuse with bytes"), Reason.FILE_UNREADABLE, "?"),
        (call(1, "refuse"), Reason.FILE_UNREADABLE, "not an image"),
        (call(1, "lie"), Reason.OUTPUT_INVALID, "executor `worker` answered what its Output does not allow: text: 3"),
        (call(1, extra=1), Reason.CONFIG_INVALID, "`config.extra`: Extra inputs are not permitted"),
        (replace(call(1), config=encode_value({"do": 3})), Reason.CONFIG_INVALID, "`config.do`: Input should be a"),
        (replace(call(1), config=encode_value({})), Reason.CONFIG_INVALID, "`config.do`: Field required"),
        (replace(call(1), config=encode_value("text")), Reason.CONFIG_INVALID, "`config`: Input should be a"),
        (replace(call(1), config=b"\xc1"), Reason.CONFIG_INVALID, "cannot be read"),
        (
            replace(call(1), executor="unknown"),
            Reason.NO_WORKERS,
            "executor `unknown` is not installed in worker `pool",
        ),
        (replace(call(1), deadline_at_ms=1), Reason.STEP_TIMEOUT, "step `step` did not end before its deadline"),
    ],
    ids=lambda value: str(value) if isinstance(value, Reason) else "",
)
async def test_every_failure_is_a_typed_answer_and_the_worker_goes_on(
    client: Client, start_pool: StartPool, asked: Call, reason: Reason, message: str
) -> None:
    start_pool()
    answer = await client.ask(asked)
    assert answer.output is None
    assert answer.error is not None
    assert answer.error.reason is reason
    assert message in answer.error.message
    assert "Traceback" not in answer.error.message
    assert (await client.ask(call(2))).output is not None


async def test_a_wrong_config_names_every_field(client: Client, start_pool: StartPool) -> None:
    start_pool()
    answer = await client.ask(replace(call(1), config=encode_value({"do": 3, "more": 1})))
    assert answer.error is not None
    assert [violation.field for violation in answer.error.violations] == ["config.do", "config.more"]
    assert not answer.error.is_retryable


async def test_a_refusal_keeps_its_metadata(client: Client, start_pool: StartPool) -> None:
    start_pool()
    answer = await client.ask(call(1, "refuse"))
    assert answer.error is not None
    assert answer.error.metadata == {"page": "2"}


async def test_a_call_that_cannot_be_read_is_answered_and_not_run_for_ever(
    client: Client, start_pool: StartPool
) -> None:
    start_pool()
    await client.ask(call(1))
    await Queue(client.dispatch._link, "q").put("p1", [("x/odd", 0, b"\xc1")])
    answer = await client.result("x/odd")
    assert answer.error is not None
    assert answer.error.reason is Reason.INTERNAL


async def test_a_call_that_runs_past_its_deadline_is_answered_in_time(client: Client, start_pool: StartPool) -> None:
    start_pool()
    began = time.monotonic()
    deadline_at_ms = int(time.time() * 1000) + 300
    answer = await client.ask(replace(call(1, "hang"), deadline_at_ms=deadline_at_ms))
    assert answer.error is not None
    assert answer.error.reason is Reason.STEP_TIMEOUT
    assert 0.1 < time.monotonic() - began < 3


async def test_an_executor_knows_its_call_and_reads_its_files(
    client: Client, start_pool: StartPool, settings: Settings
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"Dear Sir"

    store = BlobStore(settings.files_dir)
    ref = await store.write("x", chunks(), name="letter.txt", content_type="text/plain", max_bytes=100)
    start_pool()
    assert decode_value((await client.ask(call(1, "read", file=ref))).output or b"") == {"text": "Dear Sir"}
    told = decode_value((await client.ask(call(2, "tell"))).output or b"")
    assert told == {"text": repr(("x", "step", call(2).id, 2))}
    await store.delete("x")
    answer = await client.ask(call(3, "read", file=ref))
    assert answer.error is not None
    assert answer.error.reason is Reason.FILE_UNREADABLE


async def test_progress_is_told_but_not_all_of_it(client: Client, start_pool: StartPool) -> None:
    start_pool()
    await client.ask(call(1, "progress"))
    assert client.progress[0] == CallProgress(call(1).id, 0.0, "working on scan-?.png")
    assert len(client.progress) < 20


async def test_an_executor_that_cannot_start_says_so_and_hinders_no_other(
    client: Client, start_pool: StartPool
) -> None:
    start_pool(Worker, Absent)
    answer = await client.ask(call(1, executor="absent"))
    assert answer.error is not None
    assert (answer.error.reason, answer.error.message) == (
        Reason.MODEL_UNAVAILABLE,
        "run `promptflow models pull absent`",
    )
    assert (await client.ask(call(2))).output is not None


async def test_an_executor_that_takes_long_to_start_hinders_no_other_queue(
    client: Client, start_pool: StartPool
) -> None:
    may_start = asyncio.Event()

    class Slow(Worker):
        name, queue = "slow", "slow"

        async def start(self) -> None:
            await may_start.wait()

    start_pool(Worker, Slow)
    assert (await client.ask(call(1))).output is not None
    slow = call(2, executor="slow")
    await client.dispatch.put("slow", [slow])
    depth = await client.dispatch.depth("slow")
    assert (depth.workers, depth.waiting) == (0, 1)
    may_start.set()
    assert (await client.result(slow.id)).output is not None


async def test_an_executor_that_can_start_later_serves_then(client: Client, start_pool: StartPool) -> None:
    Late.attempts = 0
    start_pool(Late)
    reasons: set[Reason] = set()
    number = 0
    async with asyncio.timeout(8):
        while (answer := await client.ask(call(number, executor="late"))).error is not None:
            reasons.add(answer.error.reason)
            number += 1
    assert reasons == {Reason.MODEL_UNAVAILABLE}
    assert Late.attempts == 3


async def test_a_worker_waits_for_a_redis_that_comes_later(
    settings: Settings, tmp_path: Path, start_pool: StartPool
) -> None:
    embedded = EmbeddedRedis(tmp_path / "redis")
    url = embedded.start()
    embedded.close()
    pool = start_pool(url=url)
    async with Link(url) as link:
        waiting = asyncio.create_task(Client(link).ask(call(1)))
        await asyncio.to_thread(embedded.start)
        assert (await waiting).output is not None
    pool.cancel()
    await asyncio.wait([pool])
    embedded.close()


async def test_a_cancelled_worker_gives_back_what_it_runs(client: Client, start_pool: StartPool) -> None:
    pool = start_pool()
    await client.ask(call(1))
    await client.dispatch.put("q", [call(2, "hang")])
    async with asyncio.timeout(5):
        while (await client.dispatch.depth("q")).waiting:
            pass
    pool.cancel()
    await asyncio.wait([pool])
    depth = await client.dispatch.depth("q")
    assert (depth.workers, depth.waiting) == (0, 1)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from promptflow_core.executor import BaseExecutor, ExecutionResult, ExecutorConfig, ExecutorOutput
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.settings import Settings
from promptflow_workers.dispatch.queue import Lease
from promptflow_workers.worker import PoolOptions, serve_pool

class Order(ExecutorConfig):
    do: str

class Report(ExecutorOutput):
    text: str

class Worker(BaseExecutor[Order, Report]):
    name, queue = "worker", "q"
    Config, Output = Order, Report

    async def execute(self, context, config):
        await context.emit_progress(0, "started")
        if config.do == "hang" and sys.argv[3] == "first":
            await asyncio.Event().wait()
        if config.do == "finish":
            await asyncio.sleep(0.3)
        return ExecutionResult(Report(text=sys.argv[3]))

asyncio.run(serve_pool(
    Settings(redis_url=sys.argv[1], data_dir=Path(sys.argv[2])), ["q"], ExecutorRegistry([Worker]),
    PoolOptions(name=sys.argv[3], lease=Lease(beat_ms=100, lease_ms=600, grace_ms=400), drain_s=1.0),
))
"""

StartProcess = Callable[[str], Any]


@pytest.fixture
async def start_process(settings: Settings) -> AsyncIterator[StartProcess]:
    processes: list[asyncio.subprocess.Process] = []

    async def start(name: str) -> asyncio.subprocess.Process:
        arguments = ("-c", PROGRAM, settings.redis_url, str(settings.data_dir), name)
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.DEVNULL)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.processes
async def test_the_calls_of_a_killed_worker_are_run_by_another(client: Client, start_process: StartProcess) -> None:
    first = await start_process("first")
    await client.dispatch.put("q", [call(1, "hang")])
    assert isinstance(await client.next(), CallProgress)
    first.kill()
    await start_process("second")
    answer = await client.result(call(1).id)
    assert decode_value(answer.output or b"") == {"text": "second"}


@pytest.mark.processes
async def test_sigterm_lets_running_calls_end_and_the_process_too(client: Client, start_process: StartProcess) -> None:
    process = await start_process("first")
    await client.dispatch.put("q", [call(1, "finish")])
    assert isinstance(await client.next(), CallProgress)
    process.terminate()
    assert (await client.result(call(1).id)).output is not None
    assert await process.wait() == 0
    assert (await client.dispatch.depth("q")).workers == 0


@pytest.mark.processes
@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["patient", "twice"])
async def test_a_call_that_does_not_end_is_given_back_and_the_process_ends(
    client: Client, start_process: StartProcess, signals: list[signal.Signals]
) -> None:
    process = await start_process("first")
    await client.dispatch.put("q", [call(1, "hang")])
    assert isinstance(await client.next(), CallProgress)
    for number in signals:
        process.send_signal(number)
    assert await process.wait() == 0
    depth = await client.dispatch.depth("q")
    assert (depth.workers, depth.waiting) == (0, 1)
