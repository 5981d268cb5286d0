"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from promptflow_core.settings import Settings


def test_variables_are_read_and_strangers_left_alone() -> None:
    settings = Settings.from_environment(
        {"PROMPTFLOW_EXECUTORS": "a:B,,c:D", "PROMPTFLOW_OFFLINE": "1", "PROMPTFLOW_ELSE": "x", "HOME": "/nowhere"}
    )
    assert settings.executors == ("a:B", "c:D")
    assert settings.offline
    assert settings.data_dir.is_absolute()
    assert settings.files_dir == settings.data_dir / "files"


def test_the_cache_is_in_the_home_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.from_environment({}).cache_dir == tmp_path / ".cache" / "promptflow"


UNFIT = [
    *({"REDIS_URL": url} for url in ("", "http://x", "redis://h:abc", "redis://:p@[bad", "redis://", "unix://")),
    {"OFFLINE": "perhaps"},
    {"MAX_FILE_BYTES": "0"},
    {"INTRA_OP_THREADS": "x"},
]


REDIS_URLS = [
    "redis://127.0.0.1:6379/0",
    "rediss://:secret@redis.example:6380/1",
    "unix://:p@/a/redis.sock",
    "redis://h",
]


@pytest.mark.parametrize("url", REDIS_URLS)
def test_every_form_of_a_redis_url_is_taken(url: str) -> None:
    assert Settings.from_environment({"PROMPTFLOW_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("variables", UNFIT)
def test_a_value_that_does_not_fit_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Settings.from_environment({f"PROMPTFLOW_{name}": value for name, value in variables.items()})
