"""envoy.yaml with the ports and paths of one running instance put in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from promptflow_server.gateway.envoy import GatewayError
from promptflow_server.gateway.xds import CONFIG_FILE, FILTER

CONFIG_NAME = "envoy.yaml"

_PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens: a host name or an IP address, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Instance:
    """What differs between running gateways: where it listens, where the servers are, where the transcoder's
    configuration appears (`xds_folder`, absolute)."""

    gateway: Address
    admin: Address
    metrics: Address
    servers: tuple[Address, ...]
    xds_folder: Path


def source_config(project: Path) -> Path:
    """The envoy.yaml of a project, else the one that PromptFlow ships.

    Raises:
        GatewayError: this installation has none.
    """
    # Beside the package in a wheel, at the root of the repository in a source tree.
    candidates = (
        project / CONFIG_NAME,
        _PACKAGE / "shipped" / CONFIG_NAME,
        _PACKAGE.parents[1] / CONFIG_NAME,
    )
    for path in candidates:
        if path.is_file():
            return path
    raise GatewayError(f"this installation has no `{CONFIG_NAME}`; install PromptFlow anew")


def derive_config(source: Path, instance: Instance) -> bytes:
    """The configuration of `instance`, as JSON: Envoy's YAML reader takes some bare words for booleans.

    Raises:
        GatewayError: `source` cannot be read, or lacks one of the places that differ between instances.
    """
    try:
        document: Any = yaml.safe_load(source.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GatewayError(f"cannot read `{source}`: {' '.join(str(error).split())}") from None
    try:
        _put_in(document, instance)
    except (KeyError, IndexError, TypeError, StopIteration) as error:
        raise GatewayError(
            f"`{source}` is not shaped as the shipped `{CONFIG_NAME}`: {_missing(error)}; "
            "keep its listeners `gateway` and `metrics`, clusters `flows` and `admin`, and filter `transcoder`"
        ) from None
    return json.dumps(document, indent=1).encode()


def _put_in(document: Any, instance: Instance) -> None:
    document["admin"]["address"] = _socket_address(instance.admin)
    resources = document["static_resources"]
    gateway = _named(resources["listeners"], "gateway")
    gateway["address"] = _socket_address(instance.gateway)
    _named(resources["listeners"], "metrics")["address"] = _socket_address(instance.metrics)
    _set_endpoints(_named(resources["clusters"], "flows"), instance.servers)
    _set_endpoints(_named(resources["clusters"], "admin"), [instance.admin])
    filters = gateway["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    source = _named(filters, FILTER)["config_discovery"]["config_source"]["path_config_source"]
    source["path"] = str(instance.xds_folder / CONFIG_FILE)
    source["watched_directory"] = {"path": str(instance.xds_folder)}


def _set_endpoints(cluster: Any, addresses: Sequence[Address]) -> None:
    endpoints = [{"endpoint": {"address": _socket_address(address)}} for address in addresses]
    cluster["load_assignment"]["endpoints"] = [{"lb_endpoints": endpoints}]


def _socket_address(address: Address) -> dict[str, Any]:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _named(items: Any, name: str) -> dict[str, Any]:
    for item in cast("list[dict[str, Any]]", items):
        if item["name"] == name:
            return item
    raise KeyError(name)


def _missing(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else "something else stands in its place"
