"""The command line as users have it: exit status and one-line errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.server.gateway.echo_server import free_ports

from promptflow_server.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    status: object
    stdout: str
    stderr: str


Promptflow = Callable[..., Done]


@pytest.fixture
def promptflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Promptflow:
    """The command line, run in an empty folder and a clean environment."""
    monkeypatch.chdir(tmp_path)
    # Projects put themselves there, so that their executors are found.
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in os.environ if name.startswith("PROMPTFLOW_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **environment: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["promptflow", *arguments])
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Done(ended.value.code, written.out, written.err)

    return run


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ("bogus", 2, "No such command 'bogus'"),
        ("up --once", 2, "it stops after the demo: add `--demo`"),
        ("up --demo --no-envoy", 2, "the demo calls through the gateway"),
        ("up --port-base 70000", 2, "--port-base"),
        ("up --workers 0", 2, "--workers"),
        ("up", 1, "has no folder `flows`; name the project with `--project DIR`"),
        ("up --project nowhere", 1, "`nowhere` has no folder `flows`"),
        ("check", 1, "has no folder `flows`"),
        ("generate", 1, "has no folder `flows`"),
        ("server --address nonsense", 2, "`nonsense` is not HOST:PORT"),
        ("server --address host:http", 2, "`host:http` is not HOST:PORT"),
        ("worker --queue nope", 2, "no executor has the queue `nope`; there are `general`, `ocr`, `sentiment`"),
        ("worker --slots 0", 2, "--slots"),
        ("run", 2, "Missing argument"),
        ("run echo --input text", 2, "`text` is not NAME=VALUE or NAME=@FILE"),
        ("run echo --input =x", 2, "`=x` is not NAME=VALUE or NAME=@FILE"),
        ("run echo --input file=@absent.png", 1, "absent.png: No such file or directory"),
        ("models pull nope", 1, "no model is called `nope`"),
        ("models verify nope", 1, "no model is called `nope`"),
    ],
)
def test_a_wrong_use_ends_with_its_status_and_says_what_is_wrong(
    promptflow: Promptflow, arguments: str, status: int, says: str
) -> None:
    done = promptflow(*arguments.split())
    assert (done.status, done.stdout) == (status, "")
    assert says in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PROMPTFLOW_MAX_FILE_BYTES", "-3", "`PROMPTFLOW_MAX_FILE_BYTES` is '-3'"),
        ("PROMPTFLOW_LOG_LEVEL", "loud", "`PROMPTFLOW_LOG_LEVEL` is 'loud'"),
        ("PROMPTFLOW_EXECUTORS", "absent:Nothing", "an executor cannot be loaded"),
        ("PROMPTFLOW_EXECUTORS", "json", "is not `module:Class`"),
    ],
)
def test_a_wrong_setting_is_told_by_its_name(promptflow: Promptflow, variable: str, value: str, says: str) -> None:
    done = promptflow("worker", **{variable: value})
    assert done.status == 1
    assert done.stderr.startswith("error: ")
    assert says in done.stderr


def test_a_server_without_a_bundle_says_what_makes_one_and_makes_none(promptflow: Promptflow, tmp_path: Path) -> None:
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "shout.yaml").write_text("name: shout\n")
    done = promptflow("server")
    assert (done.status, done.stdout) == (1, "")
    assert re.fullmatch(r"error: no bundle in .*; run `promptflow generate`\n", done.stderr)
    assert [path.name for path in tmp_path.rglob("*")] == ["flows", "shout.yaml"]


def test_nobody_listening_is_told_with_the_way_out(promptflow: Promptflow) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    done = promptflow("run", "echo", "--url", url)
    assert done.status == 1
    assert done.stderr.startswith(f"error: no answer from `{url}`")
    assert "is `promptflow up` running?" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["models", "pull", "--help"]])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = f"""
import sys
from promptflow_server.cli import main
sys.argv[1:] = {arguments}
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Usage: " in done.stdout
    heavy = {"grpc", "httpx", "rich", "numpy", "onnxruntime", "arq", "jinja2", "google.protobuf", "structlog"}
    assert heavy & set(done.stderr.split()) == set()
