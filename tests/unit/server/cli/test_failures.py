from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from promptflow_codegen.bundle import BundleError
from promptflow_core.errors import FlowError, Reason
from promptflow_core.settings import Settings
from promptflow_server.cli.failures import CommandError, explain
from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.supervisor.keeper import PartFailedError
from promptflow_server.supervisor.ports import PortsTakenError


def invalid_settings() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Settings.from_environment({"PROMPTFLOW_MAX_FILE_BYTES": "lots"})
    return caught.value


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CommandError("no"), "no"),
        (BundleError("run `promptflow generate`"), "run `promptflow generate`"),
        (GatewayError("bad"), "bad"),
        (PortsTakenError("taken\nhint: x"), "taken\nhint: x"),
        (PartFailedError("server", "exit status 1", Path("s.log"), ["why"]), "the end of `s.log`:\n  why"),
        (FlowError(Reason.MODEL_UNAVAILABLE, "no weights"), "no weights (MODEL_UNAVAILABLE)"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (invalid_settings(), "`PROMPTFLOW_MAX_FILE_BYTES` is 'lots'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_expected_to_go_wrong_is_told_in_words(error: Exception, text: str) -> None:
    assert text in (explain(error) or "")


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), OSError("no number")])
def test_a_bug_is_left_to_its_traceback(error: Exception) -> None:
    assert explain(error) is None
