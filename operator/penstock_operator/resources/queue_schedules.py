"""The schedules of one queue, as the database lists them and as a JobQueue shows them. Pure.

A database is trusted no more than its answers are bounded: texts and numbers have limits here, and the process of the
database computes recurrences and upcoming ticks, because an expression comes from a tenant.

Times are seconds since the epoch on the database's clock. `clock_offset` converts them to the operator's monotonic
clock, so that a wrong clock of the operator's node moves no pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from penstock.plural import plural
from penstock.scaling.types import UpcomingTick

MAX_SHOWN: Final = 10
"""Schedules of a queue whose upcoming ticks the status shows."""
SHOWN_TICKS: Final = 5
MAX_NAMED: Final = 3
"""Names in one sentence."""

Sentence = Annotated[str, Meta(max_length=1024)]
Instant = Annotated[float, Meta(ge=-1e11, le=1e12)]


class QueueSchedule(msgspec.Struct, array_like=True, frozen=True):
    """One declared schedule.

    Attributes:
        name: unique in the queue.
        in_code: declared by the App of the workers, not by the JobQueue.
        recurrence: in plain language; empty where it is not shown.
        local_time: the next tick in its time zone, for explanations.
        next_at: when it ticks next; None if it does not.
        upcoming: its next ticks, at most five; empty where they are not shown.
        lead_seconds: how long before a tick workers should be ready.
        paused: by its declaration or by a person.
        follows_previous: the job of the last tick exists, and the next one is skipped or waits for it.
        last_error: why its ticks could not fire; None if they could.
        unknown_task: its task, if workers of the queue have registered and none of them has it; otherwise empty.
        generation: of its row; each change of the declaration raises it.
    """

    name: Annotated[str, Meta(max_length=63)]
    in_code: bool
    recurrence: Annotated[str, Meta(max_length=256)]
    local_time: Annotated[str, Meta(max_length=128)]
    next_at: Instant | None
    upcoming: Annotated[list[Instant], Meta(max_length=SHOWN_TICKS)]
    lead_seconds: Annotated[int, Meta(ge=0, le=3600)]
    paused: bool
    follows_previous: bool
    last_error: Sentence | None
    unknown_task: Annotated[str, Meta(max_length=255)] = ""
    generation: Annotated[int, Meta(ge=0, le=2**53)] = 0


class ScheduleFigures(msgspec.Struct, array_like=True, frozen=True):
    """Figures of one schedule that change without a decision; for metrics.

    `late` is seconds since it should have succeeded, or since a tick that nobody fired; None if it is in time.
    `waiting` counts ticks that wait for the job of an earlier one; `last_tick` is the last that was decided.
    """

    fired: Annotated[int, Meta(ge=0, le=2**53)]
    late: Annotated[float, Meta(ge=0, le=1e12)] | None
    last_success_at: Instant | None
    waiting: Annotated[int, Meta(ge=0, le=2**53)] = 0
    last_tick: Instant | None = None

    def has_skipped(self, before: ScheduleFigures) -> bool:
        """Whether a tick was decided since, and neither made a job nor waits for one."""
        return self.last_tick != before.last_tick and self.fired + self.waiting <= before.fired + before.waiting


@dataclass(frozen=True, slots=True)
class ScheduleProblem:
    """A schedule that is not declared, or not as it is written: reason and sentence."""

    schedule: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSchedules:
    """All schedules of one queue.

    Args:
        schedules: by name.
        problems: of the JobQueue's entries.
        overriding: names that code declares as well.
        clock_offset: seconds to subtract from a time to get the operator's monotonic clock.
    """

    schedules: tuple[QueueSchedule, ...] = ()
    problems: tuple[ScheduleProblem, ...] = ()
    overriding: tuple[str, ...] = ()
    clock_offset: float = field(default=0.0, compare=False)

    def ticks(self) -> tuple[UpcomingTick, ...]:
        """The next tick of each schedule that is not paused, on the operator's monotonic clock."""
        return tuple(
            UpcomingTick(
                schedule=one.name,
                at=one.next_at - self.clock_offset,
                lead_seconds=float(one.lead_seconds),
                local_time=one.local_time,
                follows_previous=one.follows_previous,
            )
            for one in self.schedules
            if one.next_at is not None and not one.paused
        )

    def by_next_tick(self) -> list[QueueSchedule]:
        """Those that tick, the next one first."""
        ticking = [one for one in self.schedules if one.next_at is not None and not one.paused]
        return sorted(ticking, key=lambda one: (one.next_at, one.name))

    def verdict(self) -> tuple[str, str, str]:
        """Status, reason and message of the condition SchedulesValid."""
        failing = [ScheduleProblem(one.name, "TickFailed", _failed(one)) for one in self.schedules if one.last_error]
        unknown = [one for one in self.schedules if one.unknown_task and not one.paused]
        problems = [
            *self.problems,
            *failing,
            *(ScheduleProblem(one.name, "UnknownTask", _without_task(one)) for one in unknown),
        ]
        if problems:
            more = f" {plural(len(problems) - 1, 'more schedule has', 'more schedules have')} a problem."
            return "False", problems[0].reason, problems[0].message + (more if len(problems) > 1 else "")
        if not self.schedules:
            return "True", "NoSchedules", "The queue has no schedules."
        if self.overriding:
            names = _names(self.overriding)
            return "True", "DeclaredInCode", f"Declared in code as well: {names}; the JobQueue's declaration wins."
        declared = plural(len(self.schedules), "schedule is", "schedules are")
        return "True", "Valid", f"{declared} declared."


def schedules_status(found: QueueSchedules, stamp: Any) -> dict[str, Any] | None:
    """`status.schedules`; None without schedules. `stamp` writes seconds since the epoch as the API does."""
    if not found.schedules:
        return None
    made: dict[str, Any] = {"count": len(found.schedules)}
    ticking = found.by_next_tick()
    if ticking:
        made["next"] = {"name": ticking[0].name, "time": stamp(ticking[0].next_at)}
        made["upcoming"] = [
            {"name": one.name, "recurrence": one.recurrence, "nextTicks": [stamp(at) for at in one.upcoming]}
            for one in ticking[:MAX_SHOWN]
        ]
    return made


def _failed(one: QueueSchedule) -> str:
    return f"The ticks of schedule {one.name} cannot fire, retrying every minute: {one.last_error}."


def _without_task(one: QueueSchedule) -> str:
    return f"No worker of the queue has the task {one.unknown_task!r} of schedule {one.name}; its jobs wait for one."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED:,} more"
