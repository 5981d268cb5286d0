from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptflow_server.gateway.config import Address, Instance, derive_config, source_config
from promptflow_server.gateway.envoy import GatewayError, validate
from promptflow_server.gateway.twins import with_twins
from promptflow_server.gateway.xds import write_transcoder

ROOT = Path(__file__).parents[4]
SHIPPED = ROOT / "envoy.yaml"


def an_instance(folder: Path) -> Instance:
    return Instance(
        gateway=Address("0.0.0.0", 7000),
        admin=Address("127.0.0.1", 7002),
        metrics=Address("127.0.0.1", 7003),
        servers=(Address("10.0.0.1", 7001), Address("10.0.0.2", 7001)),
        xds_folder=folder,
    )


def test_the_shipped_configuration_validates_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    validate(Path("envoy.yaml"))


def test_a_derived_configuration_validates(echo_descriptors: bytes, tmp_path: Path) -> None:
    write_transcoder(with_twins(echo_descriptors), tmp_path)
    derived = tmp_path / "envoy.json"
    derived.write_bytes(derive_config(SHIPPED, an_instance(tmp_path)))
    validate(derived)


def test_ports_paths_and_servers_are_put_in(tmp_path: Path) -> None:
    text = derive_config(SHIPPED, an_instance(tmp_path)).decode()
    for port in ("8080", "50051", "9901", "9902"):
        assert f'"port_value": {port}' not in text
    assert [text.count(f'"port_value": {port}') for port in (7000, 7001, 7002, 7003)] == [1, 2, 2, 1]
    assert "no_flows" not in text
    assert f'"path": "{tmp_path}/transcoder.json"' in text


def test_nothing_else_is_changed(tmp_path: Path) -> None:
    instance = Instance(
        gateway=Address("127.0.0.1", 8080),
        admin=Address("127.0.0.1", 9901),
        metrics=Address("127.0.0.1", 9902),
        servers=(Address("127.0.0.1", 50051),),
        xds_folder=Path("server/promptflow_server/gateway/no_flows"),
    )
    assert json.loads(derive_config(SHIPPED, instance)) == yaml.safe_load(SHIPPED.read_text())


def without(*path: str | int) -> str:
    document: Any = yaml.safe_load(SHIPPED.read_text())
    place = document
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return yaml.safe_dump(document)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "cannot read"),
        ("", "not shaped as the shipped"),
        ("- a", "not shaped as the shipped"),
        (without("admin"), "it has no 'admin'"),
        (without("static_resources", "listeners", 0), "it has no 'gateway'"),
        (without("static_resources", "listeners", 1), "it has no 'metrics'"),
        (without("static_resources", "clusters", 0), "it has no 'flows'"),
    ],
)
def test_a_configuration_that_lacks_a_place_is_refused_by_name(tmp_path: Path, text: str, says: str) -> None:
    source = tmp_path / "envoy.yaml"
    source.write_text(text)
    with pytest.raises(GatewayError) as caught:
        derive_config(source, an_instance(tmp_path))
    assert says in str(caught.value)
    assert str(source) in str(caught.value)


def test_a_missing_configuration_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(GatewayError, match=r"cannot read .*absent\.yaml"):
        derive_config(tmp_path / "absent.yaml", an_instance(tmp_path))


def test_a_project_may_bring_its_own(tmp_path: Path) -> None:
    assert source_config(tmp_path) == SHIPPED
    own = tmp_path / "envoy.yaml"
    own.write_text("{}")
    assert source_config(tmp_path) == own


def test_the_verdict_of_envoy_is_one_line_with_its_reason(tmp_path: Path) -> None:
    config = tmp_path / "bad.json"
    config.write_text('{"static_resources": {"listeners": [{"nmae": "x"}]}}')
    with pytest.raises(GatewayError) as caught:
        validate(config)
    assert "nmae" in str(caught.value)
    assert "\n" not in str(caught.value)
