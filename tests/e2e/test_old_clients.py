"""Clients that are out: generated from a flow as it was, they call the flow as it is after an edit, or the edit is
refused and they call what is proposed instead. Each calls with all inputs, and with only those that are required.

Each edit of `edits/*.yaml` has a flow of its own, so that one server serves all of them.
"""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from tests.conformance.python_runner import client_of, json_of, native_of
from tests.e2e.edit_table import Call, Edit, load_edits, write_flows
from tests.e2e.system import PORTS, free_ports
from tests.unit.codegen.test_buf import image, run_buf

from promptflow_client import Done, PromptFlowBase
from promptflow_codegen.bundle import Bundle
from promptflow_codegen.compat import CODE as BREAKING
from promptflow_codegen.diagnostics import Diagnostic
from promptflow_codegen.evolution import Change, compare_bundles
from promptflow_codegen.evolution.change import asked_for, worst
from promptflow_codegen.generate import generate
from promptflow_codegen.naming import kebab
from promptflow_codegen.project import Project
from promptflow_codegen.removal import CODE as REMOVED
from promptflow_codegen.write import write
from promptflow_core.registry import ExecutorRegistry
from promptflow_core.types import Kind, ListType, MapType, ObjectType, ScalarType, ValueType

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]

EDITS = load_edits()
CASES = [pytest.param(edit, id=edit.title) for edit in EDITS]
CALLS = [pytest.param(edit, call, id=f"{edit.title}: {name}") for edit in EDITS for name, call in edit.calls.items()]
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
    edited = generate(project, catalog, tolerated=(BREAKING, REMOVED))
    assert edited.bundle is not None, [
        str(found) for found in edited.diagnostics if found.is_error and found.code not in (BREAKING, REMOVED)
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


@dataclass(frozen=True, slots=True)
class Served:
    """Where the edited flows are served: the server itself, and the edge before it."""

    grpc: str
    http: str


@pytest.fixture(scope="module")
def served(history: History, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """What `promptflow up` makes of the edited flows, and the clients of the old ones within reach of `import`."""
    # `up` generates: the clients that are out are where it does not look.
    clients = tmp_path_factory.mktemp("published")
    shutil.move(history.project.root / "clients", clients)
    port_base = free_ports(PORTS)
    system = Served(f"127.0.0.1:{port_base + 1}", f"http://127.0.0.1:{port_base}")
    command = [sys.executable, "-m", "promptflow_server.cli", "up", "--project", str(history.project.root)]
    command += ["--port-base", str(port_base), "--workers", "1"]
    log = history.project.root / "up.log"
    sys.path.append(str(clients / "clients" / "python"))
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_serving(system, process, log)
        yield system
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=START_S)
        sys.path.remove(str(clients / "clients" / "python"))
    assert b"Traceback" not in log.read_bytes()


def wait_until_serving(system: Served, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text("utf-8", errors="replace")
        with suppress(httpx.HTTPError):
            if httpx.get(f"{system.http}/api/v1/{kebab(EDITS[0].flow)}/info", timeout=2).is_success:
                return
        time.sleep(0.1)
    raise TimeoutError(log.read_text("utf-8", errors="replace"))


def test_there_are_edits_enough() -> None:
    assert len(EDITS) >= 60
    assert len({edit.flow for edit in EDITS}) == len(EDITS)


@pytest.mark.parametrize("edit", CASES)
def test_an_edit_is_refused_exactly_where_old_clients_would_notice(edit: Edit, history: History) -> None:
    said = [found for found in history.diagnostics if f"/{edit.flow}." in found.file or f"/{edit.flow}/" in found.file]
    errors = [found for found in said if found.is_error]
    assert sorted(found.message for found in errors if found.code == BREAKING) == sorted(edit.refused)
    assert len([found for found in errors if found.code == REMOVED]) == edit.gone
    assert len(errors) == len(edit.refused) + edit.gone
    assert bool(edit.instead) == edit.is_refused, "what is refused has a proposal that is tried"


@pytest.mark.parametrize("edit", CASES)
def test_the_verdict_is_the_one_of_the_table(edit: Edit, history: History) -> None:
    names = {edit.flow, f"{edit.flow}_anew", f"{edit.flow}_other", f"{edit.flow}_rest"}
    changes = [change for change in history.changes if change.flow in names]
    assert (str(worst(changes)), asked_for(changes)) == (edit.verdict, edit.asks_for), changes
    assert worst(changes).is_breaking == edit.is_refused


@pytest.mark.parametrize(("edit", "call"), CALLS)
async def test_the_old_client_works(edit: Edit, call: Call, served: Served) -> None:
    async with PromptFlowBase(served.grpc) as promptflow:
        client = client_of(edit.flow, 1, promptflow)
        inputs = {name: native_of(value) for name, value in call.inputs.items()}
        events = [event async for event in client.stream(**inputs, timeout=20)]
        # Progress has sequence 0 and is not kept.
        kept = [event for event in events if event.sequence]
        assert [event.sequence for event in kept] == list(range(1, len(kept) + 1))
        assert isinstance(events[-1], Done)
        assert events[-1].execution.error is None
        assert known(json_of(events[-1].execution.result), call.result) == call.result
        handle = client.handle(events[-1].execution_id)
        assert (await handle.status()).result == events[-1].execution.result
        assert [event async for event in handle.events() if event.sequence] == kept


@pytest.mark.parametrize(("edit", "call"), CALLS)
async def test_old_stubs_work(edit: Edit, call: Call, served: Served, history: History) -> None:
    messages = importlib.import_module(f"promptflow_api.flows.{edit.flow}.v1.{edit.flow}_pb2")
    request = json_format.ParseDict(json_inputs(call), messages.ExecuteRequest())
    request.execution_mode = SYNC
    service = messages.DESCRIPTOR.services_by_name["".join(map(str.capitalize, edit.flow.split("_"))) + "Service"]
    async with grpc.aio.insecure_channel(served.grpc) as channel:
        method: Any = channel.unary_unary(f"/{service.full_name}/Execute")
        execution = messages.Execution.FromString(await method(request.SerializeToString(), timeout=20))
    result = json_format.MessageToDict(execution.result, preserving_proto_field_name=True)
    expected = json_result(edit, call, history)
    assert known(result, expected) == expected


@pytest.mark.parametrize(("edit", "call"), CALLS)
async def test_old_json_works(edit: Edit, call: Call, served: Served, history: History) -> None:
    """Through Envoy, which makes JSON of the answer by the new descriptors."""
    body = {**json_inputs(call), "execution_mode": "SYNC"}
    async with httpx.AsyncClient(base_url=served.http, timeout=20) as client:
        answer = await client.post(f"/api/v1/{kebab(edit.flow)}/execute", json=body)
    execution = answer.raise_for_status().json()
    assert execution["status"] == "COMPLETED"
    expected = json_result(edit, call, history)
    assert known(execution["result"], expected) == expected


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


def json_inputs(call: Call) -> dict[str, Any]:
    """The inputs as JSON writes them."""
    return {
        name: value["$bytes"] if isinstance(value, dict) and "$bytes" in value else value
        for name, value in call.inputs.items()
    }


def json_result(edit: Edit, call: Call, history: History) -> Any:
    """The result as JSON writes it by the types that were published: integers of 64 bits are texts, and only they."""
    plan = history.old.plan(edit.flow, 1)
    assert plan is not None
    return json_form(call.result, plan.result)


def json_form(value: Any, value_type: ValueType) -> Any:
    match value_type:
        case ObjectType(fields=fields):
            types = {field.name: field.type for field in fields}
            return {name: json_form(item, types[name]) for name, item in value.items()}
        case ListType(element=inner):
            return [json_form(item, inner) for item in value]
        case MapType(value=inner):
            return {name: json_form(item, inner) for name, item in value.items()}
        case ScalarType(scalar=Kind.INTEGER):
            return str(value)
        case _:
            return value


def known(given: Any, expected: Any) -> Any:
    """What a client that knows `expected` sees of what it is given."""
    if isinstance(expected, dict) and isinstance(given, dict):
        return {key: known(given[key], item) for key, item in expected.items() if key in given}
    return given
