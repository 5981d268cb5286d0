"""The names in Redis, as `queue.lua` and its Python face must both know them."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from promptflow_core import keys


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        (keys.worker_channel("q", "w1"), "pf:{q}:in:w1"),
        (keys.replies("q", "p1"), "pf:{q}:R:p1"),
        (keys.queue("q"), "pf:{q}:"),
    ],
)
def test_a_queues_names_are_those_of_its_functions(name: str, spelled: str) -> None:
    assert name == spelled


def test_nothing_in_dispatch_spells_a_name_by_itself() -> None:
    for module in files("promptflow_workers.dispatch").iterdir():
        if module.name.endswith(".py"):
            assert not re.search(r"\"pf:|_keys\[0\]\}\w|queue\(\w+\)\}\w", module.read_text()), module.name
