"""What statements about schedules read of the jobs: those of their ticks, by key, however many other jobs are live."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.schedules.schedule_calls import DECLARE, FIRE, HOUR, SETTLE, decision, declared, move_next

LIVE = 20_000
TICKS = 20
"""Schedules with one live job each."""
READS = "SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = 'penstock.job'::regclass"
CALLS = {
    "settle": SETTLE,
    "list": "SELECT count(*) FROM penstock.list_schedules(NULL)",
    "due": "SELECT count(*) FROM penstock.schedule_due(100)",
    "run": "SELECT penstock.run_schedule('q', 's1')",
}


def reads(db: psycopg.Connection[Any], statement: str, values: Any = None) -> tuple[int, int]:
    """Sequential scans of the jobs, and rows read of them by an index, in one call."""
    with db.transaction():
        before = db.execute(READS).fetchone()
        db.execute(statement.encode(), values)
        after = db.execute(READS).fetchone()
    assert before is not None
    assert after is not None
    return after[0] - before[0], after[1] - before[1]


@pytest.fixture
def crowded(db: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Plans of this session were made on empty tables; then come 20,000 jobs, 20 of them of ticks, and no ANALYZE."""
    for table in ("job", "schedule", "schedule_tick"):
        db.execute(f"ALTER TABLE penstock.{table} SET (autovacuum_enabled = false)".encode())
    declarations = [declared(name=f"s{n}", overlap="Skip")[1:-1] for n in range(TICKS)]
    db.execute(DECLARE, ["code", f"[{', '.join(declarations)}]"])
    for statement in CALLS.values():
        for _ in range(6):
            with db.transaction(force_rollback=True):
                db.execute(statement.encode())
    db.execute("INSERT INTO penstock.queue (name) VALUES ('q') ON CONFLICT DO NOTHING")
    desk.enqueue(db, LIVE)
    move_next(db, -HOUR)
    db.execute(FIRE, decision(db))
    return db


def test_no_statement_about_schedules_reads_jobs_of_others(crowded):
    """No sequential scan, and no more rows than the jobs of ticks, each at most three times."""
    move_next(crowded, -HOUR / 2)
    seen = {name: reads(crowded, statement) for name, statement in CALLS.items()}
    seen["fire"] = reads(crowded, FIRE, decision(crowded))
    crowded.execute("DELETE FROM penstock.job WHERE id > %s", [LIVE])
    seen["settle ended ticks"] = reads(crowded, SETTLE)
    assert {name: what for name, what in seen.items() if what[0] or what[1] > 3 * TICKS} == {}
    states = crowded.execute("SELECT DISTINCT state FROM penstock.schedule_tick ORDER BY 1").fetchall()
    assert states == [("gone",), ("overlapped",)]
