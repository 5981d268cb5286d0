"""The Go module of a project's flows, generated for a test: it stands on the runtime of this checkout.

`python -m tests.go_module` writes what is generated of the shipped flows into clients/go.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from pathlib import Path

from tests.go_toolchain import MODULE, ROOT, Go, go_toolchain

from promptflow_codegen.emit.go_names import RUNTIME_MODULE
from promptflow_codegen.generate import Generated, generate
from promptflow_codegen.languages.go import PLUGINS, RUNTIME_VERSION, GoLanguage
from promptflow_codegen.languages.language import ClientPackage, ClientSource, Tools
from promptflow_codegen.project import Project
from promptflow_core.executor import Catalog
from promptflow_core.registry import ExecutorRegistry

GENERATED = ("flows", "promptflow_api")
"""The folders of clients/go that hold nothing but what is generated."""


def go_plugins(go: Go, folder: Path) -> Tools:
    """Build the plugins that clients/go/go.mod names."""
    go.run("install", "tool", cwd=MODULE, env={"GOBIN": str(folder)})
    return {name: folder / name for name in PLUGINS}


def go_package(project: Project, catalog: Catalog, tools: Tools, *, module: str = "") -> ClientPackage:
    """What `promptflow generate --lang go` makes of a project, at another import path where one is given."""
    generated = generate(project, catalog)
    return GoLanguage().generate(client_source(project, generated, module), tools)


def client_source(project: Project, generated: Generated, module: str = "") -> ClientSource:
    """What a language gets."""
    assert generated.bundle is not None, "\n".join(map(str, generated.diagnostics))
    named = dataclasses.replace(project, go_package=module or project.go_package)
    return ClientSource.of(named, generated.bundle)


def write_module(package: ClientPackage, folder: Path) -> Path:
    """The package as a module whose runtime is that of this checkout; nothing has to be fetched for it."""
    for path, content in {**package.seeds, **package.files}.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    with (folder / "go.mod").open("a") as file:
        file.write(f"\nreplace {RUNTIME_MODULE} {RUNTIME_VERSION} => {MODULE}\n")
    shutil.copy(MODULE / "go.sum", folder / "go.sum")
    return folder


def _refresh() -> None:
    with tempfile.TemporaryDirectory(prefix="promptflow-go-") as folder:
        tools = go_plugins(go_toolchain(), Path(folder))
        package = go_package(Project.at(ROOT), ExecutorRegistry.load().catalog(), tools)
    for name in GENERATED:
        shutil.rmtree(MODULE / name, ignore_errors=True)
    for path, content in package.files.items():
        (MODULE / path).parent.mkdir(parents=True, exist_ok=True)
        (MODULE / path).write_bytes(content)


if __name__ == "__main__":
    _refresh()
