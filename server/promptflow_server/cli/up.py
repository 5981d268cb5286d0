"""Everything under one supervisor: generate, fetch weights, start, do the demo, serve, stop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Console

from promptflow_codegen.bundle import Bundle
from promptflow_codegen.project import Project
from promptflow_codegen.writers import make_data_folder
from promptflow_core.errors import FlowError
from promptflow_core.settings import PREFIX, Settings
from promptflow_server.cli.environment import POOLS, project_at, settings_of
from promptflow_server.cli.failures import CommandError
from promptflow_server.cli.generating import generate_bundle
from promptflow_server.cli.installing import install_bundle
from promptflow_server.cli.invitation import invitation
from promptflow_server.cli.run import api_path
from promptflow_server.cli.stack_view import StackView
from promptflow_server.cli.tour import FLOW, LETTER, VERSION, give_tour, require_letter
from promptflow_server.cli.watching import Seen, publish_edits, seen
from promptflow_server.cli.weights import pull_weights, users_of
from promptflow_server.embedded_redis import EmbeddedRedis
from promptflow_server.gateway.twins import with_twins
from promptflow_server.supervisor.part import Part, PartChange, PartEvent
from promptflow_server.supervisor.ports import Ports, require_free
from promptflow_server.supervisor.signals import run_until_signalled
from promptflow_server.supervisor.stack import Stack
from promptflow_server.supervisor.supervisor import Supervisor
from promptflow_workers.models.repository import list_models

REDIS_URL = PREFIX + "REDIS_URL"
REDIS_TIMEOUT_S = 5.0
REDIS_LOOK_S = 1.0
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line of `up` says."""

    project: Path
    demo: bool = False
    once: bool = False
    workers: int = 1
    queues: tuple[str, ...] = ()
    port_base: int | None = None
    host: str = "127.0.0.1"
    with_gateway: bool = True
    is_watching: bool = False


def up_command(options: UpOptions) -> None:
    """Run a project until a signal, or until the demo is over where it is to run once."""
    project = project_at(options.project)
    ports = Ports.from_base(options.port_base)
    settings = settings_of(project.root)
    console = Console(highlight=False)
    if options.demo:
        require_letter(project.root)
    with _only_one(settings.data_dir):
        require_free(ports, host=options.host, with_gateway=options.with_gateway)
        # What is edited from here on is noticed, though it takes until all stands before it is published.
        sources = seen(project)
        bundle = generate_bundle(project, console)
        if options.demo and bundle.plan(FLOW, VERSION) is None:
            raise CommandError(f"the demo runs the flow `{FLOW}`, which this project does not have")
        _pull(settings, bundle, console, is_demo=options.demo)
        view = StackView(console)
        life = _Life(
            options=options,
            project=project,
            ports=ports,
            settings=settings,
            bundle=bundle,
            sources=sources,
            console=console,
            view=view,
        )
        was_interrupted = asyncio.run(life.run())
    if options.once and was_interrupted:
        raise typer.Exit(INTERRUPTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """One life of a PromptFlow."""

    options: UpOptions
    project: Project
    ports: Ports
    settings: Settings
    bundle: Bundle
    sources: Seen
    console: Console
    view: StackView

    async def run(self) -> bool:
        """Start, work, stop; whether a signal ended it."""
        redis = EmbeddedRedis(self.settings.data_dir / "redis", port=self.ports.redis)
        try:
            supervisor = Supervisor(
                await self._stages(await self._redis_url(redis)), self.settings.data_dir / "logs", self.view.report
            )
            return await run_until_signalled(
                supervisor.run(partial(self._work, redis)), asked=self._asked, insisted=supervisor.kill
            )
        finally:
            self.view.close()
            # The last user's close waits for the append-only file.
            redis.close()
            self.console.print("stopped")

    async def _redis_url(self, redis: EmbeddedRedis) -> str:
        """The Redis that the environment names, else an embedded one, running."""
        if named := os.environ.get(REDIS_URL):
            await _require_redis(named)
            return named
        began = time.monotonic()
        self.view.report(PartEvent("redis", PartChange.STARTING))
        url = await asyncio.to_thread(redis.start)
        self.view.report(PartEvent("redis", PartChange.READY, time.monotonic() - began))
        return url

    async def _stages(self, redis_url: str) -> list[list[Part]]:
        await install_bundle(self.bundle, redis_url, self.settings, is_shared=REDIS_URL in os.environ)
        environment = {
            **os.environ,
            REDIS_URL: redis_url,
            PREFIX + "DATA_DIR": str(self.settings.data_dir),
            "PYTHONUNBUFFERED": "1",
        }
        stack = Stack(
            project=self.project.root,
            data=self.settings.data_dir,
            ports=self.ports,
            environment=environment,
            queues=self.options.queues or POOLS,
            host=self.options.host,
            workers=self.options.workers,
            with_gateway=self.options.with_gateway,
        )
        stages = [stack.processes()]
        if self.options.with_gateway:
            contract = with_twins(self.bundle.descriptors)
            plan = self.bundle.plans[0]
            stages.append(
                [await asyncio.to_thread(stack.gateway, contract, f"{api_path(plan.name, plan.version)}/info")]
            )
        return stages

    async def _work(self, redis: EmbeddedRedis) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(self._keep(redis))]
                if self.options.is_watching:
                    beside.append(group.create_task(self._watch()))
                await self._serve()
                for task in beside:
                    task.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _watch(self) -> None:
        await publish_edits(self.project, self.sources, f"127.0.0.1:{self.ports.grpc}", self.console)

    async def _keep(self, redis: EmbeddedRedis) -> None:
        """Start the embedded Redis again where its guard was killed too, which does so otherwise."""
        if REDIS_URL in os.environ:
            return
        while True:
            await asyncio.sleep(REDIS_LOOK_S)
            began = time.monotonic()
            try:
                if await asyncio.to_thread(redis.is_running):
                    continue
                self.view.report(PartEvent("redis", PartChange.DIED, 0.0, "its guard is gone; starts again"))
                await asyncio.to_thread(redis.start)
            except FlowError as error:
                self.console.print(f"  warning: {error}", markup=False, soft_wrap=True)
            else:
                self.view.report(PartEvent("redis", PartChange.READY, time.monotonic() - began))

    async def _serve(self) -> None:
        if self.options.demo:
            url = f"http://127.0.0.1:{self.ports.gateway}"
            plan = self.bundle.plan(FLOW, VERSION)
            steps = [step.name for step in plan.steps] if plan else []
            await give_tour(url, self.project.root, steps, self.console)
            if self.options.once:
                return
        self._invite()
        await asyncio.Event().wait()

    def _invite(self) -> None:
        letter = self.project.root / LETTER
        text = invitation(
            self.bundle.plans,
            self.ports,
            python=_from_here(Path(sys.executable)),
            letter=Path(_from_here(letter)) if letter.is_file() else None,
            with_gateway=self.options.with_gateway,
        )
        edits = f"; edits in {_from_here(self.project.flows_dir)}/ go live" if self.options.is_watching else ""
        self.console.print(f"\n{text}\n\nserving until Ctrl-C{edits}", markup=False, soft_wrap=True)

    def _asked(self) -> None:
        self.view.close()
        self.console.print("\nstopping: open requests may end first; Ctrl-C again stops at once")


async def _require_redis(url: str) -> None:
    """Nothing, where a Redis answers at `url`.

    Raises:
        CommandError: none does; what the url says of a password is not repeated.
    """
    from redis.asyncio import Redis  # noqa: PLC0415  # an embedded one is asked by its launcher
    from redis.exceptions import RedisError  # noqa: PLC0415

    try:
        client = cast("Any", Redis).from_url(
            url, socket_connect_timeout=REDIS_TIMEOUT_S, socket_timeout=REDIS_TIMEOUT_S
        )
        async with client:
            await client.ping()
    except (RedisError, OSError, ValueError) as error:
        raise CommandError(
            f"the Redis that `{REDIS_URL}` names does not answer: {error}; start it, or unset the variable to have an "
            "embedded one"
        ) from None


def _pull(settings: Settings, bundle: Bundle, console: Console, *, is_demo: bool) -> None:
    """Fetch the weights of each model. Where some cannot be had, only the demo insists, and on its own alone.

    Raises:
        FlowError: MODEL_UNAVAILABLE, what the demo needs is missing.
    """
    for model in list_models(settings):
        try:
            pull_weights(settings, [model.name], console)
        except FlowError as error:
            users = users_of(model.name, bundle.plans)
            if is_demo and FLOW in users:
                raise
            console.print(f"  warning: {error}", markup=False, soft_wrap=True)
            if users:
                console.print(f"  until then these flows fail: {', '.join(users)}", markup=False, soft_wrap=True)


@contextmanager
def _only_one(data: Path) -> Generator[None]:
    """Hold a data folder for this process; the kernel lets go of it when the process ends.

    Raises:
        CommandError: another `promptflow up` has it.
    """
    make_data_folder(data)
    with (data / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"another `promptflow up` already runs on `{data.parent}`; stop it first") from None
        yield


def _from_here(path: Path) -> str:
    """A path as one would type it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
