from __future__ import annotations

from promptflow_server.supervisor.restart import DeathRecord, RestartPolicy

POLICY = RestartPolicy(max_quick_deaths=4, steady_s=10, first_delay_s=0.5, max_delay_s=1.5)


def after(*lives_s: float) -> DeathRecord:
    record = DeathRecord()
    for lived_s in lives_s:
        record = record.with_death(lived_s, POLICY)
    return record


def test_the_delay_doubles_with_each_quick_death_up_to_a_limit() -> None:
    assert [after(*[1.0] * deaths).delay_s(POLICY) for deaths in (1, 2, 3, 4)] == [0.5, 1.0, 1.5, 1.5]


def test_quick_deaths_in_a_row_end_in_giving_up() -> None:
    assert [after(*[9.9] * deaths).is_hopeless(POLICY) for deaths in (1, 2, 3, 4)] == [False, False, False, True]


def test_a_long_life_begins_a_new_row() -> None:
    assert after(1, 1, 1, 10).quick_deaths == 1
    assert not after(1, 1, 1, 10, 1, 1).is_hopeless(POLICY)
