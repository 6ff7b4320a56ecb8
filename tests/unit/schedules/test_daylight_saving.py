"""Daylight saving time, against an independent implementation: a walk over every minute of the zone's local clock.

A sample in the suite, around every change of the years 2025 to 2034 of ten zones; with PENSTOCK_SOAK every minute of
these ten years. The walk knows nothing of the product: it reads the wall clock of each minute with zoneinfo.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from penstock.schedules import Schedule, due_ticks, ticks_after

LONG = os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"}
ZONES = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "Australia/Lord_Howe",
    "Atlantic/Azores",
    "Africa/Casablanca",
    "Asia/Gaza",
    "Pacific/Chatham",
)
START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIXED = {
    "30 2 * * *": (lambda w: (w.hour, w.minute) == (2, 30)),
    "15 0,1,3 * * *": (lambda w: w.minute == 15 and w.hour in {0, 1, 3}),
    "0 0 * * *": (lambda w: (w.hour, w.minute) == (0, 0)),
    "0 2 * * SUN": (lambda w: (w.hour, w.minute) == (2, 0) and w.weekday() == 6),
}
ELAPSED = {
    "*/20 * * * *": (lambda w: w.minute % 20 == 0),
    "0 * * * *": (lambda w: w.minute == 0),
    "*/30 1-2 * * *": (lambda w: w.minute % 30 == 0 and w.hour in {1, 2}),
}


def changes(zone: ZoneInfo) -> list[datetime]:
    """The minutes, in UTC, from which another offset is valid."""
    found = list[datetime]()
    at = START
    while at < END:
        if at.astimezone(zone).utcoffset() != (at + 6 * HOUR).astimezone(zone).utcoffset():
            found.extend(
                at + n * MINUTE
                for n in range(361)
                if (at + n * MINUTE).astimezone(zone).utcoffset()
                != (at + (n - 1) * MINUTE).astimezone(zone).utcoffset()
            )
        at += 6 * HOUR
    return sorted(set(found))


def spans(zone: ZoneInfo) -> Iterator[tuple[datetime, datetime]]:
    """What is compared: five hours around every change, or everything."""
    if LONG:
        yield START, END
    else:
        yield from ((change - 5 * HOUR, change + 5 * HOUR) for change in changes(zone))


def walk(zone: ZoneInfo, low: datetime, high: datetime) -> dict[str, list[datetime]]:
    """The ticks in [low, high) by expression; of fixed times the skipped at the end of a gap, the doubled once."""
    found: dict[str, list[datetime]] = {cron: [] for cron in FIXED | ELAPSED}
    at = low - 4 * HOUR
    wall = at.astimezone(zone).replace(tzinfo=None)
    latest = wall - MINUTE
    while at < high:
        now = at.astimezone(zone).replace(tzinfo=None)
        skipped = [wall + n * MINUTE for n in range(1, max(0, int((now - wall) / MINUTE)))]
        again = now <= latest
        for cron, matches in FIXED.items():
            if (matches(now) and not again) or (skipped and any(map(matches, skipped))):
                found[cron].append(at)
        for cron, matches in ELAPSED.items():
            if matches(now):
                found[cron].append(at)
        wall, latest = now, max(latest, now)
        at += MINUTE
    return {cron: [tick for tick in ticks if tick >= low] for cron, ticks in found.items()}


@pytest.mark.timeout(0 if LONG else 600)
@pytest.mark.parametrize("name", ZONES)
def test_ticks_around_every_change_are_those_of_a_walk_over_the_local_clock(name):
    """For expressions of fixed local times and for those that follow elapsed time."""
    zone = ZoneInfo(name)
    compared = 0
    for low, high in spans(zone):
        for cron, expected in walk(zone, low, high).items():
            one = Schedule(name="n", task="t", cron=cron, time_zone=name)
            assert due_ticks(one, low, high - MINUTE, 10_000_000) == expected, (cron, low)
            compared += len(expected)
    assert compared > 100


def test_the_two_rules_in_berlin():
    """02:30 on 29 March 2026 is skipped, 02:30 on 25 October comes twice."""
    fixed = Schedule(name="n", task="t", cron="30 2 * * *", time_zone="Europe/Berlin")
    assert ticks_after(fixed, datetime(2026, 3, 28, 12, tzinfo=UTC), 1) == [datetime(2026, 3, 29, 1, tzinfo=UTC)]
    first, second = ticks_after(fixed, datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert second == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)
    hourly = Schedule(name="n", task="t", cron="0 * * * *", time_zone="Europe/Berlin")
    ticks = ticks_after(hourly, datetime(2026, 10, 24, 22, 30, tzinfo=UTC), 4)
    assert [b - a for a, b in itertools.pairwise(ticks)] == [HOUR] * 3


def test_times_that_a_gap_skips_together_fire_once():
    """02:00, 02:30 and 03:00 of 29 March 2026 are one instant in Berlin; the next days have each of them."""
    one = Schedule(name="n", task="t", cron="0,30 2,3 * * *", time_zone="Europe/Berlin")
    end = datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert ticks_after(one, end - HOUR, 4) == [end, end + HOUR / 2, end + 23 * HOUR, end + 23.5 * HOUR]


def test_a_day_that_a_zone_left_out_fires_at_its_end():
    """Samoa had no 30 December 2011."""
    one = Schedule(name="n", task="t", cron="0 9 30 12 *", time_zone="Pacific/Apia")
    assert ticks_after(one, datetime(2011, 12, 1, tzinfo=UTC), 1) == [datetime(2011, 12, 30, 10, tzinfo=UTC)]
