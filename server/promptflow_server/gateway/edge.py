"""The edge of one server process: what its Envoy is given, and whether Envoy took it."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

import httpx

from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.gateway.twins import with_twins
from promptflow_server.gateway.xds import FILTER, Candidate, put_transcoder, stage_transcoder

VERDICT_WITHIN_S = 5.0
_LOOK_S = 0.01
_ADMIN_TIMEOUT_S = 1.0
_COUNTERS = rf"extension_config_discovery\.http_filter\..*{FILTER}\.(update_success|update_rejected)"
_COUNTER = re.compile(rf"{FILTER}\.(update_success|update_rejected): ([0-9]+)$", re.MULTILINE)


class Edge:
    """Writes the transcoder's configuration into the folder that an Envoy watches.

    `admin` is the address of Envoy's admin interface, by which it is asked whether it took what it was given; without
    it, or while nobody answers there, writing is all. Without a `folder` a candidate is only judged.
    """

    def __init__(self, folder: Path | None = None, admin: str | None = None) -> None:
        self._folder = folder
        self._admin = admin

    async def stage(self, descriptors: bytes) -> Candidate:
        """Ask whether Envoy would serve a bundle's descriptors; about 0.1 s, or nothing where it does already.

        Raises:
            GatewayError: it would not.
        """
        return await asyncio.to_thread(self._stage, descriptors)

    async def put(self, candidate: Candidate) -> None:
        """Give Envoy a candidate, and wait until it serves it.

        Raises:
            GatewayError: Envoy refused it, and goes on with what it had; or it did not say within some seconds.
        """
        if self._folder is None or candidate.is_in_place:
            return
        before = await self._counters()
        await asyncio.to_thread(put_transcoder, candidate)
        if before is not None:
            await self._wait_for_verdict(before)

    def _stage(self, descriptors: bytes) -> Candidate:
        contract = with_twins(descriptors)
        if self._folder is not None:
            return stage_transcoder(contract, self._folder)
        with tempfile.TemporaryDirectory(prefix="promptflow-edge-") as folder:
            return stage_transcoder(contract, Path(folder))

    async def _wait_for_verdict(self, before: dict[str, int]) -> None:
        try:
            async with asyncio.timeout(VERDICT_WITHIN_S):
                while True:
                    now = await self._counters()
                    if now is None or now.get("update_success", 0) > before.get("update_success", 0):
                        return
                    if now.get("update_rejected", 0) > before.get("update_rejected", 0):
                        raise GatewayError("Envoy refused the new transcoder and serves the old one; its log says why")
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise GatewayError(
                f"Envoy did not take the new transcoder within {VERDICT_WITHIN_S:g} s; see that it watches "
                f"`{self._folder}`"
            ) from None

    async def _counters(self) -> dict[str, int] | None:
        """What Envoy counted so far; None where nobody answers: it reads the folder when it starts."""
        if self._admin is None:
            return None
        try:
            # Plain HTTP: to load certificates would take longer than the question.
            async with httpx.AsyncClient(timeout=_ADMIN_TIMEOUT_S, trust_env=False, verify=False) as client:  # noqa: S501
                answer = await client.get(f"http://{self._admin}/stats", params={"filter": _COUNTERS})
        except httpx.HTTPError:
            return None
        return {name: int(count) for name, count in _COUNTER.findall(answer.text)}
