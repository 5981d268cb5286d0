"""Who may publish."""

from __future__ import annotations

import pytest

from promptflow_core.errors import FlowError
from promptflow_server.services.publishing import require_publisher

TOKEN = "s3cret"  # of no server
GOOD, BAD = {"authorization": f"Bearer {TOKEN}"}, {"authorization": "Bearer other"}
PROXIED = {"x-forwarded-for": "127.0.0.1"}
CASES = {
    "this machine": ("ipv4:127.0.0.1:50000", {}, True),
    "this machine by IPv6": ("ipv6:%5B::1%5D:50000", {}, True),
    "this machine by IPv6, mapped": ("ipv6:[::ffff:127.0.0.1]:50000", {}, True),
    "a socket of this machine": ("unix:/tmp/x", {}, True),
    "another machine": ("ipv4:10.0.0.7:50000", {}, False),
    "another machine by IPv6": ("ipv6:[2001:db8::1]:50000", {}, False),
    "nobody knows who": ("", {}, False),
    "through a gateway": ("ipv4:127.0.0.1:50000", PROXIED, False),
    "another machine with the token": ("ipv4:10.0.0.7:50000", GOOD, True),
    "through a gateway with the token": ("ipv4:127.0.0.1:50000", PROXIED | GOOD, True),
    "a wrong token": ("ipv4:10.0.0.7:50000", BAD, False),
    "this machine with a wrong token": ("ipv4:127.0.0.1:50000", BAD, False),
}


@pytest.mark.parametrize("name", CASES)
def test_who_may_publish(name: str) -> None:
    peer, metadata, may = CASES[name]
    if may:
        require_publisher(peer, metadata, TOKEN)
        return
    with pytest.raises(FlowError) as caught:
        require_publisher(peer, metadata, TOKEN)
    assert caught.value.record.reason == "CALLER_REFUSED"


def test_an_empty_token_opens_nothing() -> None:
    with pytest.raises(FlowError):
        require_publisher("ipv4:10.0.0.7:1", {"authorization": "Bearer "}, "")
