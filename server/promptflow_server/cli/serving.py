"""The processes that serve: a server, a worker. Each ends with a clean drain on SIGTERM."""

from __future__ import annotations

from pathlib import Path

import typer
import uvloop

from promptflow_codegen.project import Project
from promptflow_core.settings import Settings
from promptflow_server.cli.environment import POOLS, load_registry, project_at, settings_of, with_executors_of
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.logs import configure_logging


def server_command(folder: Path, address: str, edge_folder: Path | None, edge_admin: str | None) -> None:
    """Serve the flows of a project at `address` until SIGTERM, and tell the Envoy that watches `edge_folder`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise typer.BadParameter(f"`{address}` is not HOST:PORT", param_hint="--address")
    project = project_at(folder)
    settings = with_executors_of(project, settings_of(project.root))
    load_registry(settings)
    _configure_logging(settings)
    from promptflow_server.app import run_server  # noqa: PLC0415  # a worker needs nothing of it
    from promptflow_server.gateway.edge import Edge  # noqa: PLC0415

    edge = Edge(edge_folder, edge_admin)
    uvloop.run(run_server(settings, project=project, address=address, edge=edge))


def worker_command(folder: Path, queues: tuple[str, ...], slots: int) -> None:
    """Take calls from `queues`, or from the usual pools, until SIGTERM."""
    project = Project.at(folder)
    settings = with_executors_of(project, settings_of(project.root))
    known = load_registry(settings).queues | set(POOLS)
    if unknown := sorted(set(queues) - known):
        raise typer.BadParameter(
            f"no executor has the queue {', '.join(f'`{name}`' for name in unknown)}; "
            f"there are {', '.join(f'`{name}`' for name in sorted(known))}",
            param_hint="--queue",
        )
    _configure_logging(settings)
    from promptflow_workers.worker import run_worker  # noqa: PLC0415  # a server needs nothing of it

    uvloop.run(run_worker(settings, queues or POOLS, slots=slots))


def _configure_logging(settings: Settings) -> None:
    try:
        configure_logging(settings.log_level)
    except ValueError as error:
        raise CommandError(str(error)) from None
