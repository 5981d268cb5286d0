"""`promptflow up` as it is typed: the demo, what it invites to, the end."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
SUPERVISED = re.compile(r"(worker|server|envoy) +stopped")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    return tmp_path


async def start(project: Path, *options: str, **environment: str) -> asyncio.subprocess.Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROMPTFLOW_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "promptflow_server.cli", "up", *options),
        cwd=project,
        env={**clean, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def read_until(process: asyncio.subprocess.Process, text: str) -> str:
    assert process.stdout is not None
    read = ""
    async with asyncio.timeout(45):
        while text not in read:
            line = (await process.stdout.readline()).decode()
            assert line, read
            read += line
    return read


async def shell(command: str, folder: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_shell(command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    return process.returncode, output.decode()


def port_base() -> int:
    # Below the ports that the kernel hands out, and another one for each process of the tests.
    return 21000 + os.getpid() % 1000 * 5


@pytest.mark.processes
async def test_the_demo_is_right_its_invitations_work_and_ctrl_c_ends_it_all(project: Path) -> None:
    process = await start(project, "--demo", "--port-base", str(port_base()))
    try:
        shown = await read_until(process, "serving until Ctrl-C")
        assert "the result is what the page says" in shown
        invitations = re.split(r"^# .*\n", shown, flags=re.MULTILINE)[1:]
        commands = [text.partition("\n\nserving")[0] for text in invitations if runs_here(text)]
        answers = await asyncio.gather(*(shell(command, project) for command in commands))
        process.send_signal(signal.SIGINT)
        rest = await read_until(process, "\nstopped\n")
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert [status for status, _ in answers] == [0] * len(answers)
    json_answer, events, letter_events, *others = [output for _, output in answers]
    assert '"label":"positive"' in json_answer
    assert [len(re.findall("^event: done$", text, re.MULTILINE)) for text in (events, letter_events)] == [1, 1]
    assert len(others) >= 1
    assert all("positive" in output for output in others)
    assert len(SUPERVISED.findall(rest)) == 3


def runs_here(command: str) -> bool:
    return shutil.which(command.split(maxsplit=1)[0]) is not None


@pytest.mark.processes
async def test_without_weights_the_other_flows_serve_and_those_that_cannot_are_named(project: Path) -> None:
    base = port_base()
    process = await start(project, "--port-base", str(base), **without_weights(project))
    try:
        shown = await read_until(process, "serving until Ctrl-C")
        url = f"http://127.0.0.1:{base}/api/v1/conditional-processing/execute"
        body = """-H 'content-type: application/json' -d '{"text": "hello", "execution_mode": "SYNC"}'"""
        status, answer = await shell(f"curl -s {url} {body}", project)
        process.send_signal(signal.SIGINT)
        await read_until(process, "\nstopped\n")
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "model.safetensors" in shown
    assert "\n  until then these flows fail: document_insight, sentiment_analysis\n" in shown
    assert (status, "filed: hello" in answer) == (0, True)


@pytest.mark.processes
async def test_the_demo_says_which_files_it_lacks_and_starts_nothing(project: Path) -> None:
    options = ("--demo", "--once", "--port-base", str(port_base()))
    process = await start(project, *options, **without_weights(project))
    assert process.stdout is not None
    shown = (await process.stdout.read()).decode()
    assert await process.wait() == 1
    error = shown.splitlines()[-1]
    assert error.startswith("error: model `sentiment-minilm` is not complete")
    assert all(name in error for name in ("model.safetensors", "tokenizer.json", "`promptflow models pull"))
    assert "starting" not in shown
    assert not (project / ".promptflow" / "logs").exists()


def without_weights(project: Path) -> dict[str, str]:
    return {"PROMPTFLOW_CACHE_DIR": str(project / "cache"), "PROMPTFLOW_OFFLINE": "1"}


@pytest.mark.processes
async def test_a_project_is_run_once_at_a_time(project: Path) -> None:
    first = await start(project, "--no-envoy", "--port-base", str(port_base()))
    try:
        await read_until(first, "redis ")
        second = await start(project, "--no-envoy", "--port-base", str(port_base() + 10))
        assert "another `promptflow up` already runs on" in await read_until(second, "error:")
        assert await second.wait() == 1
    finally:
        first.kill()
        await first.wait()


@pytest.mark.processes
async def test_a_named_redis_that_does_not_answer_is_told_without_its_password(project: Path) -> None:
    url = f"redis://:hunter2@127.0.0.1:{port_base() + 4}/0"
    process = await start(project, "--port-base", str(port_base()), PROMPTFLOW_REDIS_URL=url)
    shown = await read_until(process, "error: the Redis that `PROMPTFLOW_REDIS_URL` names does not answer")
    assert await process.wait() == 1
    assert "hunter2" not in shown
