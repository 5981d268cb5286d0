from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.server.supervisor.stubs import (
    DIES_ONCE,
    DOOMED,
    PARENT,
    SILENT,
    STEADY,
    STUBBORN,
    await_end,
    stub_part,
    told,
)

from promptflow_server.supervisor.keeper import PartFailedError
from promptflow_server.supervisor.part import PartChange, PartEvent
from promptflow_server.supervisor.restart import RestartPolicy
from promptflow_server.supervisor.supervisor import Supervisor

QUICK = RestartPolicy(max_quick_deaths=3, first_delay_s=0.01, max_delay_s=0.02)
STARTING, READY, DIED = PartChange.STARTING, PartChange.READY, PartChange.DIED
STOPPING, STOPPED, KILLED = PartChange.STOPPING, PartChange.STOPPED, PartChange.KILLED


async def nothing() -> None:
    """Work that is done at once."""


async def test_stages_start_each_when_the_one_before_is_ready_and_stop_backwards(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    stages = [[stub_part(name, STEADY, tmp_path)] for name in ("redis", "server", "envoy")]
    await Supervisor(stages, tmp_path, events.append).run(nothing)
    assert told(events) == [
        *[(name, change) for name in ("redis", "server", "envoy") for change in (STARTING, READY)],
        *[(name, change) for name in ("envoy", "server", "redis") for change in (STOPPING, STOPPED)],
    ]


async def test_parts_of_one_stage_start_together(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    stage = [stub_part(name, STEADY, tmp_path) for name in ("worker", "server")]
    await Supervisor([stage], tmp_path, events.append).run(nothing)
    assert told(events)[:2] == [("worker", STARTING), ("server", STARTING)]
    assert told(events)[-2:] == [("worker", STOPPING), ("worker", STOPPED)]


async def test_a_part_drains_before_it_is_told_to_end(tmp_path: Path) -> None:
    seen: list[str] = []
    events: list[PartEvent] = []

    async def drain() -> None:
        seen.append(events[-1].change)

    await Supervisor([[stub_part("x", STEADY, tmp_path, drain=drain)]], tmp_path, events.append).run(nothing)
    assert seen == [STOPPING]
    assert events[-1].change == STOPPED


async def test_a_part_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    part = stub_part("stubborn", STUBBORN, tmp_path, stop_within_s=0.1)
    await Supervisor([[part]], tmp_path, events.append).run(nothing)
    assert told(events)[-1] == ("stubborn", KILLED)
    assert "ignored SIGTERM" in events[-1].detail


async def test_what_a_part_left_behind_goes_with_it(tmp_path: Path) -> None:
    await Supervisor([[stub_part("parent", PARENT, tmp_path)]], tmp_path, lambda _: None).run(nothing)
    grandchild = int((tmp_path / "parent.log").read_text().split()[0])
    assert await asyncio.to_thread(await_end, grandchild)


async def test_a_part_that_dies_is_started_again_and_the_user_is_told(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    is_back = asyncio.Event()

    def report(event: PartEvent) -> None:
        events.append(event)
        if told(events).count(("frail", STARTING)) == 2 and event.change == READY:
            is_back.set()

    async def work() -> None:
        async with asyncio.timeout(8):
            await is_back.wait()

    await Supervisor([[stub_part("frail", DIES_ONCE, tmp_path)]], tmp_path, report, policy=QUICK).run(work)
    (death,) = [event for event in events if event.change == DIED]
    assert death.detail == "exit status 3; starts again in 0.0 s"
    assert told(events)[-1] == ("frail", STOPPED)


async def test_a_part_that_keeps_dying_is_given_up_with_its_last_words_and_all_others_stop(tmp_path: Path) -> None:
    events: list[PartEvent] = []
    parts = [stub_part("steady", STEADY, tmp_path), stub_part("doomed", DOOMED, tmp_path)]
    with pytest.raises(PartFailedError) as caught:
        await Supervisor([parts], tmp_path, events.append, policy=QUICK).run(nothing)
    assert str(caught.value) == (
        f"doomed died again and again (exit status 1); the end of `{tmp_path}/doomed.log`:"
        "\n  first line\n  no model `x`; run `promptflow models pull`"
    )
    assert told(events).count(("doomed", STARTING)) == 3
    assert told(events)[-1] == ("steady", STOPPED)


async def test_a_part_that_was_ready_once_is_started_again_however_often_it_dies(tmp_path: Path) -> None:
    flaky = "import sys, time; print('up', flush=True); time.sleep(0.3); sys.exit(1)"
    events: list[PartEvent] = []
    is_often = asyncio.Event()

    def report(event: PartEvent) -> None:
        events.append(event)
        if told(events).count(("flaky", READY)) > QUICK.max_quick_deaths:
            is_often.set()

    async def work() -> None:
        async with asyncio.timeout(8):
            await is_often.wait()

    await Supervisor([[stub_part("flaky", flaky, tmp_path)]], tmp_path, report, policy=QUICK).run(work)


async def test_a_part_that_fails_before_it_was_ready_cancels_the_work(tmp_path: Path) -> None:
    async def work() -> None:
        await asyncio.Event().wait()

    parts = [stub_part("steady", STEADY, tmp_path), stub_part("doomed", DOOMED, tmp_path)]
    with pytest.raises(PartFailedError):
        await Supervisor([parts], tmp_path, lambda _: None, policy=QUICK).run(work)


async def test_a_part_that_never_becomes_ready_counts_as_dead_however_long_it_tried(tmp_path: Path) -> None:
    part = stub_part("silent", SILENT, tmp_path, ready_within_s=0.1)
    policy = replace(QUICK, steady_s=0.01)
    with pytest.raises(PartFailedError, match=r"not ready after 0\.1 s.*\n.*it wrote nothing"):
        await Supervisor([[part]], tmp_path, lambda _: None, policy=policy).run(nothing)


async def test_the_failure_of_the_work_stops_everything_and_comes_out_as_it_is(tmp_path: Path) -> None:
    events: list[PartEvent] = []

    async def work() -> None:
        raise LookupError("the result is wrong")

    with pytest.raises(LookupError, match="the result is wrong"):
        await Supervisor([[stub_part("x", STEADY, tmp_path)]], tmp_path, events.append).run(work)
    assert told(events)[-1] == ("x", STOPPED)


async def test_the_logs_of_the_last_time_stay_beside_the_new_ones(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("last time\n")
    await Supervisor([[stub_part("x", STEADY, tmp_path)]], tmp_path, lambda _: None).run(nothing)
    assert (tmp_path / "x.log").read_text() == "up\n"
    assert (tmp_path / "x.previous.log").read_text() == "last time\n"
