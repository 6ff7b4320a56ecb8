"""Schedules in the database: declared, fired once per tick, paused, changed, removed, listed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from penstock.schedules import Schedule
from penstock.store import Store
from tests.support.postgres import Database

MINUTE = timedelta(minutes=1)


def schedule(name: str = "nightly", **values: Any) -> Schedule:
    given: dict[str, Any] = {"task": "work", "every": timedelta(hours=1), "queue": "q", "args": {"n": 1}} | values
    return Schedule(name=name, **given)


def make_due(db: psycopg.Connection[Any], *, ago: timedelta = timedelta(seconds=1), name: str = "nightly") -> datetime:
    """Move a schedule's next tick into the past; returns the time."""
    row = db.execute(
        "UPDATE penstock.schedule SET next_at = date_trunc('second', clock_timestamp()) - %s WHERE name = %s "
        "RETURNING next_at",
        [ago, name],
    ).fetchone()
    assert row is not None
    due: datetime = row[0]
    return due.astimezone(UTC)


def jobs(db: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return db.execute("SELECT task, args, headers FROM penstock.job ORDER BY id").fetchall()


def states(db: psycopg.Connection[Any]) -> list[str]:
    return [row[0] for row in db.execute("SELECT state FROM penstock.schedule_tick ORDER BY schedule, tick")]


async def test_a_due_tick_makes_one_job_with_the_declared_arguments(pg: Database, db):
    """And its headers name the schedule and the tick; the next one is in the future."""
    async with Store(pg.url) as store:
        assert await store.schedules.declare("q", "code", [schedule(every=timedelta(seconds=1))]) == {
            "nightly": "declared"
        }
        tick = make_due(db)
        fired = await store.schedules.fire_due()
        assert (fired.schedules, fired.jobs, fired.failed) == (1, 1, 0)
        [row] = await store.schedules.list()
    [(task, args, headers)] = jobs(db)
    assert (task, args, headers["penstock-schedule"]) == ("work", {"n": 1}, "nightly")
    assert tick <= datetime.fromisoformat(headers["penstock-tick"]) <= row.now
    assert row.last_tick is not None
    assert row.next_at is not None
    assert row.last_tick < row.next_at
    assert states(db) == ["enqueued"]


async def test_a_removed_schedule_fires_no_more_and_comes_again_without_an_old_tick(pg: Database, db):
    """Removed in code and declared again: another generation, its history kept, no tick of before."""
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [schedule()])
        assert await store.schedules.declare("q", "code", []) == {"nightly": "removed"}
        make_due(db)
        assert (await store.schedules.fire_due()).jobs == 0
        assert await store.schedules.run("q", "nightly") is None
        assert await store.schedules.declare("q", "code", [schedule()]) == {"nightly": "declared"}
        assert (await store.schedules.fire_due()).jobs == 0
        [row] = await store.schedules.list()
        assert row.generation == 3
        assert await store.schedules.run("q", "nightly") == row.fired + 1
        assert await store.schedules.pause(row, paused=True) == (True, True)
        make_due(db)
        assert (await store.schedules.fire_due()).jobs == 0
    assert states(db) == ["enqueued"]
