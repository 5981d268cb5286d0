"""`promptflow diff` in real repositories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from promptflow_server.cli.comparing import diff_command
from promptflow_server.cli.diff_formats import DiffFormat
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.generating import generate_command

FLOW = """\
name: shout
inputs:
  - {name: text, type: string, required: true}
steps:
  - name: shout
    executor: transform
    config: {type: string, value: "{{ inputs.text | upper }}"}
outputs:
  text: "{{ steps.shout.value }}"
"""
OPTIONAL = FLOW.replace("steps:", "  - {name: more, type: integer}\nsteps:")
REQUIRED = FLOW.replace("steps:", "  - {name: more, type: integer, required: true}\nsteps:")
LOWER = FLOW.replace("upper", "lower")


class Repository:
    """A repository with a project in a folder of it."""

    def __init__(self, root: Path, inside: str) -> None:
        self.root, self.project = root, root / inside
        (self.project / "flows").mkdir(parents=True)
        (root / ".gitignore").write_text(".promptflow\n")
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        command = ["git", "-C", str(self.root), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=30).stdout

    def write(self, text: str, name: str = "shout.yaml") -> None:
        (self.project / "flows" / name).write_text(text)

    def commit(self, *, is_generated: bool = True) -> None:
        if is_generated:
            generate_command(self.project)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")

    def state(self) -> dict[str, bytes]:
        """Every file of the work tree and of git, but for the bundle."""
        files = (path for path in self.root.rglob("*") if path.is_file() and ".promptflow" not in path.parts)
        return {str(path): path.read_bytes() for path in files}


@pytest.fixture(params=["", "deep/inside it"])
def repository(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    # Projects put themselves there, so that their executors are found.
    monkeypatch.setattr(sys, "path", list(sys.path))
    inside: str = request.param
    repository = Repository(tmp_path / "r", inside)
    repository.write(FLOW)
    repository.commit()
    return repository


Said = Callable[[str], str]


@pytest.fixture
def diff(repository: Repository, capsys: pytest.CaptureFixture[str]) -> Said:
    """What is printed; the work tree is as it was."""

    def run(revision: str) -> str:
        capsys.readouterr()
        before = repository.state()
        try:
            diff_command(repository.project, revision)
        finally:
            assert repository.state() == before
        return capsys.readouterr().out

    return run


def test_nothing_changed(diff: Said) -> None:
    assert diff("HEAD") == ("1 flow beside `HEAD`: compatible; nothing that a caller or a run could notice changed\n")


def test_what_is_compatible_and_what_changes_behaviour_is_told_and_passes(repository: Repository, diff: Said) -> None:
    repository.write(OPTIONAL.replace("upper", "lower"))
    assert diff("main") == (
        "flows/shout.yaml:8:28: changes behaviour (minor): `steps.shout.config.value` "
        "it was `{{ inputs.text | upper }}` and is now `{{ inputs.text | lower }}`\n"
        "flows/shout.yaml:4:12: compatible (minor): `inputs.more` is new, of type `integer`\n"
        "  shout v1: changes behaviour\n"
        "1 flow beside `main`: changes behaviour; it asks for a new minor version\n"
    )


def test_what_breaks_is_told_with_what_to_do_and_fails(repository: Repository, diff: Said) -> None:
    repository.write(REQUIRED)
    with pytest.raises(CommandError, match=r"^1 change breaks clients that are out$"):
        diff("HEAD")


def test_a_tool_reads_the_verdict_as_json(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write(REQUIRED)
    capsys.readouterr()
    with pytest.raises(CommandError):
        diff_command(repository.project, "HEAD", DiffFormat.JSON)
    document = json.loads(capsys.readouterr().out)
    (flow,) = document["flows"]
    breaking = flow["changes"][0]
    assert (document["verdict"], document["asks_for"]) == ("breaks the wire", "major")
    assert (flow["flow"], flow["version"], flow["verdict"]) == ("shout", 1, "breaks the wire")
    assert (breaking["file"], breaking["line"], breaking["column"]) == ("flows/shout.yaml", 4, 12)
    assert breaking["message"] == "is new and required: requests of today's clients are refused"


def test_a_flow_that_is_gone_is_found_where_it_was(repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    repository.write(FLOW.replace("shout", "yell"), "yell.yaml")
    (repository.project / "flows" / "shout.yaml").unlink()
    capsys.readouterr()
    with pytest.raises(CommandError):
        diff_command(repository.project, "HEAD")
    out = capsys.readouterr().out
    assert "HEAD:flows/shout.yaml:1:7: breaks the wire (major): flow `shout` v1 is gone: calls of it fail\n" in out
    assert "flows/yell.yaml:1:7: compatible (minor): flow `yell` v1 is new\n" in out


def test_an_older_state_than_the_last_is_compared_too(repository: Repository, diff: Said) -> None:
    repository.write(OPTIONAL)
    repository.commit()
    repository.write(OPTIONAL.replace("upper", "lower"))
    repository.commit()
    assert "`inputs.more` is new" in diff("HEAD~2")
    assert "`inputs.more` is new" not in diff("HEAD~1")


def test_a_flow_whose_lock_was_not_committed_takes_the_numbers_of_today(repository: Repository, diff: Said) -> None:
    repository.write(FLOW.replace("shout", "yell"), "yell.yaml")
    repository.commit(is_generated=False)
    repository.write(OPTIONAL.replace("shout", "yell"), "yell.yaml")
    generate_command(repository.project)
    assert diff("HEAD").splitlines()[:2] == [
        "flows/yell.yaml:4:12: compatible (minor): `inputs.more` is new, of type `integer`",
        "  yell v1: compatible",
    ]


def test_numbers_that_were_given_anew_break_the_wire(
    repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    repository.write(OPTIONAL)
    repository.commit()
    for path in (repository.project / "proto" / "promptflow_api" / "flows" / "shout" / "v1").iterdir():
        path.unlink()
    repository.write(FLOW.replace("inputs:\n", "inputs:\n  - {name: more, type: integer}\n"))
    generate_command(repository.project)
    capsys.readouterr()
    with pytest.raises(CommandError, match="2 changes break"):
        diff_command(repository.project, "HEAD")
    assert "`inputs.more` moved from number 2 to 1" in capsys.readouterr().out


REFS = ("nowhere", "-x", "--help", "", "HEAD:flows", "main..main", "a b", "'; rm -rf .")


@pytest.mark.parametrize("revision", REFS)
def test_a_revision_that_is_none_is_said(revision: str, diff: Said) -> None:
    with pytest.raises(CommandError, match=r"git knows no commit `.*` here; name a branch, a tag or a commit"):
        diff(revision)


def test_a_revision_without_the_project_is_said(repository: Repository, diff: Said) -> None:
    repository.git("checkout", "--quiet", "--orphan", "other")
    repository.git("rm", "-r", "--quiet", "--cached", ".")
    repository.git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    with pytest.raises(CommandError, match=r"^at `HEAD` there were no flows in"):
        diff("HEAD")


def test_a_revision_that_did_not_generate_is_said_with_its_mistakes(repository: Repository, diff: Said) -> None:
    repository.write(FLOW.replace("transform", "transfrom"))
    repository.commit(is_generated=False)
    repository.write(FLOW)
    with pytest.raises(CommandError, match=r"the flows at `HEAD` do not generate .*\n.*unknown-executor"):
        diff("HEAD")


def test_a_work_tree_that_does_not_generate_is_said(repository: Repository, diff: Said) -> None:
    repository.write(FLOW.replace("inputs.text", "inputs.txet"))
    with pytest.raises(CommandError, match=r"the flows in the work tree do not generate .*\n.*unknown-input"):
        diff("HEAD")


def test_protos_that_somebody_broke_are_said(repository: Repository, diff: Said) -> None:
    proto = repository.project / "proto" / "promptflow_api" / "flows" / "shout" / "v1" / "shout.proto"
    text = proto.read_text()
    proto.write_text("no proto\n")
    repository.commit(is_generated=False)
    proto.write_text(text)
    with pytest.raises(CommandError, match="the protos at `HEAD` cannot be compiled"):
        diff("HEAD")


def test_a_shallow_clone_says_how_to_deepen_it(repository: Repository, tmp_path: Path) -> None:
    repository.commit()
    clone = tmp_path / "clone"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", str(clone))
    project = clone / repository.project.relative_to(repository.root)
    diff_command(project, "HEAD")
    with pytest.raises(CommandError, match="this clone is shallow: run `git fetch --depth=1 origin HEAD~1`"):
        diff_command(project, "HEAD~1")


def test_a_project_outside_any_repository_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "p" / "flows").mkdir(parents=True)
    (tmp_path / "p" / "flows" / "shout.yaml").write_text(FLOW)
    with pytest.raises(CommandError, match="the project lies in no git repository"):
        diff_command(tmp_path / "p", "HEAD")


def test_without_git_it_is_said(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="needs git, which is not installed"):
        diff_command(repository.project, "HEAD")


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE"])
def test_another_repository_that_the_environment_names_is_not_asked(
    repository: Repository, diff: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    other = Repository(tmp_path / "other", "")
    other.write(LOWER)
    other.commit(is_generated=False)
    places = {"GIT_INDEX_FILE": "index", "GIT_OBJECT_DIRECTORY": "objects", "GIT_WORK_TREE": ".."}
    repository.write(OPTIONAL)
    expected = diff("HEAD")
    monkeypatch.setenv(variable, str(other.root / ".git" / places.get(variable, "")))
    assert diff("HEAD") == expected


def test_the_status_tells_a_break(repository: Repository) -> None:
    def status(revision: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "promptflow_server.cli", "diff", revision]
        run = subprocess.run(
            [*command, "--project", str(repository.project)], capture_output=True, text=True, check=False, timeout=60
        )
        return run.returncode, run.stderr

    repository.write(LOWER)
    assert status("HEAD") == (0, "")
    repository.write(REQUIRED)
    assert status("HEAD") == (1, "error: 1 change breaks clients that are out\n")
