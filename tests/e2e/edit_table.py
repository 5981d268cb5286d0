"""Edits of published flows, as data: `edits/*.yaml`, explained in `edits/README.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from promptflow_codegen.project import Project

FOLDER = Path(__file__).parent / "edits"
Replacements = tuple[tuple[str, str], ...]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    verdict: str
    base: str = "named"
    asks_for: str | None = None
    replace: Replacements = ()
    files: dict[str, str] = Field(default_factory=dict[str, str])
    refused: tuple[str, ...] = ()
    gone: int = 0
    instead: Replacements = ()
    instead_files: dict[str, str] = Field(default_factory=dict[str, str])
    result: dict[str, Any] = Field(default_factory=dict[str, Any])
    result_of_least: dict[str, Any] = Field(default_factory=dict[str, Any])
    buf: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """What is sent, and what is answered of it."""

    inputs: Mapping[str, Any]
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Base:
    """A flow as it was published, and calls of it."""

    flow: str
    calls: Mapping[str, Call]


@dataclass(frozen=True, slots=True)
class Edit:
    """One edit. `new` and `instead` are files by name; `instead` is empty where nothing has to be proposed.

    `calls` are what a client of the base does, with all inputs and with only what is required. `gone` counts the flows
    of the base that no file declares afterwards.
    """

    title: str
    flow: str
    calls: Mapping[str, Call]
    old: Mapping[str, str]
    new: Mapping[str, str]
    instead: Mapping[str, str]
    verdict: str
    asks_for: str | None
    refused: tuple[str, ...]
    gone: int
    buf: str

    @property
    def is_refused(self) -> bool:
        """Whether something else has to be done instead."""
        return bool(self.refused or self.gone)

    @property
    def served(self) -> Mapping[str, str]:
        """The files that a server has in the end."""
        return self.instead if self.is_refused else self.new


def load_edits() -> Sequence[Edit]:
    """Every edit of the table."""
    documents = (yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.yaml")))
    return [_edit(_Entry.model_validate(entry)) for document in documents for entry in document]


def write_flows(project: Project, files: Mapping[str, str], edits: Sequence[Edit]) -> None:
    """Put the flows of some edits in place of what was there of them."""
    project.flows_dir.mkdir(parents=True, exist_ok=True)
    for edit in edits:
        for path in project.flows_dir.glob(f"{edit.flow}.*.yaml"):
            path.unlink()
    for name, text in files.items():
        (project.flows_dir / name).write_text(text, "utf-8")


def _edit(entry: _Entry) -> Edit:
    document = yaml.safe_load((FOLDER / "bases" / f"{entry.base}.yaml").read_text("utf-8"))
    base = Base(
        document["flow"],
        {
            "whole": Call(document["inputs"], {**document["result"], **entry.result}),
            "least": Call(document["least"], {**document["result_of_least"], **entry.result, **entry.result_of_least}),
        },
    )
    flow = re.sub(r"[^a-z]+", "_", entry.name.lower()).strip("_")

    def files(replace: Replacements, whole: Mapping[str, str]) -> dict[str, str]:
        if not replace and not whole:
            return {}
        texts = {name: text.replace("$BASE", base.flow) for name, text in whole.items()}
        texts = texts or {"flow.yaml": _replaced(base.flow, replace, entry.name)}
        return {f"{flow}.{name}": text.replace("$NAME", flow) for name, text in texts.items()}

    return Edit(
        title=entry.name,
        flow=flow,
        calls=base.calls,
        old=files((), {"flow.yaml": base.flow}),
        new=files(entry.replace, entry.files),
        instead=files(entry.instead, entry.instead_files),
        verdict=entry.verdict,
        asks_for=entry.asks_for,
        refused=entry.refused,
        gone=entry.gone,
        buf=entry.buf,
    )


def _replaced(text: str, replace: Replacements, name: str) -> str:
    for old, new in replace:
        assert text.count(old) == 1, f"{name}: {old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text
