"""The table of cases that every client runs: what goes in, what must come out, whatever the language or transport.

`cases/<flow>.yaml` names a flow and lists its cases:

    flow: sentiment_analysis
    cases:
      - name: praise is positive            # unique in its file
        inputs: {text: "I love this!"}      # JSON, with the tags below for what JSON lacks
        result: {analyze: {label: positive, confidence: {$min: 0.9}}}   # a subset; see `matching`
        steps: {analyze: COMPLETED}
      - name: no text
        inputs: {}
        error: {status: INVALID_ARGUMENT, reason: INVALID_INPUT, violations: {text: required}}
        transports: [http]                  # default: all
      - name: nobody knows this run
        call: status                        # default `run`; also `cancel` and `watch`, of an `execution_id`
        execution_id: 00000000-0000-4000-8000-000000000000
        error: {status: NOT_FOUND, reason: EXECUTION_NOT_FOUND}

Tags of inputs: `{$file: samples/letter.jpg}` a file of this repository; `{$content: <base64>, name: …}` a file by its
bytes; `{$bytes: <base64>}`; `{$timestamp: <RFC 3339>}`; `{$duration: 1.5s}`; `{$repeat: "ab", times: 100}` a long text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

CASES = Path(__file__).parent / "cases"
ROOT = Path(__file__).resolve().parents[2]

Transport = Literal["http", "multipart", "python", "go", "ts"]
Call = Literal["run", "status", "cancel", "watch"]
TRANSPORTS: tuple[Transport, ...] = ("http", "multipart", "python", "go", "ts")


class ExpectedError(BaseModel):
    """How a case fails; `violations` maps each path to a part of its description, and names every path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: str
    reason: str
    message: str = ""
    violations: Mapping[str, str] | None = None


class Case(BaseModel):
    """One case. It expects a `result`, an `error`, or neither: then only that the call succeeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    flow: str
    version: int = 1
    name: str
    call: Call = "run"
    execution_id: str = ""
    inputs: Mapping[str, Any] = Field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    steps: Mapping[str, str] | None = None
    error: ExpectedError | None = None
    transports: tuple[Transport, ...] = ("http", "python", "go", "ts")

    @property
    def id(self) -> str:
        """The case as test reports name it."""
        return f"{self.flow}: {self.name}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call gave. Values are as JSON writes them: times and durations as text, bytes as base64."""

    result: Mapping[str, Any] | None = None
    steps: Mapping[str, str] = field(default_factory=dict[str, str])
    status: str = "OK"
    reason: str = ""
    message: str = ""
    violations: Mapping[str, str] = field(default_factory=dict[str, str])


def load_cases(folder: Path = CASES) -> tuple[Case, ...]:
    """Every case, in the order of files and lines.

    Raises:
        ValueError: a file is not as this module says.
    """
    cases: list[Case] = []
    for path in sorted(folder.glob("*.yaml")):
        document = yaml.safe_load(path.read_text("utf-8"))
        found = [Case.model_validate({"flow": document["flow"], **entry}) for entry in document["cases"]]
        names = [case.name for case in found]
        repeated = {name for name in names if names.count(name) > 1}
        if repeated:
            raise ValueError(f"{path.name}: two cases are called {', '.join(sorted(repeated))}")
        cases += found
    return tuple(cases)
