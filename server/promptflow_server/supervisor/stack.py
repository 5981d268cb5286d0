"""PromptFlow's own parts: workers, server, Envoy; Redis before them, which has a guard of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from promptflow_core.settings import Settings
from promptflow_server.gateway.config import Address, Instance, derive_config, source_config
from promptflow_server.gateway.envoy import envoy_binary, validate
from promptflow_server.gateway.twins import EdgeContract
from promptflow_server.gateway.xds import write_transcoder
from promptflow_server.supervisor.part import Part
from promptflow_server.supervisor.ports import LOOPBACK, Ports
from promptflow_server.supervisor.readiness import PROBE_TIMEOUT_S, grpc_serves, http_answers, worker_beats

ENVOY_DRAIN_S = 10

_POLL_S = 0.1
_COMMAND = (sys.executable, "-m", "promptflow_server.cli")


@dataclass(frozen=True, slots=True)
class Stack:
    """One PromptFlow to run: `environment` is what server and workers get, `data` is where all of it writes,
    `queues` are what its workers serve."""

    project: Path
    data: Path
    ports: Ports
    environment: Mapping[str, str]
    queues: tuple[str, ...]
    host: str = LOOPBACK
    workers: int = 1
    with_gateway: bool = True

    @property
    def logs(self) -> Path:
        """Where the log of each part lies."""
        return self.data / "logs"

    def processes(self) -> list[Part]:
        """The workers and the server. Neither waits for the other, so they may start together."""
        names = [f"worker-{number}" for number in range(1, self.workers + 1)] if self.workers > 1 else ["worker"]
        return [*(self._worker(name) for name in names), self._server()]

    def gateway(self, contract: EdgeContract, probe_path: str) -> Part:
        """Envoy, told by files what to serve; ready when a GET of `probe_path` succeeds through it. Blocking.

        Raises:
            GatewayError: Envoy would not run the project's `envoy.yaml`, or not serve `contract`.
        """
        folder = self._edge_folder
        write_transcoder(contract, folder)
        config = folder / "envoy.json"
        config.write_bytes(derive_config(source_config(self.project), self._instance(folder)))
        validate(config)
        admin = f"http://{LOOPBACK}:{self.ports.admin}"
        options = ("--disable-hot-restart", "--log-level", "warning", "--drain-time-s", str(ENVOY_DRAIN_S))
        return Part(
            name="envoy",
            command=(str(envoy_binary()), "-c", str(config), *options),
            is_ready=http_answers(f"{admin}/ready", f"http://{self._probed_host}:{self.ports.gateway}{probe_path}"),
            directory=self.project,
            drain=lambda: _drain_envoy(admin),
            drain_within_s=ENVOY_DRAIN_S,
        )

    def _worker(self, name: str) -> Part:
        queues = [word for queue in self.queues for word in ("--queue", queue)]
        command = (*_COMMAND, "worker", "--project", str(self.project), *queues)
        return Part(
            name=name,
            command=command,
            is_ready=worker_beats(Settings.from_environment(self.environment).redis_url, self.queues),
            environment=self.environment,
            directory=self.project,
            ready_within_s=120,
        )

    def _server(self) -> Part:
        address = f"{LOOPBACK}:{self.ports.grpc}"
        command = (*_COMMAND, "server", "--project", str(self.project), "--address", address, *self._edge_options)
        return Part(
            name="server",
            command=command,
            is_ready=grpc_serves(address),
            environment=self.environment,
            directory=self.project,
            stop_within_s=30,
        )

    def _instance(self, folder: Path) -> Instance:
        return Instance(
            gateway=Address(self.host, self.ports.gateway),
            admin=Address(LOOPBACK, self.ports.admin),
            metrics=Address(LOOPBACK, self.ports.metrics),
            servers=(Address(LOOPBACK, self.ports.grpc),),
            xds_folder=folder.resolve(),
        )

    @property
    def _edge_folder(self) -> Path:
        return self.data / "envoy"

    @property
    def _edge_options(self) -> tuple[str, ...]:
        if not self.with_gateway:
            return ()
        return "--edge-folder", str(self._edge_folder), "--edge-admin", f"{LOOPBACK}:{self.ports.admin}"

    @property
    def _probed_host(self) -> str:
        return LOOPBACK if self.host == "0.0.0.0" else self.host  # noqa: S104  # compared, not bound


async def _drain_envoy(admin: str) -> None:
    """Turn new connections away, and wait until no request is open. Whoever calls sets the limit."""
    async with httpx.AsyncClient(base_url=admin, timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
        try:
            await client.post("/healthcheck/fail")
            while await _open_requests(client) > 0:  # noqa: ASYNC110  # another process sets no event
                await asyncio.sleep(_POLL_S)
        except httpx.HTTPError:
            return


async def _open_requests(client: httpx.AsyncClient) -> int:
    answer = await client.get("/stats", params={"filter": r"^http\.gateway\.downstream_rq_active$"})
    return int(answer.text.rpartition(":")[2] or 0)
