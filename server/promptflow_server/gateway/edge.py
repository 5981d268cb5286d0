"""The edge of one server process: what its Envoy is given, and whether Envoy took it."""

from __future__ import annotations

import asyncio
import re
import tempfile
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import quote

from google.protobuf.message import DecodeError

from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.gateway.twins import with_twins
from promptflow_server.gateway.xds import FILTER, Candidate, drop_transcoder, put_transcoder, stage_transcoder

VERDICT_WITHIN_S = 5.0
_LOOK_S = 0.01
_ADMIN_TIMEOUT_S = 1.0
_COUNTERS = rf"extension_config_discovery\.http_filter\..*{FILTER}\.(update_success|update_rejected)"
_COUNTER = re.compile(rf"{FILTER}\.(update_success|update_rejected): ([0-9]+)$", re.MULTILINE)


class EdgeError(Exception):
    """The edge would not serve a bundle, or was not told of it; what it serves stays. The message says why."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A bundle that the edge would serve; for its edge alone."""

    candidate: Candidate


class Edge:
    """Writes the transcoder's configuration into the folder that an Envoy watches; one call of `put` at a time.

    `admin` is the address of Envoy's admin interface, by which it is asked whether it took what it was given; without
    it, or while nobody answers there, writing is all. Without a `folder` a bundle is only judged.
    """

    def __init__(self, folder: Path | None = None, admin: str | None = None) -> None:
        self._folder = folder
        self._admin = admin

    async def stage(self, descriptors: bytes) -> Staged:
        """Ask whether Envoy would serve a bundle's descriptors; about 0.1 s, or nothing where it does already.

        Raises:
            EdgeError: it would not.
        """
        return await asyncio.to_thread(self._stage, descriptors)

    async def put(self, staged: Staged) -> None:
        """Give Envoy what was staged, and wait until it serves it.

        Raises:
            EdgeError: Envoy refused it, and goes on with what it had; or it did not say within some seconds.
        """
        if self._folder is None or staged.candidate.is_in_place:
            return
        if self._admin is None:
            await asyncio.to_thread(_put, staged)
            return
        before = await asyncio.to_thread(_counters, self._admin)
        await asyncio.to_thread(_put, staged)
        if before is not None:
            await self._wait_for_verdict(self._admin, before)

    async def drop(self, staged: Staged) -> None:
        """Leave nothing of what was staged and is not put."""
        await asyncio.to_thread(drop_transcoder, staged.candidate)

    def _stage(self, descriptors: bytes) -> Staged:
        try:
            contract = with_twins(descriptors)
            if self._folder is not None:
                return Staged(stage_transcoder(contract, self._folder))
            with tempfile.TemporaryDirectory(prefix="promptflow-edge-") as folder:
                return Staged(stage_transcoder(contract, Path(folder)))
        except (DecodeError, KeyError, RecursionError) as error:
            raise EdgeError(f"the descriptors do not hold together: {error}; run `promptflow generate`") from error
        except (GatewayError, OSError) as error:
            raise EdgeError(str(error)) from error

    async def _wait_for_verdict(self, admin: str, before: dict[str, int]) -> None:
        try:
            async with asyncio.timeout(VERDICT_WITHIN_S):
                while True:
                    now = await asyncio.to_thread(_counters, admin)
                    if now is None or now.get("update_success", 0) > before.get("update_success", 0):
                        return
                    if now.get("update_rejected", 0) > before.get("update_rejected", 0):
                        raise EdgeError("Envoy refused the new transcoder and serves the old one; its log says why")
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise EdgeError(
                f"Envoy did not take the new transcoder within {VERDICT_WITHIN_S:g} s; see that it watches "
                f"`{self._folder}`"
            ) from None


def _put(staged: Staged) -> None:
    try:
        put_transcoder(staged.candidate)
    except OSError as error:
        raise EdgeError(f"Envoy's configuration cannot be written: {error}") from error


def _counters(admin: str) -> dict[str, int] | None:
    """What Envoy counted so far; None where nobody answers: it reads the folder when it starts."""
    # By the standard library: to load a client and its certificates would take longer than the whole swap.
    connection = HTTPConnection(admin, timeout=_ADMIN_TIMEOUT_S)
    try:
        connection.request("GET", f"/stats?filter={quote(_COUNTERS)}")
        text = connection.getresponse().read().decode(errors="replace")
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
    return {name: int(count) for name, count in _COUNTER.findall(text)}
