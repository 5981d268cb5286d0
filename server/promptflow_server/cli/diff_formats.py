"""The verdict on an edit as text: lines for people, a JSON document for tools."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from promptflow_codegen.diagnostics import Position
from promptflow_codegen.evolution import Change
from promptflow_codegen.evolution.change import asked_for, worst


class DiffFormat(StrEnum):
    """How the verdict is told."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class PlacedChange:
    """A change and the line that it is about."""

    change: Change
    file: str
    position: Position

    def __str__(self) -> str:
        place = f"{self.file}:{self.position.line}:{self.position.column}"
        named = f"`{self.change.path}` " if self.change.path else ""
        return f"{place}: {self.change.kind} ({self.change.asks}): {named}{self.change.message}"

    def to_json(self) -> dict[str, Any]:
        """The change as an entry of the JSON document."""
        return {
            "verdict": str(self.change.kind),
            "asks_for": str(self.change.asks),
            "path": self.change.path,
            "message": self.change.message,
            "file": self.file,
            "line": self.position.line,
            "column": self.position.column,
        }


def render_diff(revision: str, flows: int, placed: Sequence[PlacedChange], form: DiffFormat) -> str:
    """What became of `flows` flows since `revision`."""
    return _as_json(revision, placed) if form is DiffFormat.JSON else _as_text(revision, flows, placed)


def _by_flow(placed: Sequence[PlacedChange]) -> Iterator[tuple[tuple[str, int], list[PlacedChange]]]:
    for key, items in groupby(placed, key=lambda item: (item.change.flow, item.change.version)):
        yield key, list(items)


def _as_text(revision: str, flows: int, placed: Sequence[PlacedChange]) -> str:
    lines: list[str] = []
    for (flow, version), items in _by_flow(placed):
        changes = [item.change for item in items]
        lines += map(str, items)
        lines.append(f"  {flow} v{version}: {worst(changes)}{_proposal(flow, version, changes)}")
    changes = [item.change for item in placed]
    asks = asked_for(changes)
    count = "1 flow" if flows == 1 else f"{flows} flows"
    asked = f"it asks for a new {asks} version" if asks else "nothing that a caller or a run could notice changed"
    return "\n".join([*lines, f"{count} beside `{revision}`: {worst(changes)}; {asked}"])


def _proposal(flow: str, version: int, changes: Sequence[Change]) -> str:
    if not worst(changes).is_breaking:
        return ""
    if any(change.kind.is_breaking and not change.path for change in changes):
        return f"\n    hint: keep version {version} of `{flow}` beside what replaces it, until nobody calls it"
    return (
        f"\n    hint: leave what is there and add the new beside it, or make the change in a new file with "
        f"`name: {flow}` and `version: {version + 1}`; both are served"
    )


def _as_json(revision: str, placed: Sequence[PlacedChange]) -> str:
    flows: list[Mapping[str, Any]] = []
    for (flow, version), items in _by_flow(placed):
        changes = [item.change for item in items]
        flows.append(
            {
                "flow": flow,
                "version": version,
                **_summary(changes),
                "changes": [item.to_json() for item in items],
            }
        )
    document = {"revision": revision, **_summary([item.change for item in placed]), "flows": flows}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _summary(changes: Sequence[Change]) -> Mapping[str, str | None]:
    asks = asked_for(changes)
    return {"verdict": str(worst(changes)), "asks_for": None if asks is None else str(asks)}
