"""The sample flow's generated packages, once for all tests of clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

import pytest
from tests.unit.clients.sample import Sample, import_sample
from tests.unit.clients.scripted import Script, ScriptedServer, Story, serve


class Serve(Protocol):
    """Starts a server of the sample flow that follows scripts."""

    def __call__(
        self, scripts: Mapping[str, Sequence[Script]], address: str = ...
    ) -> AbstractAsyncContextManager[ScriptedServer]:
        """One server, until the context ends."""
        ...


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The client and the messages of the sample flow."""
    return import_sample(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def messages(sample: Sample) -> Any:
    """The sample flow's message classes."""
    return sample.messages


@pytest.fixture(scope="session")
def story(messages: Any) -> Story:
    """Events of a run of the sample flow."""
    return Story(messages)


@pytest.fixture(scope="session")
def served(messages: Any) -> Serve:
    """Start a server that follows scripts."""
    service = messages.DESCRIPTOR.services_by_name["SampleService"]
    return partial(serve, service)


@pytest.fixture
def unused_target() -> Iterator[str]:
    """An address where nobody answers, until a test serves there."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"
