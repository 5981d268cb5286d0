"""The transcoder's configuration on disk, from which a running Envoy takes new flows.

Envoy reacts to a rename in the folder alone, and compares configurations as text: hence files of descriptors that are
named by their content, and never written in place. A candidate that Envoy would refuse changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptflow_server.gateway.envoy import validate
from promptflow_server.gateway.twins import EdgeContract

FILTER = "transcoder"
CONFIG_FILE = "transcoder.json"
KEPT_DESCRIPTORS = 4
MAX_ANSWER_BYTES = 64 << 20
"""What Envoy transcodes of one answer."""

_TYPES = "type.googleapis.com/envoy."
_HTTP_FILTERS = f"{_TYPES}extensions.filters.http"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration of the transcoder that Envoy would take, not yet put in place."""

    folder: Path
    descriptors: Path
    config: bytes
    is_new: bool = True
    """Whether its descriptors were written for it."""

    @property
    def is_in_place(self) -> bool:
        """Whether it is what Envoy was given last."""
        try:
            return (self.folder / CONFIG_FILE).read_bytes() == self.config
        except OSError:
            return False


def write_transcoder(contract: EdgeContract, folder: Path) -> Path:
    """Let Envoy serve `contract` from `folder`, and answer the descriptor file it reads. Blocking, about 0.1 s.

    Idempotent; a reader of the folder sees the old configuration or the new one, whole.

    Raises:
        GatewayError: Envoy would refuse it; what it serves stays as it is.
    """
    candidate = stage_transcoder(contract, folder)
    put_transcoder(candidate)
    return candidate.descriptors


def stage_transcoder(contract: EdgeContract, folder: Path) -> Candidate:
    """Write the descriptors into `folder` and ask Envoy whether it would serve them. Blocking, about 0.1 s.

    Raises:
        GatewayError: Envoy would refuse it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    digest = hashlib.sha256(contract.descriptors).hexdigest()[:16]
    descriptors = folder / f"flows-{digest}.pb"
    transcoder = transcoder_config(contract, descriptors)
    resource = {
        "@type": f"{_TYPES}config.core.v3.TypedExtensionConfig",
        "name": FILTER,
        "typed_config": transcoder,
    }
    config = json.dumps({"resources": [resource]}, indent=1).encode()
    candidate = Candidate(folder, descriptors, config, is_new=not descriptors.exists())
    if not candidate.is_new and candidate.is_in_place:
        return candidate
    if candidate.is_new:
        _replace(descriptors, contract.descriptors)
    try:
        _validate_candidate(transcoder, folder / f"candidate-{_own_name(digest)}.json")
    except BaseException:
        drop_transcoder(candidate)
        raise
    return candidate


def drop_transcoder(candidate: Candidate) -> None:
    """Leave nothing of a candidate that is not put; what others put stays."""
    if candidate.is_new and not candidate.is_in_place:
        candidate.descriptors.unlink(missing_ok=True)


def put_transcoder(candidate: Candidate) -> None:
    """Let Envoy take a candidate; where it took this one last, nothing changes."""
    # Refreshed, so that what is in use counts as recent.
    os.utime(candidate.descriptors)
    _replace(candidate.folder / CONFIG_FILE, candidate.config)
    _forget_old(candidate.folder)


def transcoder_config(contract: EdgeContract, descriptors: Path) -> Mapping[str, Any]:
    """The configuration of Envoy's transcoder for a contract whose descriptors lie in the file `descriptors`."""
    return {
        "@type": f"{_HTTP_FILTERS}.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptors),
        "services": list(contract.services),
        "convert_grpc_status": True,
        # Routing, and with it time-outs and buffers, stays with the path that the caller wrote.
        "match_incoming_request_route": True,
        "case_insensitive_enum_parsing": True,
        "query_param_unescape_plus": True,
        "max_response_body_size": MAX_ANSWER_BYTES,
        "print_options": {"preserve_proto_field_names": True, "always_print_primitive_fields": True},
        "request_validation_options": {
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
    }


def _validate_candidate(transcoder: Mapping[str, Any], path: Path) -> None:
    """Have Envoy load `transcoder` as an ordinary filter: `--mode validate` does not open discovered ones."""
    router = {"@type": f"{_HTTP_FILTERS}.router.v3.Router"}
    manager = {
        "@type": f"{_TYPES}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "candidate",
        "route_config": {"virtual_hosts": [{"name": "none", "domains": ["*"]}]},
        "http_filters": [
            {"name": FILTER, "typed_config": transcoder},
            {"name": "envoy.filters.http.router", "typed_config": router},
        ],
    }
    listener = {
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }
    path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}), "utf-8")
    try:
        validate(path)
    finally:
        path.unlink(missing_ok=True)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{_own_name(path.name)}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _own_name(name: str) -> str:
    """A name that no other writer has, in this process or another."""
    return f"{name}.{os.getpid()}.{secrets.token_hex(4)}"


def _forget_old(folder: Path) -> None:
    """Drop all but the last few descriptor files; Envoy may still read the ones before the newest."""
    by_age = sorted(folder.glob("flows-*.pb"), key=lambda path: path.stat().st_mtime_ns)
    for path in by_age[:-KEPT_DESCRIPTORS]:
        path.unlink(missing_ok=True)
