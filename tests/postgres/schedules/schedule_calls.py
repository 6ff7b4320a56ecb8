"""Calls of the functions of schedules, as SQL, for tests that step through them on connections of their own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from penstock.store.due_schedules import DueRow, ticks_due

FIRE = (
    "SELECT id, fired FROM penstock.schedule_fire(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::timestamptz[], "
    "%s::bigint[], %s::timestamptz[])"
)
DECLARE = "SELECT verdict FROM penstock.declare_schedules('q', %s, %s::jsonb)"
PAUSE = "SELECT present, done FROM penstock.pause_schedule('q', 'nightly', %s, %s, clock_timestamp() + interval '1 h')"
PAUSE_UNTIL = "SELECT present, done FROM penstock.pause_schedule('q', 'nightly', %s, %s, %s)"
RUN = "SELECT penstock.run_schedule('q', 'nightly')"
SETTLE = "SELECT settled, still_open FROM penstock.settle_schedules(100)"
HOUR = timedelta(hours=1)


DECLARATION: dict[str, Any] = {
    "name": "nightly",
    "spec": "@every 3600",
    "zone": "UTC",
    "jitter": 0,
    "lead": 0,
    "task": "work",
    "args": {},
    "missed": "Once",
    "missed_limit": 100,
    "overlap": "Allow",
    "suspended": False,
}
"""Columns of a declaration, without its next tick."""


def declared(**changes: Any) -> str:
    """A list of one declaration as JSON: `nightly`, each hour, its next tick in an hour; `changes` by column."""
    return json.dumps([DECLARATION | {"next_at": (datetime.now(UTC) + HOUR).isoformat()} | changes])


def make_due(db: psycopg.Connection[Any], **changes: Any) -> datetime:
    """Declare `nightly` with its tick an hour ago as the only one that is due; returns the tick."""
    db.execute(DECLARE, ["code", declared(**changes)])
    move_next(db, -HOUR / 2)
    (tick,) = db.execute("SELECT next_at FROM penstock.schedule").fetchone() or (None,)
    assert tick is not None
    due: datetime = tick
    return due.astimezone(UTC)


def move_next(db: psycopg.Connection[Any], by: timedelta) -> None:
    """Set the next tick to the database's time, moved by that much."""
    db.execute("UPDATE penstock.schedule SET next_at = date_trunc('second', clock_timestamp()) + %s", [by])


def decision(db: psycopg.Connection[Any]) -> list[Any]:
    """What a caller that reads now would send to FIRE: its parameters."""
    rows = db.execute("SELECT * FROM penstock.schedule_due(100)").fetchall()
    return parameters([DueRow(*row) for row in rows[:-1]])


def parameters(rows: list[DueRow]) -> list[Any]:
    """FIRE's parameters for what is due: of each schedule the tick that is due, and the next one."""
    decided = [ticks_due(row) for row in rows]
    return [
        [one.id for one in decided],
        [one.generation for one in decided],
        [one.seen for one in decided],
        [one.next for one in decided],
        [one.id for one in decided],
        [one.seen for one in decided],
    ]


def ticks(db: psycopg.Connection[Any]) -> list[tuple[datetime, str]]:
    """The decided ticks with their states, those of people left out."""
    return db.execute("SELECT tick, state FROM penstock.schedule_tick WHERE NOT manual ORDER BY tick").fetchall()


def job_count(db: psycopg.Connection[Any]) -> int:
    (count,) = db.execute("SELECT count(*) FROM penstock.job").fetchone() or (0,)
    return int(count)
