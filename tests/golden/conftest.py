"""`pytest tests/golden --update-golden` writes what is generated now; the diff is then for people to judge."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the expected files instead of comparing them")


@pytest.fixture
def is_updating(request: pytest.FixtureRequest) -> bool:
    # Where the whole suite runs, this file is read too late for the option to exist.
    return bool(request.config.getoption("--update-golden", default=False))
