"""When maintenance settles the jobs of ticks: not while a process starts, then within a second after they finish."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.schedules import Schedule
from penstock.store import Store
from penstock.store.schedule_chores import SETTLE_SECONDS, ScheduleChores
from tests.support.postgres import Database


class Clock:
    """Monotonic seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_first_pass_leaves_settlement_to_the_second(pg: Database, db):
    """A worker that starts with a backlog claims first; the tick's job is settled one second later."""
    clock = Clock()
    async with Store(pg.url) as store:
        declared = Schedule(name="nightly", queue="q", task="work", every=timedelta(hours=1))
        await store.schedules.declare("q", "code", [declared])
        await store.schedules.run("q", "nightly")
        db.execute("DELETE FROM penstock.job")
        chores = ScheduleChores(store.schedules, clock)

        assert await chores.fire() == pytest.approx(SETTLE_SECONDS)
        assert state(db) == "enqueued"

        clock.now += SETTLE_SECONDS
        await chores.fire()
        assert state(db) == "gone"


async def test_a_tick_that_fires_brings_the_next_settlement_forward(pg: Database, db):
    """Without open ticks the chore rests for a minute; a tick that fires ends that rest."""
    clock = Clock()
    async with Store(pg.url) as store:
        chores = ScheduleChores(store.schedules, clock)
        await chores.fire()
        clock.now += SETTLE_SECONDS
        await chores.fire()
        declared = Schedule(name="nightly", queue="q", task="work", every=timedelta(hours=1))
        await store.schedules.declare("q", "code", [declared])
        db.execute("UPDATE penstock.schedule SET next_at = date_trunc('hour', clock_timestamp())")

        assert await chores.fire() <= SETTLE_SECONDS
        db.execute("DELETE FROM penstock.job")
        clock.now += SETTLE_SECONDS
        await chores.fire()
        assert state(db) == "gone"


def state(db) -> str:
    [(name,)] = db.execute("SELECT state FROM penstock.schedule_tick").fetchall()
    return str(name)
