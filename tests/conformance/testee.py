"""Cases through a client in another language: a program that reads cases and answers outcomes, a JSON line each.

The program is started with the address as its last argument. It reads one request a line from standard input:
`{"id": 1, "flow", "version", "call", "execution_id", "inputs", "batch", "read_mask", "timeout_s"}`, where `inputs` and
each of `batch` have the tags that `table` describes, with `$file` an absolute path and `$repeat` already written out.
It answers each with one line on standard output: `{"id": 1}` and the fields of `table.Outcome`, in any order of ids. It
ends where standard input does.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance.table import ROOT, Case, Outcome

TIMEOUT_S = 60.0
LINE_LIMIT = 64 << 20


class Testee:
    """One running program."""

    __test__ = False

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last_id = 0

    async def run_case(self, case: Case, timeout_s: float = TIMEOUT_S) -> Outcome:
        """Have the program do what a case says; one case at a time.

        Raises:
            EOFError: the program ended.
        """
        self._last_id += 1
        request = {
            "id": self._last_id,
            "flow": case.flow,
            "version": case.version,
            "call": case.call,
            "execution_id": case.execution_id,
            "inputs": written_out(case.inputs),
            "batch": [written_out(inputs) for inputs in case.batch],
            "read_mask": case.read_mask,
            "timeout_s": timeout_s,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout_s + 5)
        if not line:
            raise EOFError(f"the program ended with {await self._process.wait()} at `{case.id}`")
        answer: dict[str, Any] = json.loads(line)
        assert answer.pop("id") == self._last_id
        outcomes: list[dict[str, Any]] = answer.pop("outcomes", None) or []
        return Outcome(**answer, outcomes=tuple(Outcome(**each) for each in outcomes))


@asynccontextmanager
async def testee(command: Sequence[str], address: str, env: Mapping[str, str]) -> AsyncGenerator[Testee]:
    """Start a program for as long as the context lasts; what it writes to standard error is shown by pytest."""
    process = await asyncio.create_subprocess_exec(
        *command,
        address,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=env,
        cwd=ROOT,
        limit=LINE_LIMIT,
    )
    try:
        yield Testee(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


def written_out(value: Any) -> Any:
    """A tagged value with its path made absolute and its repetition done."""
    match value:
        case {"$file": path}:
            return {"$file": str(ROOT / path)}
        case {"$repeat": text, "times": times}:
            return text * times
        case dict():
            return {key: written_out(item) for key, item in value.items()}
        case list():
            return [written_out(item) for item in value]
        case _:
            return value
