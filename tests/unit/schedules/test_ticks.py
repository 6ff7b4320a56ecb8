"""Ticks: the next ones and the due ones, with jitter, dates and intervals; properties on random schedules."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidSchedule
from penstock.schedules import Schedule, due_ticks, ticks_after

NOW = datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC)
CRONS = ("* * * * *", "*/7 * * * *", "0 9 * * MON-FRI", "30 2 * * *", "15 1-3 * * *", "0 0 1 * *", "@hourly")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")
JITTERS = {("nightly", "default"): 564, ("nightly", "q"): 556, ("hourly", "default"): 350}
"""Seconds of 600 by name and queue, from the first 8 bytes of the SHA-256 of "queue/name"."""
INSTANTS = st.integers(0, 94_000_000).map(lambda n: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=n))


def made(**values: Any) -> Schedule:
    return Schedule(**({"name": "n", "task": "t"} | values))


schedules = st.builds(
    made,
    name=st.sampled_from(["a", "b", "c"]),
    cron=st.sampled_from(CRONS),
    time_zone=st.sampled_from(ZONES),
    jitter_seconds=st.sampled_from([0, 5, 600]),
) | st.builds(
    made,
    every=st.integers(1, 100_000).map(lambda n: timedelta(seconds=n)),
    starts_at=st.none() | INSTANTS,
    jitter_seconds=st.sampled_from([0, 9]),
)


@given(schedules, INSTANTS)
def test_ticks_ascend_and_do_not_depend_on_where_one_starts(one, after):
    """Asked from the second tick on, it is the rest of the same list."""
    ticks = ticks_after(one, after, 5)
    assert ticks == sorted(set(ticks))
    assert all(tick > after for tick in ticks)
    for n, tick in enumerate(ticks[:4]):
        assert ticks_after(one, tick, 4 - n) == ticks[n + 1 :]
        assert ticks_after(one, tick - timedelta(microseconds=1), 1) == [tick]


@given(schedules, INSTANTS, st.integers(0, 40), st.integers(1, 6))
def test_due_ticks_are_the_last_of_all_that_came(one, first, ahead, limit):
    """Compared with a walk over all of them."""
    ticks = ticks_after(one, first - timedelta(microseconds=1), 40)
    now = ticks[min(ahead, len(ticks) - 1)] if ticks else first
    assert due_ticks(one, first, now, limit) == [tick for tick in ticks if tick <= now][-limit:]


def test_due_ticks_of_a_second_after_a_year_build_no_more_than_they_need():
    """Thirty million ticks came; the last hundred are asked for."""
    one = made(every=timedelta(seconds=1))
    found = due_ticks(one, NOW - timedelta(days=365), NOW, 100)
    assert found == [NOW - timedelta(seconds=99 - n) for n in range(100)]


def test_due_ticks_of_any_number_stay_within_the_years_of_a_datetime():
    """Ten thousand ticks of a year each would reach back to before the first year."""
    one = made(every=timedelta(days=366))
    assert due_ticks(one, NOW - timedelta(days=4000), NOW, 10_000) == ticks_after(one, NOW - timedelta(days=4000), 11)


def test_an_interval_ends_before_the_last_year_of_a_datetime():
    """Its ticks run out, without an error."""
    assert [tick.year for tick in ticks_after(made(every=timedelta(days=366)), NOW.replace(year=9997), 9)] == [
        9997,
        9998,
    ]


def test_jitter_does_not_depend_on_the_process_or_the_version():
    """Another value after a redeploy would move every tick, and fire some twice."""
    jitters = [made(name=n, queue=q, every=timedelta(1), jitter_seconds=600).jitter for n, q in JITTERS]
    assert jitters == [timedelta(seconds=n) for n in JITTERS.values()]


def test_jitter_takes_every_second_up_to_its_bound():
    """Both ends are among them."""
    drawn = {made(name=f"s{n}", every=timedelta(1), jitter_seconds=1).jitter for n in range(50)}
    assert drawn == {timedelta(0), timedelta(seconds=1)}


def test_jitter_is_the_same_for_the_same_queue_and_name_and_spreads_the_others():
    """Within its bound; without jitter there is none."""
    offsets = {made(name=f"s{n}", every=timedelta(1), jitter_seconds=600).jitter for n in range(200)}
    assert len(offsets) > 100
    assert timedelta(0) <= min(offsets) <= max(offsets) <= timedelta(seconds=600)
    one, same = made(every=timedelta(1), jitter_seconds=600), made(cron="@daily", jitter_seconds=600)
    assert one.jitter == same.jitter
    assert one.jitter != made(every=timedelta(1), jitter_seconds=600, queue="other").jitter


def test_dates_bound_the_ticks():
    """Both inclusive; after the end none comes."""
    start = datetime(2026, 3, 28, tzinfo=UTC)
    one = made(cron="@daily", starts_at=start, ends_at=start + timedelta(days=1))
    assert ticks_after(one, NOW, 5) == [start, start + timedelta(days=1)]
    assert ticks_after(one, start + timedelta(days=1), 5) == []


def test_an_interval_is_counted_from_its_start_or_from_1970():
    """A redeploy does not move it."""
    assert ticks_after(made(every=timedelta(minutes=5)), NOW, 1) == [datetime(2026, 3, 27, 12, 5, tzinfo=UTC)]
    start = datetime(2026, 3, 27, 12, 1, tzinfo=UTC)
    assert ticks_after(made(every=timedelta(minutes=5), starts_at=start), start, 1) == [start + timedelta(minutes=5)]


def test_a_time_without_a_zone_is_refused():
    """It could be any."""
    with pytest.raises(InvalidSchedule, match="time zone"):
        ticks_after(made(cron="@daily"), NOW.replace(tzinfo=None))


OUTAGES = [
    ({"cron": "* * * * *"}, 1000, timedelta(hours=60)),
    ({"cron": "*/5 * * * *"}, 1000, timedelta(days=7)),
    ({"cron": "@hourly"}, 100, timedelta(days=7)),
    ({"cron": "0 9 * * *"}, 1000, timedelta(days=40 * 365)),
    ({"cron": "0 9 * * MON-FRI", "time_zone": "Europe/Berlin"}, 1000, timedelta(days=40 * 365)),
    ({"every": timedelta(seconds=7)}, 1000, timedelta(days=365)),
]


@pytest.mark.parametrize(("recurrence", "limit", "outage"), OUTAGES, ids=str)
def test_due_ticks_walk_over_few_more_than_they_return(recurrence, limit, outage):
    """A policy that keeps a thousand missed ticks stops the event loop for no more than those."""
    found, steps = walked(made(**recurrence), outage, limit)
    assert len(found) == limit
    assert steps <= 1.5 * limit + 50


def test_due_ticks_of_a_month_long_ago_do_not_walk_over_all_of_it():
    """Every minute of January, asked for in November: the last ten of 44,640."""
    found, steps = walked(made(cron="* * * 1 *"), timedelta(days=2000), 10, now=NOW.replace(month=11))
    assert found == [datetime(2026, 1, 31, 23, 50 + n, tzinfo=UTC) for n in range(10)]
    assert steps < 1000


def walked(one: Schedule, outage: timedelta, limit: int, now: datetime = NOW) -> tuple[list[datetime], int]:
    """The due ticks, and how often the walk over ticks was resumed for them."""
    steps = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal steps
        steps += event == "call" and frame.f_code.co_name == "_ticks"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        found = due_ticks(one, now - outage, now, limit)
    finally:
        sys.setprofile(before)
    return found, steps
