"""A whole PromptFlow in processes of its own: what `promptflow up` starts, on free ports, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
PORTS = 5
START_S = 90.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class System:
    """Addresses of a running system, and its processes."""

    project: Path
    port_base: int
    supervisor: subprocess.Popen[bytes]

    @property
    def http(self) -> str:
        """The public edge: REST, SSE, grpc-web and gRPC."""
        return f"http://127.0.0.1:{self.port_base}"

    @property
    def edge(self) -> str:
        """The same, as a gRPC target."""
        return f"127.0.0.1:{self.port_base}"

    @property
    def grpc(self) -> str:
        """The server itself."""
        return f"127.0.0.1:{self.port_base + 1}"

    def pids(self, role: str) -> list[int]:
        """Processes of the system whose command line has `role` as an argument: `worker`, `server`."""
        return [pid for pid in _descendants(self.supervisor.pid) if role in _command(pid)]


@contextmanager
def running_system(project: Path, *, executors: str = "", workers: int = 1) -> Iterator[System]:
    """Start a system on a project, wait until it serves, stop it and see that nothing of it is left."""
    port_base = free_ports(PORTS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PROMPTFLOW_EXECUTORS": executors}
    command = [sys.executable, "-m", "promptflow_server.cli", "up", "--project", str(project)]
    command += ["--port-base", str(port_base), "--workers", str(workers)]
    log = project / "up.log"
    with log.open("wb") as output:
        supervisor = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    system = System(project, port_base, supervisor)
    try:
        _wait_until_serving(system, log)
        yield system
    finally:
        _stop(system)


def copy_project(source: Path, target: Path) -> Path:
    """The product's own flows and those of `source`, as a project that a test may change."""
    flows = target / "flows"
    flows.mkdir(parents=True)
    stubs(target).mkdir(parents=True)
    for path in {*(ROOT / "flows").glob("*.yaml"), *(source / "flows").glob("*.yaml")}:
        shutil.copy(path, flows)
    return target


def stubs(project: Path) -> Path:
    """Where a project's generated Python goes; it is written where this folder exists."""
    return project / "clients" / "python"


def processes_naming(*words: str) -> list[int]:
    """Processes whose command line has every one of `words` in it."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if all(word in "\0".join(_command(pid)) for word in words)]


def free_ports(count: int) -> int:
    """The first of `count` neighbouring ports of loopback that nobody uses now."""
    # Below the range from which the kernel takes the local ports of connections.
    for base in range(20000 + os.getpid() * count % 10000, 32000, count):
        if all(_is_free(base + offset) for offset in range(count)):
            return base
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_serving(system: System, log: Path) -> None:
    deadline = time.monotonic() + START_S
    url = f"{system.http}/api/v1/document-insight/health"
    while time.monotonic() < deadline:
        if system.supervisor.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2).json().get("serving"):
                return
        except (httpx.HTTPError, ValueError):
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the system does not serve:\n{log.read_text('utf-8', errors='replace')[-4000:]}")


def _stop(system: System) -> None:
    processes = _descendants(system.supervisor.pid)
    system.supervisor.send_signal(signal.SIGTERM)
    try:
        system.supervisor.wait(STOP_S)
    except subprocess.TimeoutExpired:
        system.supervisor.kill()
        system.supervisor.wait()
        raise
    deadline = time.monotonic() + 5
    while left := [*filter(_exists, processes), *_processes_of(system.project)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"orphans: {[_command(pid) for pid in left]}")
        time.sleep(0.05)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _processes_of(project: Path) -> list[int]:
    """Processes that name the data folder: the embedded Redis and its guard, which detach from their parent."""
    return processes_naming(str(project / ".promptflow"))


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = list[int](), [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
