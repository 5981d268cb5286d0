"""The program that each child begins as: ties its life to the supervisor's, then becomes the command.

A program of its own (`python -I -S tether.py SUPERVISOR COMMAND...`) rather than code between fork and exec: the
supervisor has threads, and code after a fork may find their locks held.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(supervisor: int, command: list[str]) -> None:
    """Become `command`, killed by the kernel when the thread that started us ends.

    SIGKILL, since what runs here survives it by design, and nobody is left who could insist.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The supervisor may have ended before the line above took hold.
    if os.getppid() == supervisor:
        os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
