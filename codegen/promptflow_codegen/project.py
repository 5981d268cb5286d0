"""A project: a folder with flows, and where what is generated from them lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from promptflow_codegen.diagnostics import Report
from promptflow_codegen.naming import FLOWS_PACKAGE, package_problem
from promptflow_codegen.source import parse_source, read_bytes
from promptflow_codegen.tree import to_plain

SETTINGS_FILE = "promptflow.yaml"
CONTRACT = "promptflow_api/v1"
"""The hand-written protos, relative to the proto root."""


_KEYS = "`executors`, `package`, `go_package`, `npm_name`, `removed`"


class ProjectError(Exception):
    """A folder that is no project, or settings that cannot be read; the message says what to do."""


class _Settings(BaseModel):
    """`promptflow.yaml`: `executors` are the project's own, each `module:Class`; `package` is the proto package of its
    flows, `go_package` the import path of its Go module, `npm_name` the name of its npm package; `removed` are flows
    that were generated and are gone on purpose, each `name@version`, after its package where that was another."""

    model_config = ConfigDict(extra="forbid")

    executors: tuple[str, ...] = ()
    package: str = Field(default=FLOWS_PACKAGE, pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$")
    go_package: str = ""
    npm_name: str = ""
    removed: tuple[Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]*\.)*[a-z][a-z0-9_]*@[1-9][0-9]*$")], ...] = ()

    @field_validator("package")
    @classmethod
    def _has_a_package_of_its_own(cls, package: str) -> str:
        problem = package_problem(package)
        if problem is not None:
            raise ValueError(problem)
        return package


@dataclass(frozen=True, slots=True)
class Project:
    """Folders of one project; all are absolute. `python_client_dir` is None where there is no Python client."""

    root: Path
    flows_dir: Path
    proto_dir: Path
    bundles_dir: Path
    python_client_dir: Path | None
    executors: tuple[str, ...] = ()
    flows_package: str = FLOWS_PACKAGE
    go_package: str = ""
    npm_name: str = ""
    removed: tuple[str, ...] = ()

    @classmethod
    def at(cls, root: Path) -> Project:
        """The project in a folder.

        Raises:
            ProjectError: the folder is not there, or its `promptflow.yaml` cannot be read.
        """
        root = root.resolve()
        if not root.is_dir():
            raise ProjectError(f"there is no folder {root}")
        client = root / "clients" / "python"
        settings = _read_settings(root / SETTINGS_FILE)
        return cls(
            root=root,
            flows_dir=root / "flows",
            proto_dir=root / "proto",
            bundles_dir=root / ".promptflow" / "bundles",
            python_client_dir=client if client.is_dir() else None,
            executors=settings.executors,
            flows_package=settings.package,
            go_package=settings.go_package,
            npm_name=settings.npm_name,
            removed=settings.removed,
        )

    def contract_protos(self) -> Mapping[str, str]:
        """The hand-written protos by path: the project's own copy, else the one that PromptFlow ships.

        Raises:
            ProjectError: there is none.
        """
        for folder in (self.proto_dir, *_shipped_protos()):
            files = sorted((folder / CONTRACT).glob("*.proto"))
            if files:
                return {f"{CONTRACT}/{file.name}": file.read_text("utf-8") for file in files}
        raise ProjectError(f"{CONTRACT} is neither in {self.proto_dir} nor in this installation; reinstall PromptFlow")

    def relative(self, path: Path) -> Path:
        """A path as people see it, from the project's root."""
        return path.relative_to(self.root)


def _shipped_protos() -> tuple[Path, ...]:
    here = Path(__file__).resolve().parent
    # In a wheel they are beside this module, in a checkout two folders up.
    return here / "shipped" / "proto", here.parent.parent / "proto"


def _read_settings(path: Path) -> _Settings:
    if not path.exists():
        return _Settings()
    report = Report(path.name)
    data = read_bytes(path, report)
    root = parse_source(data, report) if data is not None else None
    errors = [found for found in report.diagnostics if found.code != "empty-file"]
    if errors:
        raise ProjectError(str(errors[0]))
    try:
        return _Settings.model_validate(to_plain(root) or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise ProjectError(f"{path.name}: {place}: {said}; its keys are {_KEYS}") from None
