"""What a JobQueue shows of its schedules: condition, next ticks, bounds."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from penstock_operator.jobqueue.status import stamp
from penstock_operator.resources.queue_schedules import (
    QueueSchedule,
    QueueSchedules,
    ScheduleProblem,
    schedules_status,
)

NIGHTLY = QueueSchedule(
    "nightly", False, "at 09:00, UTC", "09:00 UTC", 86_400.0, [86_400.0, 172_800.0], 30, False, True, None
)


def of(*schedules: QueueSchedule, **changes: Any) -> QueueSchedules:
    return QueueSchedules(schedules=schedules, **changes)


def test_the_status_shows_the_next_tick_and_at_most_ten_schedules():
    """The one that ticks first comes first; paused ones are counted only."""
    many = [replace(NIGHTLY, name=f"s{number:02}", next_at=86_400.0 + number) for number in range(30)]
    shown = schedules_status(of(*reversed(many), replace(NIGHTLY, name="paused", next_at=1.0, paused=True)), stamp)
    assert shown is not None
    assert shown["count"] == 31
    assert shown["next"] == {"name": "s00", "time": "1970-01-02T00:00:00Z"}
    assert [one["name"] for one in shown["upcoming"]] == [f"s{number:02}" for number in range(10)]
    assert shown["upcoming"][0] == {
        "name": "s00",
        "recurrence": "at 09:00, UTC",
        "nextTicks": ["1970-01-02T00:00:00Z", "1970-01-03T00:00:00Z"],
    }


def test_without_schedules_nothing_is_shown():
    """A queue with none has no block in its status."""
    assert schedules_status(of(), stamp) is None
    assert schedules_status(of(replace(NIGHTLY, paused=True)), stamp) == {"count": 1}


def test_ticks_leave_out_what_does_not_tick():
    """Paused, or over."""
    over, paused = replace(NIGHTLY, name="over", next_at=None), replace(NIGHTLY, name="paused", paused=True)
    (tick,) = of(NIGHTLY, over, paused, clock_offset=86_000.0).ticks()
    assert (tick.schedule, tick.at, tick.lead_seconds, tick.follows_previous) == ("nightly", 400.0, 30.0, True)


def test_the_offset_of_the_clocks_is_no_change():
    """It is measured at each list, and must not cause a reconciliation."""
    assert of(NIGHTLY, clock_offset=1.0) == of(NIGHTLY, clock_offset=2.0)


def test_the_verdict_names_the_first_problem_and_counts_the_others():
    """A refused entry before a tick that fails, and both before what is only worth knowing."""
    refused = (ScheduleProblem("mars", "UnknownTimeZone", "no such zone."),)
    failing = replace(NIGHTLY, last_error="InvalidSchedule: no such date")
    assert of().verdict() == ("True", "NoSchedules", "The queue has no schedules.")
    assert of(NIGHTLY).verdict() == ("True", "Valid", "1 schedule is declared.")
    assert of(NIGHTLY, overriding=("a", "b", "c", "d", "e")).verdict() == (
        "True",
        "DeclaredInCode",
        "Declared in code as well: a, b, c and 2 more; the JobQueue's declaration wins.",
    )
    assert of(failing).verdict()[1] == "TickFailed"
    assert of(failing, problems=refused).verdict() == (
        "False",
        "UnknownTimeZone",
        "no such zone. 1 more schedule has a problem.",
    )


def test_a_task_that_no_worker_has_is_named_unless_the_schedule_is_paused():
    """After what cannot tick at all: its jobs wait, and the next release may have the task."""
    unknown = replace(NIGHTLY, unknown_task="shop:close")
    assert of(unknown).verdict() == (
        "False",
        "UnknownTask",
        "No worker of the queue has the task 'shop:close' of schedule nightly; its jobs wait for one.",
    )
    failing = replace(NIGHTLY, last_error="InvalidSchedule: no such date")
    assert of(unknown, failing).verdict()[1] == "TickFailed"
    assert of(replace(unknown, paused=True)).verdict()[1] == "Valid"
