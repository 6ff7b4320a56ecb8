"""A thousand schedules that are due at once: few statements, and the other chores of maintenance run between them."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

from penstock.cancellation import cancel_and_wait
from penstock.schedules import Schedule
from penstock.store import Maintenance, Store
from penstock.store.due_schedules import DUE_LIMIT
from tests.postgres import desk
from tests.postgres.interleave import Interleaving
from tests.postgres.schedules.schedule_calls import job_count
from tests.support.postgres import Database

MANY = 1000
CALLS = "SELECT funcname, calls FROM pg_stat_user_functions WHERE schemaname = 'penstock' AND funcname = ANY (%s)"
COUNTED = ["schedule_due", "schedule_fire", "start_ticks", "enqueue_many"]


async def declare_many(store: Store, db: Any) -> None:
    """A thousand schedules, each with a tick that is due."""
    hourly = [Schedule(name=f"s{n}", queue="q", task="work", every=timedelta(hours=1)) for n in range(MANY)]
    await store.schedules.declare("q", "code", hourly)
    db.execute("UPDATE penstock.schedule SET next_at = date_trunc('hour', clock_timestamp())")


async def test_a_thousand_due_schedules_take_two_statements_for_each_batch(pg: Database, db):
    """A call fires `DUE_LIMIT` schedules with one enqueue and says that more are due: other chores have their turn."""
    (name,) = db.execute("SELECT current_database()").fetchone()
    db.execute(f'ALTER DATABASE "{name}" SET track_functions = "all"')
    async with Store(pg.url, lanes=1) as store:
        await declare_many(store, db)
        for left in range(MANY - DUE_LIMIT, -1, -DUE_LIMIT):
            fired = await store.schedules.fire_due()
            assert (fired.schedules, fired.jobs, fired.failed) == (DUE_LIMIT, DUE_LIMIT, 0)
            assert job_count(db) == MANY - left
            assert fired.next_due == 0.0, "a full batch: maybe more are due"
        again = await store.schedules.fire_due()
        assert (again.schedules, again.jobs) == (0, 0)
        assert again.next_due
    calls = MANY // DUE_LIMIT

    def counted() -> dict[str, int]:
        return dict(db.execute(CALLS, [COUNTED]).fetchall())

    desk.until(lambda: counted().get("schedule_fire", 0) >= calls)
    assert counted() == {
        "schedule_due": calls + 2,  # the declaration reads the clock, and the last call finds nothing
        "schedule_fire": calls,
        "start_ticks": calls,
        "enqueue_many": calls,
    }
    assert job_count(db) == MANY


async def test_while_ticks_cannot_fire_the_other_chores_of_maintenance_go_on(pg: Database, db):
    """The firing of the first batch waits for a locked table, and fails as a whole: a deferred job is promoted."""
    desk.enqueue(db, 1, p_delays=[3600])
    async with Store(pg.url) as store:
        await declare_many(store, db)
        maintenance = Maintenance(store=store, holder="holder", lease=3600.0, clock=time.monotonic)
        with Interleaving(pg.url) as play:
            person = play.connection("person")
            person.start_transaction()
            person.run("LOCK TABLE penstock.schedule_tick")
            running = asyncio.create_task(maintenance.run(), name="maintenance")
            try:
                async with asyncio.timeout(60):
                    while not play.query("SELECT 1 FROM pg_locks WHERE NOT granted"):
                        await asyncio.sleep(0.005)
                    db.execute("UPDATE penstock.job SET due_at = now() - interval '1 s' WHERE due_at IS NOT NULL")
                    while not maintenance.stats.promoted:
                        await asyncio.sleep(0.005)
                    assert job_count(db) == 1, "no tick has fired meanwhile"
                    person.rollback()
                    while job_count(db) < 1 + MANY:
                        await asyncio.sleep(0.01)
            finally:
                await cancel_and_wait([running])
