"""The parent of the embedded Redis: starts it, starts it again after a crash, stops it when no user is left.

A program of its own (`python -I -S redis_guard.py DIRECTORY BINARY < configuration`) that imports little, since it
lives as long as the server. It returns at once and leaves a detached process behind; status 75 means that another
guard already serves this directory.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import NoReturn

_ALREADY_GUARDED = 75
_PR_SET_PDEATHSIG = 1
_FIRST_DELAY_S, _MAX_DELAY_S, _STEADY_S = 0.05, 2.0, 5.0
_STOP_S = 10.0


class _ServerEndedError(Exception):
    """Breaks the wait for the users' lock."""


def main(directory: str, binary: str, configuration: bytes) -> NoReturn:
    """Guard the server of `directory` until its last user has gone."""
    os.chdir(directory)
    guard_lock = os.open("guard.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(guard_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os._exit(_ALREADY_GUARDED)
    # The server keeps the lock too: after the death of a guard nobody starts a second one beside it.
    os.set_inheritable(guard_lock, True)
    if os.fork() != 0:
        os._exit(0)
    _serve(binary, configuration)


def _serve(binary: str, configuration: bytes) -> NoReturn:
    users_lock = os.open("users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    delay_s = _FIRST_DELAY_S
    while True:
        began = time.monotonic()
        server = _spawn(binary, configuration)
        signal.signal(signal.SIGTERM, partial(_stop_on_signal, server))
        try:
            signal.signal(signal.SIGCHLD, partial(_raise_if_ended, server))
            if os.waitpid(server, os.WNOHANG)[0] == 0:
                fcntl.flock(users_lock, fcntl.LOCK_EX)
                _stop(server)
        except (_ServerEndedError, ChildProcessError):
            pass
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _reap(server)
        delay_s = _FIRST_DELAY_S if time.monotonic() - began > _STEADY_S else min(_MAX_DELAY_S, delay_s * 2)
        time.sleep(delay_s)


def _spawn(binary: str, configuration: bytes) -> int:
    # The configuration is far smaller than a pipe's buffer, so it can be written before anyone reads.
    reader, writer = os.pipe()
    os.write(writer, configuration)
    os.close(writer)
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_server(binary, reader, guard)
    os.close(reader)
    return pid


def _become_server(binary: str, configuration: int, guard: int) -> NoReturn:
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # The guard may have ended before the line above took hold.
        if os.getppid() == guard:
            os.dup2(configuration, 0)
            os.execv(binary, [binary, "-"])  # noqa: S606
    finally:
        os._exit(127)


def _raise_if_ended(server: int, _signal: int, _frame: FrameType | None) -> None:
    # The same signal comes when a server is stopped and continued.
    if os.waitpid(server, os.WNOHANG)[0] != 0:
        raise _ServerEndedError


def _stop_on_signal(server: int, _signal: int, _frame: FrameType | None) -> NoReturn:
    _stop(server)


def _stop(server: int) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(server, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while os.waitpid(server, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.02)
        # It refuses to stop where it cannot write, for one where its folder was deleted.
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)
    os._exit(0)


def _reap(server: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(server, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.stdin.buffer.read())
