"""Plugins of protoc, each a program that is run by itself.

A plugin reads one request from standard input and answers on standard output, so that protoc has no part in it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.message import DecodeError

TIMEOUT_S = 120


class PluginError(Exception):
    """A plugin that cannot be run, or that refuses; the message is for whoever installed it."""


def run_plugin(command: Sequence[str | Path], request: CodeGeneratorRequest) -> Mapping[str, str]:
    """The files that a plugin makes, by the paths that it gives them.

    Raises:
        PluginError: it cannot be run, takes too long, refuses, or is no plugin.
    """
    program = " ".join(map(str, command))
    data = request.SerializeToString(deterministic=True)
    try:
        done = subprocess.run(  # noqa: S603  # programs that `languages.tools` found, never text of a flow
            command, input=data, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except OSError as error:
        raise PluginError(f"`{program}` cannot be run: {error.strerror}; install it again") from None
    except subprocess.TimeoutExpired:
        raise PluginError(f"`{program}` did not end within {TIMEOUT_S} s; run it again, or install it again") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip() or "nothing"
        raise PluginError(f"`{program}` ended with status {done.returncode} and says: {said}")
    try:
        answer = CodeGeneratorResponse.FromString(done.stdout)
    except DecodeError:
        raise PluginError(f"`{program}` answers what no plugin of protoc answers; install it again") from None
    if answer.error:
        raise PluginError(f"`{program}` says: {answer.error}")
    return {file.name: file.content for file in answer.file}
