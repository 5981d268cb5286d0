"""What every language gives: tools found, then a package made, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.emit.stubs import client_descriptors
from promptflow_codegen.plan import FlowPlan
from promptflow_codegen.project import Project


class LanguageError(Exception):
    """A package that cannot be made; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ClientSource:
    """What packages are made of.

    `descriptors` has neither REST paths nor constraints, so that no client depends on packages for them; imports are
    in it, in dependency order. `plans` are sorted by name and version; there is at least one.
    """

    project: Project
    descriptors: FileDescriptorSet
    plans: tuple[FlowPlan, ...]

    @classmethod
    def of(cls, project: Project, bundle: Bundle) -> ClientSource:
        """What a project's bundle gives."""
        descriptors = FileDescriptorSet.FromString(bundle.descriptors)
        return cls(project, client_descriptors(descriptors), bundle.plans)

    @property
    def flow_files(self) -> tuple[str, ...]:
        """The protos of the project's own flows, by path, sorted; what else is in the set is published by others."""
        root = self.project.flows_package.replace(".", "/") + "/"
        return tuple(sorted(file.name for file in self.descriptors.file if file.name.startswith(root)))


@dataclass(frozen=True, slots=True)
class ClientPackage:
    """Files by path in the package's folder, with `/` between names.

    `files` are generated again each time. `seeds` are the user's to edit, such as the name, the licence and the
    README: one that was edited stays as it is.
    """

    files: Mapping[str, bytes]
    seeds: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


@dataclass(frozen=True, slots=True)
class MissingTool:
    """A tool that is not installed. `install` is the pip package that brings it, or what else to run."""

    tool: str
    install: str

    def __str__(self) -> str:
        return f"`{self.tool}` is not installed: {self.install}"


Tools = Mapping[str, Path]
"""Programs by name."""


class Language(Protocol):
    """One language; `name` is what `--lang` takes and the folder that its package gets."""

    @property
    def name(self) -> str:
        """As `--lang` takes it."""
        ...

    def find_tools(self) -> Tools | MissingTool:
        """Where the programs are that `generate` runs; nothing is fetched or installed."""
        ...

    def generate(self, source: ClientSource, tools: Tools, /) -> ClientPackage:
        """The package, the same bytes for the same source.

        Raises:
            LanguageError: the project names its package in a way that the language cannot have.
            PluginError: a tool refuses.
        """
        ...
