"""The functions of queue.lua against a model, in random order, with zombies: nothing lost, nothing recorded twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from promptflow_workers.dispatch.functions import FunctionLibrary

P = "pf:{q}:"
LIBRARY = FunctionLibrary.versioned("pf1", files("promptflow_workers.dispatch").joinpath("queue.lua").read_text())
OWNERS, WORKERS = ("p1", "p2"), ("w1", "w2", "w3")
SLOTS = 2
# So long a beat that no gap is ever noticed: every death counts at once.
LEASE_MS, BEAT_MS, GRACE_MS = 60_000, 10**12, 60_000

HandOff = tuple[str, str]


@dataclass(slots=True)
class ModelCall:
    owner: str
    epoch: int
    state: str = "w"
    worker: str = ""
    token: str = ""
    losses: int = 0
    result: bytes = b""


@dataclass(slots=True)
class Model:
    """What must be so: calls by id, live workers, and what each owner was told, in order."""

    calls: dict[str, ModelCall] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    order: dict[str, int] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)
    told: dict[str, list[bytes]] = field(default_factory=lambda: {owner: [] for owner in OWNERS})
    lost: int = 0
    refused: int = 0

    def of(self, worker: str) -> list[str]:
        return [call_id for call_id, call in self.calls.items() if call.worker == worker]

    def wait(self, call_id: str) -> None:
        call = self.calls[call_id]
        call.state, call.worker, call.token = "w", "", ""
        self.waiting = sorted([*self.waiting, call_id], key=self.order.__getitem__)

    def finish(self, call_id: str, result: bytes) -> None:
        call = self.calls[call_id]
        call.state, call.worker, call.result = "d", "", result
        self.told[call.owner].append(result)


class QueueMachine(RuleBasedStateMachine):
    client: Any  # redis-py types replies as awaitable or not
    hand_offs: Bundle[HandOff] = Bundle("hand_offs")

    def __init__(self) -> None:
        super().__init__()
        self.client.flushall()
        self.model = Model()
        self.puts = 0
        self.tokens: list[int] = []

    def call(self, function: str, *arguments: Any) -> Any:
        return self.client.execute_command("FCALL", LIBRARY.qualified(function), 1, P, *arguments)

    def claimed(self, worker: str, reply: list[bytes]) -> list[HandOff]:
        rows = [(reply[i].decode(), reply[i + 1].decode()) for i in range(0, len(reply), 3)]
        for (call_id, token), body in zip(rows, reply[2::3], strict=True):
            call = self.model.calls[call_id]
            assert body == f"body of {call_id}".encode()
            assert self.model.waiting.pop(0) == call_id, "first come, first served"
            call.state, call.worker, call.token = "r", worker, token
            self.tokens.append(int(token))
        return rows

    @rule(
        target=hand_offs,
        owner=st.sampled_from(OWNERS),
        epoch=st.integers(0, 2),
        number=st.integers(0, 3),
        to_worker=st.booleans(),
    )
    def put(self, owner: str, epoch: int, number: int, to_worker: bool) -> Any:
        call_id = f"x/{number}"
        worker = "w1" if to_worker else ""
        has_room = to_worker and "w1" in self.model.live and len(self.model.of("w1")) < SLOTS
        reply = self.call("put", owner, worker, call_id, epoch, f"body of {call_id}")
        call = self.model.calls.get(call_id)
        if call is None:
            self.puts += 1
            self.model.order[call_id] = self.puts
            call = self.model.calls[call_id] = ModelCall(owner, epoch)
            if has_room:
                call.state, call.worker, call.token = "r", "w1", reply[1].decode()
                self.tokens.append(int(call.token))
            else:
                self.model.wait(call_id)
        elif epoch >= call.epoch:
            call.owner, call.epoch = owner, epoch
            if call.state == "d":
                self.model.told[owner].append(call.result)
        is_theirs = to_worker and call.worker == "w1"
        assert reply == ([call_id.encode(), call.token.encode()] if is_theirs else [])
        return (call_id, call.token) if is_theirs else multiple()

    @rule(worker=st.sampled_from(WORKERS))
    def beat(self, worker: str) -> None:
        self.model.live.add(worker)
        _, *mine = self.call("beat", worker, SLOTS, LEASE_MS, BEAT_MS, GRACE_MS)
        theirs = {call_id: self.model.calls[call_id].token for call_id in self.model.of(worker)}
        assert dict(zip(mine[::2], mine[1::2], strict=True)) == {k.encode(): v.encode() for k, v in theirs.items()}

    @rule(target=hand_offs, worker=st.sampled_from(WORKERS), count=st.integers(1, SLOTS))
    def claim(self, worker: str, count: int) -> Any:
        reply = self.call("claim", worker, count)
        if worker not in self.model.live:
            assert reply is None
            return multiple()
        expected = min(count, len(self.model.waiting))
        assert len(reply) == 3 * expected
        return multiple(*self.claimed(worker, reply))

    @rule(
        target=hand_offs,
        worker=st.sampled_from(WORKERS),
        hand_off=hand_offs,
        count=st.integers(0, 2),
        number=st.integers(),
    )
    def done(self, worker: str, hand_off: HandOff, count: int, number: int) -> Any:
        """With a token that may have been taken away long ago, or been used before."""
        call_id, token = hand_off
        call = self.model.calls.get(call_id)
        result = f"result {number} of {call_id}".encode()
        if call is not None and call.state == "r" and call.token == token:
            self.model.finish(call_id, result)
        elif call is None or call.token != token:
            self.model.refused += 1
        reply = self.call("done", worker, count, call_id, token, result)
        return multiple(*self.claimed(worker, reply or []))

    @rule(hand_off=hand_offs)
    def back(self, hand_off: HandOff) -> None:
        call_id, token = hand_off
        self.call("back", call_id, token)
        call = self.model.calls.get(call_id)
        if call is not None and call.state == "r" and call.token == token:
            self.model.wait(call_id)

    @rule(worker=st.sampled_from(WORKERS), witness=st.sampled_from(WORKERS))
    def die(self, worker: str, witness: str) -> None:
        """Its lease runs out, with all it can hold, and the next beat of another notices."""
        if worker == witness or worker not in self.model.live:
            return
        self.claimed(worker, self.call("claim", worker, SLOTS))
        self.client.zadd(P + "workers", {worker: 1})
        self.model.live.add(witness)
        self.model.live.discard(worker)
        self.call("beat", witness, SLOTS, LEASE_MS, BEAT_MS, GRACE_MS)
        lost: list[str] = []
        for call_id in self.model.of(worker):
            call = self.model.calls[call_id]
            call.losses += 1
            if call.losses < 3:
                self.model.wait(call_id)
            else:
                lost.append(call_id)
        for call_id in lost:
            self.model.lost += 1
            result = self.client.hget(P + "c:" + call_id, "result")
            assert isinstance(result, bytes)
            decoded = msgspec.msgpack.decode(result)
            assert (decoded["call_id"], decoded["error"]["reason"]) == (call_id, "WORKER_LOST")
            self.model.finish(call_id, result)

    @rule(worker=st.sampled_from(WORKERS))
    def leave(self, worker: str) -> None:
        self.call("leave", worker)
        self.model.live.discard(worker)
        for call_id in self.model.of(worker):
            self.model.wait(call_id)

    @rule(number=st.integers(0, 3))
    def cancel(self, number: int) -> None:
        call_id = f"x/{number}"
        self.call("cancel", call_id)
        if self.model.calls.pop(call_id, None) is not None and call_id in self.model.waiting:
            self.model.waiting.remove(call_id)

    @rule(number=st.integers(0, 3))
    def ack(self, number: int) -> None:
        call_id = f"x/{number}"
        self.call("ack", call_id)
        if call_id in self.model.calls and self.model.calls[call_id].state == "d":
            del self.model.calls[call_id]

    @invariant()
    def every_call_is_in_exactly_one_place(self) -> None:
        calls = self.model.calls
        assert [call_id.decode() for call_id in self.client.zrange(P + "wait", 0, -1)] == self.model.waiting
        for worker in WORKERS:
            found = {k.decode(): v.decode() for k, v in self.client.hgetall(P + "f:" + worker).items()}
            assert found == {call_id: calls[call_id].token for call_id in self.model.of(worker)}
        finished = {call_id.decode() for call_id in self.client.zrange(P + "done", 0, -1)}
        assert finished == {call_id for call_id, call in calls.items() if call.state == "d"}
        stored = {key.decode().removeprefix(P + "c:") for key in self.client.keys(P + "c:*")}
        assert stored == set(calls)

    @invariant()
    def owners_were_told_each_result_once_and_again_when_they_asked(self) -> None:
        for owner in OWNERS:
            entries = self.client.xrange(P + "R:" + owner)
            told = [value for _, fields in entries for value in fields.values()]
            assert sorted(told) == sorted(self.model.told[owner])

    @invariant()
    def tokens_only_grow(self) -> None:
        assert self.tokens == sorted(set(self.tokens))

    @invariant()
    def counters_are_exact(self) -> None:
        counters = self.client.hgetall(P + "m")
        assert int(counters.get(b"lost", 0)) == self.model.lost
        assert int(counters.get(b"refused", 0)) == self.model.refused
        live, waiting, _ = self.call("depth")
        assert (live, waiting) == (len(self.model.live), len(self.model.waiting))


@pytest.fixture
def client(flushed_redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(flushed_redis_url) as connection:
        try:
            connection.execute_command("FUNCTION", "LOAD", LIBRARY.code)
        except redis.ResponseError as error:
            assert "already exists" in str(error)
        yield connection


def test_no_order_of_events_loses_or_doubles_a_call(client: redis.Redis) -> None:
    machine = type("BoundMachine", (QueueMachine,), {"client": client})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
