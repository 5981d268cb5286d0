"""A project as it was at a git revision, as files in a folder of their own; the work tree is never touched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from promptflow_codegen.project import CONTRACT, SETTINGS_FILE
from promptflow_server.cli.failures import CommandError

GIT_S = 60.0
_PARTS = ("flows", "proto", SETTINGS_FILE)
_OF_ANOTHER_REPOSITORY = frozenset(
    {
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_PREFIX"),
        *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CEILING_DIRECTORIES"),
    }
)
"""What git sets for hooks and aliases; it would lead away from the project."""

_QUIETLY = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
"""Messages that are read here; no write, no question, nothing fetched."""

_PLAIN_FILES = ("100644", "100755", "100664")


def export_revision(project: Path, revision: str, target: Path) -> None:
    """Write flows, settings and generated protos of the project in folder `project` as they were into `target`.

    The contract's own protos are left out: what is compared is read with today's.

    Raises:
        CommandError: there is no git, no repository, no such revision, or the project was not there.
    """
    root = Path(_said(project, "rev-parse", "--show-toplevel").strip())
    inside = project.resolve().relative_to(root.resolve()).as_posix()
    commit = _commit(project, revision)
    files = list(_files(root, commit, "" if inside == "." else f"{inside}/"))
    if not any(path.parts[0] == "flows" for path, _ in files):
        where = "the repository" if inside == "." else f"`{inside}`"
        raise CommandError(f"at `{revision}` there were no flows in {where}; name a revision that has them")
    contents = _contents(root, [blob for _, blob in files])
    for (path, _), content in zip(files, contents, strict=True):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _commit(project: Path, revision: str) -> str:
    found = (
        None if revision.startswith("-") else _git(project, "rev-parse", "--verify", "--quiet", revision + "^{commit}")
    )
    if found is not None and found.returncode == 0:
        return found.stdout.decode().strip()
    hint = "name a branch, a tag or a commit that `git log` shows"
    if _said(project, "rev-parse", "--is-shallow-repository").strip() == "true":
        hint = f"this clone is shallow: run `git fetch --depth=1 origin {revision}`, or `git fetch --unshallow`"
    raise CommandError(f"git knows no commit `{revision}` here; {hint}")


def _files(root: Path, commit: str, prefix: str) -> Iterator[tuple[PurePosixPath, str]]:
    """Path below the project and object of each file that belongs to it."""
    listed = _said(root, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *(prefix + part for part in _PARTS))
    for line in filter(None, listed.split("\0")):
        about, _, name = line.partition("\t")
        mode, _, blob = about.split(" ")
        path = PurePosixPath(name.removeprefix(prefix))
        if mode in _PLAIN_FILES and ".." not in path.parts and not path.is_relative_to(f"proto/{CONTRACT}"):
            yield path, blob


def _contents(root: Path, blobs: list[str]) -> Iterator[bytes]:
    answer = _git(root, "cat-file", "--batch", given="".join(f"{blob}\n" for blob in blobs).encode())
    _check(answer)
    data, start = answer.stdout, 0
    for blob in blobs:
        end = data.index(b"\n", start)
        name, kind, *size = data[start:end].decode().split(" ")
        if kind != "blob" or name != blob:
            raise CommandError(f"git has no content of {blob}: {kind}; the clone is not complete, run `git fetch`")
        yield data[end + 1 : end + 1 + int(size[0])]
        start = end + 2 + int(size[0])


def _said(folder: Path, *arguments: str) -> str:
    answer = _git(folder, *arguments)
    _check(answer)
    return answer.stdout.decode("utf-8", errors="surrogateescape")


def _check(answer: subprocess.CompletedProcess[bytes]) -> None:
    if answer.returncode == 0:
        return
    said = " ".join(answer.stderr.decode(errors="replace").split()).removeprefix("fatal: ")
    if "not a git repository" in said:
        raise CommandError("the project lies in no git repository; `promptflow diff` compares with a commit")
    raise CommandError(f"git failed: {said[:300] or f'status {answer.returncode}'}")


def _git(folder: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    command = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(  # noqa: S603  # words are never taken for options: see `_commit`
            command, input=given, capture_output=True, check=False, timeout=GIT_S, env=inherited | _QUIETLY
        )
    except FileNotFoundError:
        raise CommandError("`promptflow diff` needs git, which is not installed here") from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"git did not answer within {GIT_S:g} s") from None
