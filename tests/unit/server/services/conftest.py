from __future__ import annotations

import pytest
from tests.unit.server.services.everything import compile_everything

from promptflow_codegen.bundle import Bundle
from promptflow_server.services.contracts import Contracts, FlowContract


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return compile_everything()


@pytest.fixture(scope="session")
def contracts(bundle: Bundle) -> Contracts:
    return Contracts.of(bundle)


@pytest.fixture(scope="session")
def contract(contracts: Contracts) -> FlowContract:
    return contracts.flows[0]
