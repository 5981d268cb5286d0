"""Generated files on disk: changed ones alone, all or none, stale ones gone."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from promptflow_codegen.bundle import CURRENT, Bundle, load_bundle
from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import KEPT_BUNDLES, WriteError, drift, prune_bundles, save_bundle, write
from promptflow_core.executor import Catalog

FLOW = """name: {name}
inputs:
  - {{name: text, type: string}}
steps:
  - {{name: x, executor: transform, config: {{value: a}}}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "flows").mkdir()
    (tmp_path / "clients" / "python").mkdir(parents=True)
    for name in ("first", "second"):
        (tmp_path / "flows" / f"{name}.yaml").write_text(FLOW.format(name=name))
    return Project.at(tmp_path)


def snapshot(project: Project) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(project.root.rglob("*")) if path.is_file()}


def test_everything_is_written_once(project: Project, catalog: Catalog) -> None:
    generated = generate(project, catalog)
    assert write(project, generated) == tuple(sorted(generated.files))
    assert all((project.root / path).read_bytes() == data for path, data in generated.files.items())
    assert load_bundle(project.bundles_dir) == generated.bundle
    again = generate(project, catalog)
    assert (write(project, again), drift(project, again)) == ((), ())


def test_no_temporary_file_is_left(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    assert hidden(project) == []


def hidden(project: Project) -> list[str]:
    """What a writer would have left; `.promptflow` is no such thing."""
    paths = (path.relative_to(project.root) for path in project.root.rglob(".*"))
    return sorted(path.as_posix() for path in paths if path.parts[0] != ".promptflow")


PIPE_BYTES = 1 << 16
"""What a pipe holds."""

WRITER = """
import os, sys
from pathlib import Path
from promptflow_codegen.generate import generate
from promptflow_codegen.project import Project
from promptflow_codegen.write import write
from promptflow_core.registry import ExecutorRegistry

project = Project.at(Path(sys.argv[1]))
generated = generate(project, ExecutorRegistry.load().catalog())
print(os.getpid(), flush=True)
sys.stdin.readline()
write(project, generated)
"""


def test_a_writer_waits_for_the_one_before_and_takes_away_what_that_left_when_it_was_killed(
    project: Project, catalog: Catalog
) -> None:
    with (project.flows_dir / "second.yaml").open("a") as flow:
        flow.write(f"description: {'long ' * PIPE_BYTES}\n")
    generated = generate(project, catalog)
    last = project.root / max(path for path, data in generated.files.items() if len(data) > PIPE_BYTES)
    command = [sys.executable, "-c", WRITER, str(project.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        pid = int(killed.stdout.readline())
        # It stops in the middle of this file: a pipe takes no more before someone reads.
        pipe = last.with_name(f".{last.name}.{pid}")
        pipe.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(pipe)
        killed.stdin.write("go\n")
        killed.stdin.flush()
        with pipe.open("rb"), ThreadPoolExecutor(1) as pool:
            left = hidden(project)
            assert len(left) == len(generated.files)
            waiting = pool.submit(write, project, generated)
            with pytest.raises(BlockingIOError):
                would_be_a_writer(project.bundles_dir.parent)
            assert hidden(project) == left
            os.kill(pid, signal.SIGKILL)
            assert waiting.result(timeout=10) == tuple(sorted(generated.files))
    pipe.unlink()
    assert hidden(project) == []
    assert drift(project, generated) == ()


def would_be_a_writer(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_what_is_swept_is_a_writers_own(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    folder = project.proto_dir / "promptflow_api" / "flows" / "first" / "v1"
    gone = project.proto_dir / "promptflow_api" / "flows" / "gone" / "v1"
    client = project.root / "clients/python/promptflow_api/flows/gone/v1"
    ours = [folder / ".first.proto.7", project.flows_dir / ".flow.schema.json.8", gone / ".gone.lock.yaml.9"]
    ours += [gone / ".gone.proto.9", client / ".gone_pb2.py.9"]
    of_others = [folder / name for name in (".first.proto.bak", ".first.proto", "first.proto.7", ".notes.proto.7")]
    for path in (*ours, *of_others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (folder / ".first.lock.yaml.7").mkdir()
    write(project, generate(project, catalog))
    assert [path for path in ours if path.exists()] == []
    assert [path for path in of_others if not path.exists()] == []
    assert (folder / ".first.lock.yaml.7").is_dir()
    assert not gone.parent.exists()
    assert not client.parent.exists()


def test_no_version_control_takes_what_a_machine_keeps(project: Project, catalog: Catalog) -> None:
    ignored = project.bundles_dir.parent / ".gitignore"
    write(project, generate(project, catalog))
    assert ignored.read_text() == "*\n"
    ignored.unlink()
    write(project, generate(project, catalog))
    assert not ignored.exists(), "it is the user's from then on"


def test_what_was_edited_and_what_is_missing_is_drift(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    proto = next(project.proto_dir.rglob("first.proto"))
    proto.write_text(proto.read_text() + "// edited\n")
    schema = project.flows_dir / "flow.schema.json"
    schema.unlink()
    generated = generate(project, catalog)
    expected = tuple(sorted(path.relative_to(project.root) for path in (proto, schema)))
    assert drift(project, generated) == expected
    assert write(project, generated) == expected
    assert drift(project, generated) == ()


def test_a_flow_that_goes_takes_its_files_and_leaves_its_lock(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    (project.flows_dir / "second.yaml").unlink()
    project = replace(project, removed=("second@1",))
    generated = generate(project, catalog)
    stale = drift(project, generated)
    assert {path.name for path in stale} >= {"second.proto", "second_pb2.py", "second_pb2.pyi", "second_pb2_grpc.py"}
    assert write(project, generated) == stale
    left = [path.name for path in project.root.rglob("*second*") if path.is_file()]
    assert left == ["second.lock.yaml"]
    assert not (project.root / "clients/python/promptflow_api/flows/second").exists()


@pytest.mark.parametrize(("old", "new"), [("promptflow_api.flows", "acme.flows"), ("acme", "acme.flows"), ("b.a", "b")])
def test_flows_leave_their_package_only_where_that_is_confirmed(
    old: str, new: str, project: Project, catalog: Catalog
) -> None:
    settings = project.root / "promptflow.yaml"
    settings.write_text(f"package: {old}\n")
    write(Project.at(project.root), generate(Project.at(project.root), catalog))
    before = snapshot(project)
    settings.write_text(f"package: {new}\n")
    refused = generate(Project.at(project.root), catalog)
    folder = f"proto/{old.replace('.', '/')}"
    assert [(found.code, found.file, found.is_error) for found in refused.diagnostics] == [
        ("removed-flow", f"{folder}/{name}/v1/{name}.proto", True) for name in ("first", "second")
    ]
    assert f"`removed: [{old}.first@1]` in promptflow.yaml" in refused.diagnostics[0].hint
    settings.write_text(f"package: {new}\nremoved: [{old}.first@1, {old}.second@1]\n")
    moved = Project.at(project.root)
    confirmed = generate(moved, catalog)
    assert confirmed.diagnostics == ()
    write(moved, confirmed)
    assert drift(moved, generate(moved, catalog)) == ()
    left = [path.name for path in (project.root / folder).rglob("*.*") if path.is_file() and str(path) in before]
    assert sorted(left) == ["first.lock.yaml", "second.lock.yaml"]
    python = project.root / "clients" / "python" / old.replace(".", "/")
    assert [*python.glob("first/v1/*")] == []


def test_protos_of_others_with_the_same_layout_are_no_earlier_flows(project: Project, catalog: Catalog) -> None:
    theirs = project.proto_dir / "partner" / "theirs" / "v1"
    theirs.mkdir(parents=True)
    for name in ("theirs.proto", "theirs.lock.yaml"):
        (theirs / name).write_text("x")
    alone = project.proto_dir / "partner" / "first" / "v1" / "first.proto"
    alone.parent.mkdir(parents=True)
    alone.write_text("x")
    generated = generate(project, catalog)
    assert generated.diagnostics == ()
    write(project, generated)
    assert alone.exists()
    assert (theirs / "theirs.proto").exists()


def test_a_flow_that_returns_has_its_numbers(project: Project, catalog: Catalog) -> None:
    flow = project.flows_dir / "second.yaml"
    text = flow.read_text()
    write(project, generate(project, catalog))
    proto = next(project.proto_dir.rglob("second.proto")).read_text()
    flow.unlink()
    write(project, generate(replace(project, removed=("second@1",)), catalog))
    flow.write_text(text)
    write(project, generate(project, catalog))
    assert next(project.proto_dir.rglob("second.proto")).read_text() == proto


def test_where_one_file_cannot_be_written_none_is(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    (project.flows_dir / "first.yaml").write_text(
        FLOW.format(name="first") + "  - {name: y, executor: transform, config: {value: b}}\n"
    )
    (project.flows_dir / "third.yaml").write_text(FLOW.format(name="third"))
    blocked = project.root / "clients/python/promptflow_api/flows/third/v1/third_pb2.py"
    blocked.mkdir(parents=True)
    before = snapshot(project)
    generated = generate(project, catalog)
    assert not generated.has_errors, generated.diagnostics
    with pytest.raises(WriteError, match="a folder is in the way"):
        write(project, generated)
    assert snapshot(project) == before


def test_where_the_bundle_cannot_be_saved_no_file_changes(project: Project, catalog: Catalog) -> None:
    project.bundles_dir.parent.mkdir()
    project.bundles_dir.write_text("in the way")
    before = snapshot(project)
    with pytest.raises(WriteError):
        write(project, generate(project, catalog))
    assert snapshot(project) == before


def test_flows_with_mistakes_change_nothing(project: Project, catalog: Catalog) -> None:
    write(project, generate(project, catalog))
    (project.flows_dir / "second.yaml").write_text("name: [\n")
    generated = generate(project, catalog)
    assert drift(project, generated) == ()
    with pytest.raises(ValueError, match="errors"):
        write(project, generated)
    with pytest.raises(ValueError, match="errors"):
        write(project, Generated(()))


def test_a_damaged_bundle_is_replaced(project: Project, catalog: Catalog) -> None:
    generated = generate(project, catalog)
    assert generated.bundle is not None
    write(project, generated)
    plans = project.bundles_dir / generated.bundle.digest / "plans.json"
    plans.write_bytes(plans.read_bytes()[:100])
    write(project, generated)
    assert load_bundle(project.bundles_dir).digest == generated.bundle.digest
    assert sorted(path.name for path in project.bundles_dir.iterdir()) == sorted(["current", generated.bundle.digest])


def test_two_that_save_one_bundle_at_once_both_succeed(project: Project, catalog: Catalog) -> None:
    bundle = generate(project, catalog).bundle
    assert bundle is not None
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: save_bundle(bundle, project.bundles_dir), range(8)))
    assert set(folders) == {project.bundles_dir / bundle.digest}
    assert load_bundle(project.bundles_dir).digest == bundle.digest


def test_bundles_that_no_run_may_pin_go_and_all_others_stay(tmp_path: Path) -> None:
    keep_s, day_s = 7 * 86_400.0, 86_400.0
    bundles = [Bundle.of(f"{number}".encode(), ()) for number in range(KEPT_BUNDLES + 3)]
    for bundle in bundles:
        save_bundle(bundle, tmp_path)
    (tmp_path / ".staging.of_a_writer_that_was_killed").mkdir()
    prune_bundles(tmp_path, keep_s=keep_s)
    assert stored(tmp_path) == {bundle.digest for bundle in bundles}, "the youngest may be pinned"
    assert not [*tmp_path.glob(".staging.*")]

    # The first is the current one again, so that it may be pinned from now on.
    save_bundle(bundles[0], tmp_path)
    prune_bundles(tmp_path, keep_s=keep_s, now=lambda: time.time() + keep_s + day_s)
    kept = {bundle.digest for bundle in (bundles[0], *bundles[-KEPT_BUNDLES + 1 :])}
    assert stored(tmp_path) == kept

    prune_bundles(tmp_path / "none", keep_s=keep_s)
    assert current_digest(tmp_path) == bundles[0].digest


def test_a_bundle_is_as_old_as_its_last_moment_as_the_current_one(tmp_path: Path) -> None:
    first, *others = [Bundle.of(f"{number}".encode(), ()) for number in range(KEPT_BUNDLES + 2)]
    save_bundle(first, tmp_path)
    long_ago = time.time() - 86_400
    os.utime(tmp_path / first.digest, (long_ago, long_ago))
    for bundle in others:
        save_bundle(bundle, tmp_path)
    prune_bundles(tmp_path, keep_s=3_600)
    assert first.digest in stored(tmp_path), "it was current until a moment ago"


def stored(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir()}


def current_digest(folder: Path) -> str:
    return (folder / CURRENT).read_text().strip()
