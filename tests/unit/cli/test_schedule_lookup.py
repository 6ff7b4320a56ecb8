"""How commands find schedules by name, and which ticks they show of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.cli.schedule_lookup import (
    find_schedule,
    in_zone,
    merged_ticks,
    plain_recurrence,
    schedule_state,
    schedules_of_queue,
    upcoming_ticks,
)
from penstock.errors import ConfigurationError, InvalidSchedule, PenstockError
from penstock.store.schedules import ScheduleRow

NOW = datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC)
"""Two days before daylight saving time starts in Berlin."""
DECLARED: dict[str, Any] = {
    "id": 1,
    "queue": "reports",
    "name": "morning",
    "source": "code",
    "generation": 1,
    "spec": "30 2 * * *",
    "zone": "Europe/Berlin",
    "starts_at": None,
    "ends_at": None,
    "jitter": 0,
    "lead_seconds": 0,
    "task": "send",
    "missed": "Once",
    "missed_limit": 100,
    "overlap": "Allow",
    "paused": False,
    "suspended": False,
    "paused_at": None,
    "paused_by": None,
    "next_at": datetime(2026, 3, 28, 1, 30, tzinfo=UTC),
    "last_tick": None,
    "last_job": None,
    "fired": 0,
    "last_success_at": None,
    "late": None,
    "last_error": None,
    "waiting": 0,
    "busy": False,
    "now": NOW,
}


def row(**values: Any) -> ScheduleRow:
    return ScheduleRow(**DECLARED | values)


def test_an_unknown_name_is_answered_with_near_ones():
    """Of schedules and of queues; a name that resembles none gets no suggestion."""
    rows = [row(), row(name="evening", queue="billing")]
    assert find_schedule(rows, "evening").queue == "billing"
    with pytest.raises(PenstockError, match=r"^there is no schedule 'mornin'; did you mean morning\?$"):
        find_schedule(rows, "mornin")
    with pytest.raises(PenstockError, match=r"^there is no schedule 'xyz'$"):
        find_schedule(rows, "xyz")
    with pytest.raises(PenstockError, match=r"^there is no queue 'report'; did you mean reports\?$"):
        schedules_of_queue(rows, "report")
    with pytest.raises(PenstockError, match=r"did you mean emails\?$"):
        schedules_of_queue(rows, "email", ["emails"])


def test_a_queue_without_schedules_is_not_unknown():
    """It has no rows; without a queue all rows are meant."""
    rows = [row(), row(queue="billing")]
    assert schedules_of_queue(rows, "emails", ["emails"]) == []
    assert schedules_of_queue(rows, "billing") == rows[1:]
    assert schedules_of_queue(rows, None) == rows


def test_a_name_of_several_queues_needs_the_queue():
    """The error lists them."""
    rows = [row(), row(queue="billing")]
    with pytest.raises(ConfigurationError, match="exists in the queues reports, billing: give --queue"):
        find_schedule(rows, "morning")


def test_ticks_follow_the_zone_through_a_skipped_hour():
    """02:30 does not exist on 29 March: the tick comes at 03:00, the end of the gap."""
    shown = [in_zone(row(), one.tick) for one in upcoming_ticks(row(), 3)]
    assert [one.isoformat() for one in shown if one] == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_ticks_start_at_the_stored_one():
    """After a clock step back nothing before it fires; a schedule that has ended has no tick."""
    ahead = datetime(2026, 3, 30, 0, 30, tzinfo=UTC)
    assert upcoming_ticks(row(next_at=ahead), 1)[0].tick == ahead
    assert upcoming_ticks(row(next_at=NOW - timedelta(hours=1), spec="@every 60", zone="UTC"), 1)[0].seconds == 30
    assert upcoming_ticks(row(next_at=None), 5) == []


def test_ticks_of_a_paused_schedule_are_those_after_a_resume():
    """Its stored tick is of before the pause."""
    paused = row(paused=True, paused_at=NOW, next_at=NOW - timedelta(days=9), spec="@every 60", zone="UTC")
    assert [one.seconds for one in upcoming_ticks(paused, 2)] == [30, 90]


def test_ticks_of_all_schedules_are_merged_by_time():
    """Paused, ended and unreadable ones are left out."""
    often = row(name="often", spec="@every 60", zone="UTC", next_at=NOW + timedelta(seconds=30))
    hourly = row(name="hourly", spec="0 * * * *", zone="UTC", next_at=NOW + timedelta(seconds=59 * 60 + 30))
    left_out = [
        row(name="paused", paused=True),
        row(name="ended", next_at=None),
        row(name="newer", spec="@moon", next_at=NOW),
    ]
    merged = merged_ticks([hourly, *left_out, often], 61)
    assert [one.name for one in merged].count("hourly") == 1
    assert len(merged) == 61
    assert [one.tick for one in merged] == sorted(one.tick for one in merged)
    assert {one.name for one in merged} == {"often", "hourly"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "active"),
        ({"next_at": None}, "ended"),
        ({"late": 90.0}, "late 1m 30s"),
        ({"late": 90.0, "last_error": "InvalidSchedule: zone"}, "failing"),
        ({"suspended": True, "paused": True}, "suspended"),
        ({"paused_at": NOW - timedelta(hours=2), "paused_by": "ann", "paused": True}, "paused 2h by ann"),
        (
            {"paused_at": NOW - timedelta(hours=2), "paused_by": "ann", "paused": True, "suspended": True},
            "paused 2h by ann, suspended",
        ),
    ],
)
def test_the_state_says_why_a_schedule_does_not_tick(values, expected):
    """The reason of a person comes first."""
    assert schedule_state(row(**values)) == expected


def test_a_row_that_cannot_be_read_is_listed_with_its_text():
    """As one of a newer version, or with a zone that this system does not know."""
    unknown = row(zone="Mars/Olympus")
    assert plain_recurrence(row()) == "at 02:30 every day, Europe/Berlin"
    assert plain_recurrence(unknown) == "30 2 * * *, Mars/Olympus (not readable by this version)"
    assert in_zone(unknown, NOW) == NOW
    with pytest.raises(InvalidSchedule):
        upcoming_ticks(unknown, 1)
