"""Who may publish."""

from __future__ import annotations

import pytest

from promptflow_core.errors import FlowError
from promptflow_server.services.flow_service import require_publisher

TOKEN = "s3cret"  # of no server
GOOD, BAD = {"authorization": f"Bearer {TOKEN}"}, {"authorization": "Bearer other"}
PROXIED = {"x-forwarded-for": "127.0.0.1"}
HERE, ELSEWHERE = "ipv4:127.0.0.1:50000", "ipv4:10.0.0.7:50000"
CASES = {
    "this machine": (HERE, {}, "", True),
    "this machine by IPv6": ("ipv6:%5B::1%5D:50000", {}, "", True),
    "this machine by IPv6, mapped": ("ipv6:[::ffff:127.0.0.1]:50000", {}, "", True),
    "a socket of this machine": ("unix:/tmp/x", {}, "", True),
    "another machine": (ELSEWHERE, {}, "", False),
    "another machine by IPv6": ("ipv6:[2001:db8::1]:50000", {}, "", False),
    "nobody knows who": ("", {}, "", False),
    "through a gateway": (HERE, PROXIED, "", False),
    "a token of nobody": (ELSEWHERE, {"authorization": "Bearer "}, "", False),
    "another machine with the token": (ELSEWHERE, GOOD, TOKEN, True),
    "through a gateway with the token": (HERE, PROXIED | GOOD, TOKEN, True),
    "this machine with the token": (HERE, GOOD, TOKEN, True),
    "this machine without the token that is set": (HERE, {}, TOKEN, False),
    "a wrong token": (ELSEWHERE, BAD, TOKEN, False),
    "this machine with a wrong token": (HERE, BAD, TOKEN, False),
}


@pytest.mark.parametrize("name", CASES)
def test_who_may_publish(name: str) -> None:
    peer, metadata, token, may = CASES[name]
    if may:
        require_publisher(peer, metadata, token)
        return
    with pytest.raises(FlowError) as caught:
        require_publisher(peer, metadata, token)
    assert caught.value.record.reason == "CALLER_REFUSED"
