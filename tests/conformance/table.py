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
        call: status                        # default `run`; what there is says `Call`
        execution_id: 00000000-0000-4000-8000-000000000000
        error: {status: NOT_FOUND, reason: EXECUTION_NOT_FOUND}
      - name: two at once
        call: batch
        batch: [{text: "I love this!"}, {text: 5}]
        read_mask: [status]                 # of what comes back
        outcomes: [{result: {analyze: {label: positive}}}, {error: {status: INVALID_ARGUMENT, reason: INVALID_INPUT}}]

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
Call = Literal["run", "stream", "start", "batch", "plan", "status", "cancel", "watch", "executions", "flows"]
"""What a case does with the client of its flow.

run         runs the inputs and gives the result
stream      the same, event by event; gives the execution that came last
start       starts a run and gives the result of its handle
batch       runs each of `batch`; gives `outcomes`
plan        gives the plan of the inputs, its fields as in PlanResponse
status      gives the execution as it stands; its run is that of `execution_id`, else one of the inputs that has ended
cancel      the same, after asking it to end
watch       the same, of the event that came last
executions  lists the runs of the flow, one a page, up to one of the inputs; gives its summary
flows       lists all flows, one a page, up to this one; gives its summary
"""
TRANSPORTS: tuple[Transport, ...] = ("http", "multipart", "python", "go", "ts")


class ExpectedError(BaseModel):
    """How a case fails, and in which step, if that is said; `violations` maps each path to a part of its description,
    and names every path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: str
    reason: str
    message: str = ""
    step: str = ""
    violations: Mapping[str, str] | None = None


class Expected(BaseModel):
    """A `result`, an `error`, or neither: then only that the call succeeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    result: Mapping[str, Any] | None = None
    error: ExpectedError | None = None


class Case(Expected):
    """One case; `steps` can be expected where the call gives an execution."""

    flow: str
    version: int = 1
    name: str
    call: Call = "run"
    execution_id: str = ""
    inputs: Mapping[str, Any] = Field(default_factory=dict)
    batch: tuple[Mapping[str, Any], ...] = ()
    read_mask: tuple[str, ...] = ()
    steps: Mapping[str, str] | None = None
    outcomes: tuple[Expected, ...] = ()
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
    step: str = ""
    violations: Mapping[str, str] = field(default_factory=dict[str, str])
    outcomes: tuple[Outcome, ...] = ()


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
