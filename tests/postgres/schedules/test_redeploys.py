"""A redeploy that changes when a schedule recurs, around one of its ticks: no tick is lost, and none has two jobs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from penstock.schedules import Schedule, ticks_after
from penstock.store import Store
from tests.support.postgres import Database

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def daily(jitter_seconds: int = 0, **changes: Any) -> Schedule:
    """Each day at midnight in UTC, later by a constant part of the jitter."""
    given: dict[str, Any] = {"every": DAY, "jitter_seconds": jitter_seconds} | changes
    return Schedule(name="nightly", queue="q", task="work", **given)


JITTERED = daily(3600)
MIDNIGHT = "date_trunc('day', clock_timestamp(), 'UTC')"


def set_next(db: psycopg.Connection[Any], seconds: float = 0.0) -> datetime:
    """Make the tick of this midnight the next one, as fired that many seconds later; returns the midnight."""
    query = f"UPDATE penstock.schedule SET next_at = {MIDNIGHT} + %s RETURNING next_at - %s"
    late = timedelta(seconds=seconds)
    (at,) = db.execute(query.encode(), [late, late]).fetchone() or (None,)
    assert isinstance(at, datetime)
    return at


def next_of(db: psycopg.Connection[Any]) -> datetime:
    (at,) = db.execute("SELECT next_at FROM penstock.schedule").fetchone() or (None,)
    assert isinstance(at, datetime)
    return at


def jobs(db: psycopg.Connection[Any]) -> int:
    (count,) = db.execute("SELECT count(*) FROM penstock.job").fetchone() or (0,)
    return int(count)


async def test_jitter_that_is_added_after_a_tick_gives_it_no_second_job(pg: Database, db):
    """The next tick is that of the next day, by the new jitter."""
    assert JITTERED.jitter > timedelta(0)
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [daily()])
        midnight = set_next(db)
        assert (await store.schedules.fire_due()).jobs == 1
        assert await store.schedules.declare("q", "code", [JITTERED]) == {"nightly": "declared"}
        assert next_of(db) == midnight + DAY + JITTERED.jitter
        assert (await store.schedules.fire_due()).jobs == 0
    assert jobs(db) == 1


async def test_a_tick_that_jitter_still_puts_off_fires_when_the_jitter_is_removed(pg: Database, db):
    """It is due at once, for its nominal time has come."""
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [JITTERED])
        midnight = set_next(db, JITTERED.jitter.total_seconds())
        await store.schedules.declare("q", "code", [daily()])
        assert next_of(db) == midnight
        assert (await store.schedules.fire_due()).jobs == 1
        assert next_of(db) == midnight + DAY
    assert jobs(db) == 1


@pytest.mark.parametrize("changes", [{"every": HOUR}, {"every": None, "cron": "30 4 * * *"}], ids=["every", "cron"])
async def test_a_tick_that_is_due_fires_before_its_recurrence_changes(pg: Database, db, changes):
    """By the declaration that it was due by; then the new one says when the next tick comes."""
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [daily()])
        midnight = set_next(db)
        assert await store.schedules.declare("q", "code", [daily(**changes)]) == {"nightly": "declared"}
        [(tick,)] = db.execute("SELECT tick FROM penstock.schedule_tick").fetchall()
        assert tick == midnight
        (now,) = db.execute("SELECT clock_timestamp()").fetchone() or (None,)
        assert isinstance(now, datetime)
    assert [next_of(db)] == ticks_after(daily(**changes), now)
    assert jobs(db) == 1


async def test_a_due_tick_of_a_paused_or_failing_schedule_does_not_keep_it_from_changing(pg: Database, db):
    """Neither fires: a pause drops its ticks, and a schedule that fails may be mended by the change."""
    for mark in ("paused_at = clock_timestamp()", "retry_at = clock_timestamp() + interval '1 minute'"):
        async with Store(pg.url) as store:
            await store.schedules.declare("q", "code", [daily()])
            set_next(db)
            db.execute(f"UPDATE penstock.schedule SET {mark}".encode())
            assert await store.schedules.declare("q", "code", [daily(every=HOUR)]) == {"nightly": "declared"}
        db.execute("TRUNCATE penstock.schedule")
    assert jobs(db) == 0
