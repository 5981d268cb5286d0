"""Clients that are out: generated from a flow as it was, they call the flow as it is after an edit, or the edit is
refused and they call what is proposed instead.

Each edit of `edits/*.yaml` has a flow of its own, so that one server serves all of them.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2  # type: ignore[import-untyped]
from google.protobuf import json_format
from tests.conformance.python_runner import client_of, json_of, native_of
from tests.e2e.edit_table import Edit, load_edits, write_flows
from tests.unit.codegen.test_buf import image, run_buf

from promptflow_client import Done, PromptFlowBase
from promptflow_codegen.bundle import Bundle
from promptflow_codegen.compat import CODE
from promptflow_codegen.diagnostics import Diagnostic
from promptflow_codegen.evolution import Change, compare_bundles
from promptflow_codegen.evolution.change import asked_for, worst
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.registry import ExecutorRegistry
from promptflow_server.services.contracts import pool_of

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

EDITS = load_edits()
CASES = [pytest.param(edit, id=edit.title) for edit in EDITS]
START_S = 30.0
SYNC = 2


@dataclass(frozen=True, slots=True)
class History:
    """What generation made of the three states: as published, as edited, and as served in the end."""

    old: Bundle
    edited: Bundle
    diagnostics: Sequence[Diagnostic]
    served: Bundle
    project: Project
    changes: Sequence[Change]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    root = tmp_path_factory.mktemp("history")
    (root / "clients" / "python").mkdir(parents=True)
    project, catalog = Project.at(root), ExecutorRegistry.load().catalog()
    write_flows(project, merged(edit.old for edit in EDITS), EDITS)
    first = generate(project, catalog)
    assert first.bundle is not None, first.diagnostics
    write(project, first)
    write_flows(project, merged(edit.new for edit in EDITS), EDITS)
    edited = generate(project, catalog, tolerated=(CODE,))
    assert edited.bundle is not None, [
        str(found) for found in edited.diagnostics if found.is_error and found.code != CODE
    ]
    write_flows(project, merged(edit.served for edit in EDITS), EDITS)
    # The clients stay as they were published: they are out.
    served = generate(Project(root, project.flows_dir, project.proto_dir, project.bundles_dir, None), catalog)
    assert served.bundle is not None, [str(found) for found in served.diagnostics if found.is_error]
    changes = compare_bundles(first.bundle, edited.bundle)
    write(Project(root, project.flows_dir, project.proto_dir, project.bundles_dir, None), served)
    return History(first.bundle, edited.bundle, edited.diagnostics, served.bundle, project, changes)


def merged(files: Any) -> dict[str, str]:
    return {name: text for one in files for name, text in one.items()}


@pytest.fixture(scope="module")
def address(history: History, redis_url: str) -> Iterator[str]:
    """A server of the edited flows, and the clients of the old ones within reach of `import`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "PROMPTFLOW_REDIS_URL": redis_url}
    command = [sys.executable, "-m", "promptflow_server.cli", "server"]
    command += ["--project", str(history.project.root), "--address", address]
    log = history.project.root / "server.log"
    sys.path.append(str(history.project.root / "clients" / "python"))
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        wait_until_serving(address, server)
        yield address
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=START_S)
        sys.path.remove(str(history.project.root / "clients" / "python"))
    assert b"Traceback" not in log.read_bytes()


def wait_until_serving(address: str, server: subprocess.Popen[bytes]) -> None:
    with grpc.insecure_channel(address) as channel:
        ready = grpc.channel_ready_future(channel)
        for _ in range(int(START_S * 10)):
            assert server.poll() is None, f"the server ended with {server.returncode}"
            with suppress(grpc.FutureTimeoutError):
                ready.result(timeout=0.1)
                return
    raise TimeoutError(f"the server does not serve within {START_S} s")


def test_there_are_edits_enough() -> None:
    assert len(EDITS) >= 60
    assert len({edit.flow for edit in EDITS}) == len(EDITS)


@pytest.mark.parametrize("edit", CASES)
def test_an_edit_is_refused_exactly_where_old_clients_would_notice(edit: Edit, history: History) -> None:
    said = [found for found in history.diagnostics if f"/{edit.flow}." in found.file or f"/{edit.flow}/" in found.file]
    refused = [found.message for found in said if found.code == CODE]
    assert sorted(refused) == sorted(edit.refused)
    assert len([found for found in said if found.code == "removed-flow"]) == edit.gone
    assert bool(edit.instead) == edit.is_refused, "what is refused has a proposal that is tried"


@pytest.mark.parametrize("edit", CASES)
def test_the_verdict_is_the_one_of_the_table(edit: Edit, history: History) -> None:
    names = {edit.flow, f"{edit.flow}_anew", f"{edit.flow}_other", f"{edit.flow}_rest"}
    changes = [change for change in history.changes if change.flow in names]
    assert (str(worst(changes)), asked_for(changes)) == (edit.verdict, edit.asks_for), changes
    assert worst(changes).is_breaking == edit.is_refused


@pytest.mark.parametrize("edit", CASES)
async def test_the_old_client_works(edit: Edit, address: str) -> None:
    async with PromptFlowBase(address) as promptflow:
        client = client_of(edit.flow, 1, promptflow)
        inputs = {name: native_of(value) for name, value in edit.inputs.items()}
        events = [event async for event in client.stream(**inputs, timeout=20)]
        # Progress has sequence 0 and is not kept.
        kept = [event for event in events if event.sequence]
        assert [event.sequence for event in kept] == list(range(1, len(kept) + 1))
        assert isinstance(events[-1], Done)
        assert events[-1].execution.error is None
        assert known(json_of(events[-1].execution.result), edit.result) == edit.result
        handle = client.handle(events[-1].execution_id)
        assert (await handle.status()).result == events[-1].execution.result
        assert [event async for event in handle.events() if event.sequence] == kept


@pytest.mark.parametrize("edit", CASES)
async def test_old_stubs_work(edit: Edit, address: str) -> None:
    messages = importlib.import_module(f"promptflow_api.flows.{edit.flow}.v1.{edit.flow}_pb2")
    request = json_format.ParseDict(json_inputs(edit), messages.ExecuteRequest())
    request.execution_mode = SYNC
    service = messages.DESCRIPTOR.services_by_name["".join(map(str.capitalize, edit.flow.split("_"))) + "Service"]
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/{service.full_name}/Execute")(request.SerializeToString(), timeout=20)
        execution = messages.Execution.FromString(await call)
    result = json_format.MessageToDict(execution.result, preserving_proto_field_name=True)
    assert known(plain(result), edit.result) == edit.result


@pytest.mark.parametrize("edit", CASES)
async def test_old_json_works(edit: Edit, address: str, history: History) -> None:
    """As the gateway does it: the body goes to the twin as it is, the answer becomes JSON by the new descriptors."""
    plan = history.served.plan(edit.flow, 1)
    assert plan is not None
    body = httpbody_pb2.HttpBody(
        content_type="application/json",
        data=json.dumps({**json_inputs(edit), "execution_mode": "SYNC"}).encode(),
    ).SerializeToString()

    async def bodies() -> Any:
        yield body

    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_unary(f"/{plan.package}.{plan.service}/ExecuteHttp")(bodies(), timeout=20)
        answer = await call
    execution = json_format.MessageToDict(
        execution_class(history.served, plan.package).FromString(answer),
        preserving_proto_field_name=True,
        descriptor_pool=pool_of(files_of(history.served)),
    )
    assert execution["status"] == "COMPLETED"
    assert known(plain(execution["result"]), edit.result) == edit.result


def test_buf_and_the_lock_differ_only_where_the_table_says_why(history: History, tmp_path: Path) -> None:
    """WIRE_JSON on what was published and on what the edits would make of it, were they not refused."""
    own = {file.name for file in files_of(history.edited).file if "/flows/" in file.name}
    paths = {}
    for name, bundle in (("old", history.old), ("new", history.edited)):
        paths[name] = tmp_path / f"{name}.binpb"
        paths[name].write_bytes(image(files_of(bundle), own | {file.name for file in files_of(history.old).file}))
    arguments = ("breaking", str(paths["new"]), "--against", str(paths["old"]), "--error-format", "json")
    status, text = run_buf(*arguments, "--config", '{"version": "v2", "breaking": {"use": ["WIRE_JSON"]}}')
    assert status in (0, 100), text
    broken = {json.loads(line).get("path", "") for line in text.splitlines() if line.startswith("{")}
    assert broken
    differing = {edit.title for edit in EDITS if edit.is_refused != any(f"/{edit.flow}/" in path for path in broken)}
    assert differing == {edit.title for edit in EDITS if edit.buf}


def files_of(bundle: Bundle) -> Any:
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # noqa: PLC0415

    return FileDescriptorSet.FromString(bundle.descriptors)


def execution_class(bundle: Bundle, package: str) -> Any:
    from google.protobuf.message_factory import GetMessageClass  # noqa: PLC0415

    return GetMessageClass(pool_of(files_of(bundle)).FindMessageTypeByName(f"{package}.Execution"))


def json_inputs(edit: Edit) -> dict[str, Any]:
    """The inputs as JSON writes them."""
    return {
        name: value["$bytes"] if isinstance(value, dict) and "$bytes" in value else value
        for name, value in edit.inputs.items()
    }


def plain(value: Any) -> Any:
    """JSON of protobuf with 64-bit integers as numbers."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case str() if value.isdecimal():
            return int(value)
        case _:
            return value


def known(given: Any, expected: Any) -> Any:
    """What a client that knows `expected` sees of what it is given."""
    if isinstance(expected, dict) and isinstance(given, dict):
        return {key: known(given[key], item) for key, item in expected.items() if key in given}
    return given
