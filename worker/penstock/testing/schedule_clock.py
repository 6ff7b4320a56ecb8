"""`ScheduleClock`: the ticks of an App's schedules on a clock of the test's, without a database.

    with app.test_mode() as jobs:
        clock = ScheduleClock(app, datetime(2026, 3, 27, 8, tzinfo=UTC))
        clock.fire_next()                       # enqueues the job of the next tick, and goes there
        clock.advance(timedelta(days=1))        # enqueues those of a day
        clock.miss(timedelta(hours=6))          # nobody fires for six hours, then what `missed` says

Fires each tick once. No job takes time here, so ticks never overlap. A suspended schedule does not fire.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from penstock.errors import ConfigurationError, shown
from penstock.job import NewJob
from penstock.schedules import Schedule, due_ticks, ticks_after

MISSED_AFTER: Final = timedelta(minutes=1)
"""With `missed="Skip"`, a tick that is later than this does not fire; the same in schedule_fire.sql."""
_INSTANT: Final = timedelta(microseconds=1)


class ScheduledApp(Protocol):
    """What the clock needs of an App."""

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules of all tasks."""

    def enqueue_many(self, jobs: Iterable[NewJob], /) -> list[int]:
        """Enqueue jobs; returns their ids in order."""


class Tick(NamedTuple):
    """A tick that was fired: the schedule's name, its time in UTC, and the id of the job."""

    schedule: str
    at: datetime
    job: int


class ScheduleClock:
    """A virtual clock.

    Args:
        app: whose schedules; its jobs are enqueued as `App.enqueue_many` does.
        now: the clock's time, with a time zone.

    Raises:
        ConfigurationError: `now` has no time zone.
    """

    def __init__(self, app: ScheduledApp, now: datetime) -> None:
        if now.utcoffset() is None:
            raise ConfigurationError(f"ScheduleClock needs a datetime with a time zone, got {shown(now)}")
        self._app, self.now = app, now.astimezone(UTC)

    def fire_next(self, schedule: str | None = None) -> Tick:
        """Go to the next tick, of one schedule or of any, and enqueue its job.

        Raises:
            ConfigurationError: there is no such schedule, or no tick comes any more.
        """
        if schedule is not None and all(one.name != schedule for one in self._app.schedules):
            names = ", ".join(sorted(one.name for one in self._app.schedules)) or "none"
            raise ConfigurationError(f"there is no schedule {shown(schedule)}; the App has {names}")
        ours = [one for one in self._active() if schedule in {None, one.name}]
        ticks = [(ticks[0], one) for one in ours if (ticks := ticks_after(one, self.now, 1))]
        if not ticks:
            raise ConfigurationError(f"no tick comes after {self.now.isoformat()} of {schedule or 'any schedule'}")
        at, one = min(ticks, key=lambda tick: (tick[0], tick[1].name))
        self.now = at
        return self._fire([(at, one)])[0]

    def advance(self, by: timedelta) -> list[Tick]:
        """Go ahead and enqueue the jobs of all ticks on the way, in their order.

        Args:
            by: 0 and more.
        """
        until, ticks = self._until(by), list[tuple[datetime, Schedule]]()
        for one in self._active():
            at = self.now
            while (following := ticks_after(one, at, 1)) and following[0] <= until:
                at = following[0]
                ticks.append((at, one))
        self.now = until
        return self._fire(sorted(ticks, key=lambda tick: (tick[0], tick[1].name)))

    def miss(self, by: timedelta) -> list[Tick]:
        """Go ahead while nobody fires, and enqueue the jobs of the missed ticks that `missed` keeps, in their order.

        Args:
            by: 0 and more.
        """
        until, ticks = self._until(by), list[tuple[datetime, Schedule]]()
        for one in self._active():
            limit = one.missed_limit if one.missed == "All" else 1
            missed = due_ticks(one, self.now + _INSTANT, until, limit)
            if one.missed == "Skip":
                missed = [at for at in missed if at >= until - MISSED_AFTER]
            ticks += ((at, one) for at in missed)
        self.now = until
        return self._fire(sorted(ticks, key=lambda tick: (tick[0], tick[1].name)))

    def _until(self, by: timedelta) -> datetime:
        if by < timedelta(0):
            raise ConfigurationError(f"a ScheduleClock does not go back, got {by}")
        return self.now + by

    def _active(self) -> Iterable[Schedule]:
        return (one for one in self._app.schedules if not one.suspend)

    def _fire(self, ticks: list[tuple[datetime, Schedule]]) -> list[Tick]:
        jobs = self._app.enqueue_many(_job(one, at) for at, one in ticks)
        return [Tick(one.name, at, job) for (at, one), job in zip(ticks, jobs, strict=True)]


def _job(schedule: Schedule, at: datetime) -> NewJob:
    headers = {"penstock-schedule": schedule.name, "penstock-tick": at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return NewJob(
        task=schedule.task,
        args=json.dumps(dict(schedule.args)),
        queue=schedule.queue,
        priority=1 if schedule.priority is None else schedule.priority,
        max_attempts=schedule.max_attempts,
        headers=json.dumps(headers),
    )
