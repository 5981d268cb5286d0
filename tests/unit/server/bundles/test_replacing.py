"""Whether one bundle may be served instead of another."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.unit.server.services.everything import compile_everything

from promptflow_codegen.bundle import Bundle
from promptflow_server.bundles.replacing import what_breaks


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return compile_everything()


def without(bundle: Bundle, flow: str) -> Bundle:
    return Bundle.of(bundle.descriptors, tuple(plan for plan in bundle.plans if plan.name != flow))


def moved(bundle: Bundle) -> Bundle:
    files = FileDescriptorSet.FromString(bundle.descriptors)
    for file in files.file:
        for message in file.message_type if file.package == bundle.plans[0].package else ():
            for field in message.field if message.name == "ExecuteRequest" else ():
                field.number += 500
    return replace(bundle, descriptors=files.SerializeToString())


@pytest.mark.parametrize("may_drop_flows", [True, False])
def test_the_same_breaks_nothing_and_a_number_that_moved_does(bundle: Bundle, may_drop_flows: bool) -> None:
    assert list(what_breaks(bundle, bundle, may_drop_flows=may_drop_flows)) == []
    found = list(what_breaks(bundle, moved(bundle), may_drop_flows=may_drop_flows))
    assert found
    assert all("breaks the wire" in each.description for each in found)


def test_a_flow_goes_only_where_somebody_asked_for_it(bundle: Bundle) -> None:
    name = bundle.plans[0].name
    rest = without(bundle, name)
    assert list(what_breaks(bundle, rest, may_drop_flows=True)) == []
    (gone,) = what_breaks(bundle, rest, may_drop_flows=False)
    assert gone.field.startswith(f"`{name}` v")
    assert "is gone" in gone.description
