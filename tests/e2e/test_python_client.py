"""The Python client against the running system: both faces, the whole surface, its examples and its README."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.conformance import python_runner, python_sync_runner
from tests.conformance.matching import differences
from tests.conformance.table import Case, load_cases
from tests.e2e.system import ROOT, System, copy_project, running_system

from promptflow_api.client import PromptFlow
from promptflow_api.sync import PromptFlow as BlockingPromptFlow
from promptflow_client import (
    Done,
    ExecutionStatus,
    InvalidArgumentError,
    Options,
    PlanDecision,
    PromptFlowBase,
    PromptFlowError,
)
from promptflow_client import sync as blocking

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

CLIENT = ROOT / "clients" / "python"
LETTER = ROOT / "samples" / "letter.jpg"
CASES = [pytest.param(case, id=case.id) for case in load_cases() if "python" in case.transports]


@pytest.fixture(scope="module")
def pf(system: System) -> Iterator[BlockingPromptFlow]:
    """One blocking client for the tests of a module, as a program would hold one."""
    with BlockingPromptFlow(system.grpc) as pf:
        yield pf


@pytest.mark.parametrize("case", CASES)
def test_the_blocking_client_meets_the_table(system: System, case: Case) -> None:
    with blocking.PromptFlowBase(system.grpc) as promptflow:
        assert differences(case, python_sync_runner.run_case(case, promptflow)) == []


@pytest.mark.parametrize("edge", [False, True], ids=["server", "gateway"])
async def test_a_batch_gives_results_and_failures_in_their_places(system: System, edge: bool) -> None:
    async with PromptFlow(system.edge if edge else system.grpc) as pf:
        inputs: list[Any] = [{"text": "I love this!"}, {"text": "A disaster."}, {"text": "Wonderful."}]
        one, two, three = await pf.sentiment_analysis.run_batch(inputs, timeout=30)
        attempts = python_runner.client_of("attempts", 1, pf)
        good, bad = await attempts.run_batch([{"failures": 0}, {"failures": 3}], timeout=30)
    labels = [found.analyze.label for found in (one, two, three) if not isinstance(found, PromptFlowError)]
    assert labels == ["positive", "negative", "positive"]
    assert good.flaky.attempt == 1
    assert isinstance(bad, PromptFlowError)
    assert (bad.reason, bool(bad.execution_id)) == ("EXECUTOR_FAILED", True)


async def test_a_plan_tells_what_would_run_and_runs_nothing(system: System) -> None:
    async with PromptFlow(system.grpc) as pf:
        before = [each.execution_id async for each in pf.executions(flow="conditional_processing")]
        plan = await pf.conditional_processing.plan(text="Thanks")
        after = [each.execution_id async for each in pf.executions(flow="conditional_processing")]
    assert {step.step: step.decision for step in plan.steps}.keys() == {"route_decision", "path_a", "path_b"}
    assert plan.steps[0].decision is PlanDecision.RUNS
    assert before == after


async def test_runs_are_listed_newest_first_whatever_the_page(system: System) -> None:
    async with PromptFlow(system.grpc) as pf:
        started = [await pf.sentiment_analysis.start(text=f"number {number}") for number in range(5)]
        for handle in started:
            await handle.result(timeout=30)
        pages = [
            [each async for each in pf.executions(flow="sentiment_analysis", page_size=size)] for size in (0, 1, 3)
        ]
        done = [
            each.status
            async for each in pf.executions(flow="sentiment_analysis", status=ExecutionStatus.COMPLETED, page_size=2)
        ]
        flows = {flow.flow: flow async for flow in pf.flows(page_size=2)}
    ids = [[each.execution_id for each in found] for found in pages]
    assert ids[0] == ids[1] == ids[2]
    assert set(ids[0][:5]) == {handle.execution_id for handle in started}
    created = [each.metadata.created_at for each in pages[0] if each.metadata.created_at is not None]
    assert created == sorted(created, reverse=True)
    assert {each.flow for each in pages[0]} == {"sentiment_analysis"}
    assert len(done) >= 5
    assert set(done) == {ExecutionStatus.COMPLETED}
    assert flows["document_insight"].service == "promptflow_api.flows.document_insight.v1.DocumentInsightService"


async def test_a_read_mask_leaves_out_what_nobody_asked_for(system: System) -> None:
    async with PromptFlow(system.grpc) as pf:
        handle = await pf.sentiment_analysis.start(text="I love this!")
        result = await handle.result(timeout=30)
        masked = await handle.status(read_mask=["result.analyze.label"])
        *_, last = [event async for event in handle.events(read_mask=["steps"])]
        narrow = await pf.sentiment_analysis.run(
            text="I love this!", options=Options(read_mask=["result.analyze.label"])
        )
    assert masked.status is ExecutionStatus.COMPLETED
    assert masked.result is not None
    assert (masked.result.analyze.label, masked.result.analyze.confidence) == (result.analyze.label, 0.0)
    assert isinstance(last, Done)
    assert last.execution.result is None
    assert last.execution.steps.analyze.output is not None
    assert (narrow.analyze.label, narrow.analyze.scores) == ("positive", {})


async def test_compressed_requests_are_understood(system: System) -> None:
    for target in (system.grpc, system.edge):
        async with PromptFlow(target, compression=grpc.Compression.Gzip) as pf:
            result = await pf.sentiment_analysis.run(text="I love this. " * 2000, timeout=30)
            assert result.analyze.label == "positive"


def letter_parts() -> Iterator[bytes]:
    """The letter, piece by piece."""
    with LETTER.open("rb") as file:
        while part := file.read(4096):
            yield part


@pytest.mark.parametrize("source", [letter_parts, LETTER.read_bytes, lambda: LETTER], ids=["parts", "bytes", "path"])
def test_a_file_is_read_however_it_is_given(pf: BlockingPromptFlow, source: Callable[[], Any]) -> None:
    assert pf.document_insight.run(document=source(), timeout=30).mood == "mixed"


def test_threads_share_a_client(pf: BlockingPromptFlow) -> None:
    labels: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: labels.append(pf.sentiment_analysis.run(text="I love this!").analyze.label))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert labels == ["positive"] * 16


def test_a_run_is_cancelled_and_found_again_without_asyncio(system: System, pf: BlockingPromptFlow) -> None:
    assert pf.sentiment_analysis.health().is_serving
    assert pf.sentiment_analysis.info().flow == "sentiment_analysis"
    handle = pf.sentiment_analysis.start(text="I love this!")
    with BlockingPromptFlow(system.edge) as other:
        assert other.sentiment_analysis.handle(handle.execution_id).result(timeout=30).analyze.label == "positive"
    assert handle.cancel().status is ExecutionStatus.COMPLETED
    with pytest.raises(InvalidArgumentError):
        pf.sentiment_analysis.run(text=None)  # type: ignore[arg-type]


def run(program: Path, *arguments: str, text: str = "", path: Path = CLIENT) -> list[str]:
    """What a program prints, line by line."""
    environment = {**os.environ, "PYTHONPATH": str(path), "GRPC_VERBOSITY": "ERROR"}
    command = [sys.executable, "-W", "error", str(program), *arguments]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=50, check=False, env=environment, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_the_example_that_reads_a_page(system: System) -> None:
    lines = run(CLIENT / "examples/read_a_page.py", str(LETTER), system.grpc)
    assert lines[0] == "ocr …"
    assert any("The desk is wonderful" in line for line in lines)
    assert lines[-1] == "mood: mixed"


def test_the_example_that_judges_many(system: System) -> None:
    lines = run(CLIENT / "examples/judge_many.py", system.grpc, text="I love this!\n\nIt broke at once.\n")
    assert lines == ["positive: I love this!", "negative: It broke at once."]


def test_the_example_that_starts_and_collects(system: System) -> None:
    program = CLIENT / "examples/start_and_collect.py"
    (execution_id,) = run(program, "start", "I love this!", system.grpc)
    assert run(program, "collect", execution_id, system.grpc) == ["positive"]
    assert run(program, "list", system.grpc)[0] == f"{execution_id} COMPLETED"


BLOCKS = re.findall(r"^```python\n(.*?)^```$", (CLIENT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
CALLS = """
async def everything() -> None:
    from pathlib import Path
    async with PromptFlow("localhost:50051") as pf:
        await read(pf, Path("samples/letter.jpg"))
        print(await careful(pf, "I love this!"))
        await once(pf)
        await more(pf)
    await pf.close()

asyncio.run(everything())
"""


def test_what_the_readme_of_the_client_shows_runs(system: System, tmp_path: Path) -> None:
    text = "\n\n".join([*BLOCKS, CALLS]).replace("localhost:50051", system.grpc)
    (tmp_path / "readme.py").write_text(text)
    lines = run(tmp_path / "readme.py")
    assert lines[0].startswith("positive 0.9")
    assert "mixed" in lines
    assert "positive" in lines
    assert "RUNS" in " ".join(lines)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[System, Path]]:
    """A system whose flows are in a package of their own, and the folder of its Python package."""
    project = copy_project(Path(__file__).parent / "project", tmp_path_factory.mktemp("acme") / "project")
    for path in (project / "flows").iterdir():
        if path.stem not in ("sentiment_analysis", "document_insight"):
            path.unlink()
    (project / "promptflow.yaml").write_text("package: acme.flows\n")
    out = project.parent / "out"
    command = [sys.executable, "-m", "promptflow_server.cli", "generate", "--project", str(project)]
    subprocess.run([*command, "--lang", "python", "--out", str(out)], check=True, capture_output=True)
    with running_system(project) as system:
        yield system, out / "python"


USE = """
import sys
from acme.sync import PromptFlow

with PromptFlow(sys.argv[1]) as pf:
    print(pf.sentiment_analysis.run(text="I love this!").analyze.label)
    print(*sorted(flow.service for flow in pf.flows()))
"""


@pytest.mark.timeout(120)
def test_flows_in_a_package_of_their_own_are_served_and_called(acme: tuple[System, Path], tmp_path: Path) -> None:
    system, package = acme
    (tmp_path / "use.py").write_text(USE)
    path = Path(f"{package}{os.pathsep}{CLIENT}")
    for target in (system.grpc, system.edge):
        label, services = run(tmp_path / "use.py", target, path=path)
        assert label == "positive"
        assert services == (
            "acme.flows.document_insight.v1.DocumentInsightService "
            "acme.flows.sentiment_analysis.v1.SentimentAnalysisService"
        )


@pytest.mark.timeout(120)
async def test_a_package_of_their_own_changes_no_rest_path_and_is_reflected(acme: tuple[System, Path]) -> None:
    import httpx  # noqa: PLC0415
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (  # noqa: PLC0415
        ProtoReflectionDescriptorDatabase,
    )

    system, _ = acme
    async with httpx.AsyncClient(base_url=system.http, timeout=30) as http:
        body = {"text": "I love this!", "execution_mode": "SYNC"}
        answer = await http.post("/api/v1/sentiment-analysis/execute", json=body)
    assert answer.json()["result"]["analyze"]["label"] == "positive"

    def services() -> set[str]:
        with grpc.insecure_channel(system.grpc) as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    assert "acme.flows.sentiment_analysis.v1.SentimentAnalysisService" in await asyncio.to_thread(services)


async def test_a_client_for_no_flow_in_particular_lists_too(system: System) -> None:
    async with PromptFlowBase(system.edge) as promptflow:
        assert "sentiment_analysis" in {flow.flow async for flow in promptflow.flows()}
