"""Schedules of a database that moves, and what must hold for them in the copy."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from tests.postgres.schedules.schedule_calls import DECLARATION, FIRE, SETTLE, decision, declared

DECLARE_AT = "SELECT penstock.declare_schedules(%s, 'code', %s::jsonb)"
TICK = "2026-01-05T03:00:00Z"


def add_schedules(db: psycopg.Connection[Any]) -> None:
    """Of queue `nights`: the job of `nightly` is live and its next tick waits; a person has paused `weekly`."""
    both = [DECLARATION | {"name": name, "overlap": "Queue", "next_at": TICK} for name in ("nightly", "weekly")]
    db.execute(DECLARE_AT, ["nights", json.dumps(both)])
    db.execute("SELECT penstock.pause_schedule('nights', 'weekly', true, 1, NULL)")
    for _ in range(2):
        db.execute("UPDATE penstock.schedule SET next_at = coalesce(last_tick + interval '1 h', %s)", [TICK])
        db.execute(FIRE, decision(db))


def schedules_go_on(db: psycopg.Connection[Any]) -> None:
    """Of `add_schedules`, in the copy: no tick fires again, the pause lasts, and what waits starts after the job."""
    query = "SELECT name, paused_by IS NOT NULL, last_tick - interval '1 h' = %s FROM penstock.schedule ORDER BY 1"
    assert db.execute(query, [TICK]).fetchall() == [("nightly", False, True), ("weekly", True, None)]
    states = "SELECT state FROM penstock.schedule_tick ORDER BY tick"
    assert db.execute(states).fetchall() == [("enqueued",), ("waiting",)]
    db.execute("UPDATE penstock.schedule SET next_at = %s", [TICK])
    assert db.execute(FIRE, decision(db)).fetchall() == [(1, 0)], "its ticks were fired before the move"
    db.execute("DELETE FROM penstock.job AS j USING penstock.schedule_tick AS t WHERE j.id = t.job")
    db.execute(SETTLE)
    assert db.execute(states).fetchall() == [("gone",), ("enqueued",)]
    db.execute(DECLARE_AT, ["other", declared(name="added")])
    assert db.execute("SELECT id > 2 FROM penstock.schedule WHERE name = 'added'").fetchone() == (True,)
    db.execute("DELETE FROM penstock.job AS j USING penstock.schedule_tick AS t WHERE j.id = t.job")
