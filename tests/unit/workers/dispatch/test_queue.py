"""Time and size in the functions of a queue; their order of events is tested by test_queue_machine."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptflow_core.errors import FlowError, Reason
from promptflow_core.records import CallResult
from promptflow_workers.dispatch.link import Link
from promptflow_workers.dispatch.queue import Job, Lease, Queue, pages

LEASE = Lease(beat_ms=2000, lease_ms=8000, grace_ms=2500)
P = "pf:{q}:"


@pytest.fixture
def queue(link: Link) -> Queue:
    return Queue(link, "q")


async def hand_over(queue: Queue, worker: str, *call_ids: str) -> list[Job]:
    await queue.beat(worker, len(call_ids), LEASE)
    await queue.put("p1", [(call_id, 0, b"body") for call_id in call_ids])
    return await queue.claim(worker, len(call_ids)) or []


async def end_lease(link: Link, worker: str) -> None:
    await link.execute("ZADD", P + "workers", 1, worker)


async def end_quiet(link: Link) -> None:
    await link.execute("HDEL", P + "m", "quiet")


async def test_a_dead_workers_calls_go_to_the_next(link: Link, queue: Queue) -> None:
    [job] = await hand_over(queue, "w1", "x/1")
    await queue.beat("w2", 4, LEASE)
    await end_quiet(link)
    await end_lease(link, "w1")
    await queue.beat("w2", 4, LEASE)
    [again] = await queue.claim("w2", 4) or []
    assert (again.id, again.body, again.token > job.token) == ("x/1", b"body", True)


async def test_the_third_death_of_a_worker_ends_its_call_and_give_backs_do_not_count(link: Link, queue: Queue) -> None:
    await hand_over(queue, "w0", "x/1")
    for number in range(1, 4):
        await queue.leave(f"w{number - 1}", patience_s=1.0)
        await queue.beat(f"w{number}", 1, LEASE)
        [job] = await queue.claim(f"w{number}", 1) or []
        await queue.back([job])
        [job] = await queue.claim(f"w{number}", 1) or []
        assert await queue.replies("p1", "0-0") == []
        await end_quiet(link)
        await end_lease(link, f"w{number}")
        await queue.beat("witness", 0, LEASE)
    [(_, [kind, payload])] = await queue.replies("p1", "0-0")
    result = msgspec.msgpack.decode(payload, type=CallResult)
    assert (kind, result.call_id) == (b"r", "x/1")
    assert result.error is not None
    assert (result.error.reason, result.error.is_retryable) == (Reason.WORKER_LOST, True)
    assert (await queue.depth()).waiting == 0


async def test_nobody_is_reaped_right_after_a_time_in_which_nobody_could_beat(link: Link, queue: Queue) -> None:
    await hand_over(queue, "w1", "x/1")
    await queue.beat("w2", 4, LEASE)
    await end_quiet(link)
    await end_lease(link, "w1")
    long_ago = (await queue.beat("w3", 0, LEASE)).now_ms - 2 * LEASE.beat_ms - 1
    # That beat has reaped w1; the outage comes now, and everybody's lease ends in it.
    [job] = await queue.claim("w2", 4) or []
    await link.execute("HSET", P + "m", "beat", long_ago)
    await end_lease(link, "w2")
    await queue.beat("w3", 0, LEASE)
    assert (await queue.beat("w2", 4, LEASE)).jobs == {job.token: "x/1"}


async def test_the_calls_of_a_worker_whose_connection_is_gone_are_taken_early(link: Link, queue: Queue) -> None:
    await hand_over(queue, "w1", "x/1")
    now_ms = (await queue.beat("w2", 4, LEASE)).now_ms
    lease_ends = int(await link.execute("ZSCORE", P + "workers", "w1"))
    assert lease_ends - now_ms <= LEASE.grace_ms
    stays = int(await link.execute("ZSCORE", P + "workers", "w2"))
    assert stays - now_ms == LEASE.lease_ms


async def test_a_worker_that_was_given_up_cannot_claim_before_it_beats(queue: Queue) -> None:
    await queue.put("p1", [("x/1", 0, b"body")])
    assert await queue.claim("w1", 1) is None
    await queue.beat("w1", 1, LEASE)
    assert len(await queue.claim("w1", 1) or []) == 1


async def test_epochs_follow_the_clock_where_the_counter_lost_its_last_writes(link: Link, queue: Queue) -> None:
    [first] = await hand_over(queue, "w1", "x/1")
    await queue.cancel(["x/1"])
    await link.execute("HSET", P + "m", "token", first.token - 5000)
    [second] = await hand_over(queue, "w1", "x/1")
    assert second.token >= first.token


async def test_a_worker_that_takes_nothing_does_not_count(queue: Queue) -> None:
    await queue.beat("loading", 0, LEASE)
    await queue.beat("serving", 2, LEASE)
    assert (await queue.depth()).workers == 1
    await queue.beat("serving", 0, LEASE)
    await queue.beat("loading", 2, LEASE)
    assert (await queue.depth()).workers == 1


async def test_what_redis_refuses_is_a_typed_error(link: Link, queue: Queue) -> None:
    await link.execute("SET", P + "R:p1", "no stream")
    with pytest.raises(FlowError, match=r"refuses `replies` of the queue `q`: .*WRONGTYPE") as caught:
        await queue.replies("p1", "0-0")
    assert caught.value.record.reason is Reason.INTERNAL


async def test_large_calls_are_claimed_in_pages(queue: Queue) -> None:
    await queue.beat("w1", 10, LEASE)
    body = bytes(1 << 20)
    await queue.put("p1", [(f"x/{number}", 0, body) for number in range(10)])
    claimed = [job.id for _ in range(3) for job in await queue.claim("w1", 10) or []]
    assert claimed == [f"x/{number}" for number in range(10)]


async def test_replies_come_in_pages_and_what_was_read_is_dropped(link: Link, queue: Queue) -> None:
    jobs = await hand_over(queue, "w1", *(f"x/{number}" for number in range(10)))
    for job in jobs:
        await queue.done("w1", 0, [(job, bytes(1 << 20))])
    read: list[tuple[str, list[bytes]]] = []
    while page := await queue.replies("p1", read[-1][0] if read else "0-0"):
        assert len(page) < 10
        read += page
    assert len(read) == 10
    assert await link.execute("XLEN", P + "R:p1") == 1


async def test_results_of_thousands_of_calls_fit_one_answer(queue: Queue) -> None:
    jobs = await hand_over(queue, "w1", *(f"x/{number:04}" for number in range(3000)))
    await queue.done("w1", 0, [(job, b"result") for job in jobs])
    entries = await queue.replies("p1", "0-0")
    assert sum(len(fields) for _, fields in entries) == 2 * 3000


async def test_nothing_is_left_of_a_run_or_call_that_is_over(link: Link, queue: Queue) -> None:
    [call] = await hand_over(queue, "w1", "x/1")
    await queue.put("", [("run", 0, b"")])
    [run] = await queue.claim("w1", 1) or []
    await queue.done("w1", 0, [(call, b"result"), (run, b"")])
    await queue.ack(["x/1"])
    await queue.leave("w1", patience_s=1.0)
    assert sorted(await link.execute("KEYS", "*")) == [b"pf:{q}:R:p1", b"pf:{q}:m"]
    assert await link.execute("PTTL", P + "R:p1") > 0


async def test_a_result_that_nobody_acknowledges_ends_by_itself(link: Link, queue: Queue) -> None:
    [call] = await hand_over(queue, "w1", "x/1")
    await queue.done("w1", 0, [(call, b"result")])
    assert await link.execute("PTTL", P + "c:x/1") > 23 * 3600 * 1000


@given(sizes=st.lists(st.integers(0, 6 << 20), max_size=600))
def test_pages_keep_order_and_limits(sizes: list[int]) -> None:
    split = list(pages(sizes, lambda size: size))
    assert [size for page in split for size in page] == sizes
    assert all(len(page) <= 256 and (len(page) == 1 or sum(page) <= 4 << 20) for page in split)
    assert all(page for page in split)
