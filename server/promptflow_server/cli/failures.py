"""What is expected to go wrong, in a line. All else is a bug, and its traceback is wanted."""

from __future__ import annotations

from pydantic import ValidationError

from promptflow_codegen.bundle import BundleError
from promptflow_codegen.languages.language import LanguageError
from promptflow_codegen.plugins import PluginError
from promptflow_codegen.project import ProjectError
from promptflow_codegen.write import WriteError
from promptflow_core.errors import FlowError
from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.supervisor.keeper import PartFailedError
from promptflow_server.supervisor.ports import PortsTakenError


class CommandError(Exception):
    """A command that cannot go on; the message says why, and what to do."""


_SAID_IN_FULL = (
    CommandError,
    ProjectError,
    WriteError,
    BundleError,
    LanguageError,
    PluginError,
    GatewayError,
    PartFailedError,
    PortsTakenError,
)


def explain(error: Exception) -> str | None:
    """What to tell about an expected failure; None: it was not expected."""
    match error:
        case _ if isinstance(error, _SAID_IN_FULL):
            return str(error)
        case FlowError():
            return f"{error} ({error.record.reason})"
        case ValidationError():
            return _settings_problem(error)
        case OSError() if error.strerror:
            return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        case _:
            return None


def _settings_problem(error: ValidationError) -> str:
    problems = [
        f"`PROMPTFLOW_{str(each['loc'][0]).upper() if each['loc'] else '?'}` is {each['input']!r}: {each['msg']}"
        for each in error.errors()
    ]
    return "; ".join(problems)
