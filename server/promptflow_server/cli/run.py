"""Run a flow through the gateway, and show its steps while they run."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.console import Console

from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.run_view import run_view
from promptflow_server.cli.shown_run import ShownRun, nested
from promptflow_server.cli.sse import server_events

COMPLETED = "COMPLETED"

# A heartbeat comes every 15 s: a stream that is silent for longer is dead.
_TIMEOUT = httpx.Timeout(10.0, read=60.0)

Part = tuple[str, tuple[str | None, bytes]]
"""A field of a multipart form: its name, a file name where it is one, its content."""


def run_command(flow: str, version: int, inputs: Sequence[str], url: str) -> None:
    """Run `flow` with `inputs` as the command line has them; the result goes to stdout, all else to stderr."""
    parts = [_part(text) for text in inputs]
    console = Console(stderr=True, highlight=False)
    state = asyncio.run(follow_run(url, api_path(flow, version), parts, console))
    typer.echo(json.dumps(result_of(state), indent=2, ensure_ascii=False))


def api_path(flow: str, version: int) -> str:
    """Where the gateway has the methods of a flow."""
    return f"/api/v{version}/{flow.replace('_', '-')}"


async def follow_run(
    url: str, path: str, parts: Sequence[Part], console: Console, steps: Iterable[str] = ()
) -> ShownRun:
    """Start a run and show it until it is over.

    Raises:
        CommandError: it was refused, nobody answers, or the stream broke off.
    """
    state = ShownRun.of_steps(steps)
    # A proxy of the environment is for the world outside.
    async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, trust_env=False) as client:
        with run_view(console) as view:
            try:
                async with aclosing(_events(client, f"{path}/execute/stream", parts)) as events:
                    async for event in events:
                        state = state.with_event(event, time.monotonic())
                        view.show(state)
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
                raise CommandError(f"no answer from `{url}`: {why}; is `promptflow up` running?") from None
    if state.execution is None:
        raise CommandError(f"the stream ended before the run {state.execution_id or '(not yet accepted)'} did")
    return state


def result_of(state: ShownRun) -> Mapping[str, Any]:
    """The result of a run that is over.

    Raises:
        CommandError: it did not complete.
    """
    execution: Mapping[str, Any] = state.execution or {}
    if execution.get("status") != COMPLETED:
        message = nested(execution, "error").get("message", "no reason given")
        raise CommandError(f"the run {state.execution_id} ended as {execution.get('status', 'unknown')}: {message}")
    return nested(execution, "result")


async def _events(client: httpx.AsyncClient, path: str, parts: Sequence[Part]) -> AsyncGenerator[Mapping[str, Any]]:
    headers = {"accept": "text/event-stream"}
    async with client.stream("POST", path, files=parts, headers=headers) as answer:
        if not answer.is_success:
            raise CommandError(_refusal(answer.status_code, await answer.aread()))
        async with aclosing(server_events(answer.aiter_bytes())) as events:
            async for event in events:
                document: Mapping[str, Any] = json.loads(event.data)
                yield document


def _refusal(status: int, body: bytes) -> str:
    """What a google.rpc.Status in JSON says, field by field where it does."""
    try:
        error: Mapping[str, Any] = json.loads(body)
        violations = [
            f"\n  {violation.get('field')}: {violation.get('description')}"
            for detail in error.get("details", ())
            for violation in detail.get("field_violations", ())
        ]
        return f"{error['message']} (HTTP {status}){''.join(violations)}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return f"HTTP {status}: {body[:200].decode(errors='replace')}"


def _part(text: str) -> Part:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"`{text}` is not NAME=VALUE or NAME=@FILE", param_hint="--input")
    if value.startswith("@"):
        path = Path(value[1:])
        return name, (path.name, path.read_bytes())
    return name, (None, value.encode())
