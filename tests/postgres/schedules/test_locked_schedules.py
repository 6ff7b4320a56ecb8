"""Schedules and ticks that another transaction has locked: maintenance steps over them, people wait within a bound."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock.schedules import Schedule
from penstock.store import Store
from penstock.store.due_schedules import DUE_LIMIT, LOCKED_PAUSE
from penstock.store.schedule_chores import ScheduleChores
from tests.postgres.interleave import Interleaving
from tests.postgres.interleavings.test_pair_interleavings import outcome
from tests.postgres.schedules.test_schedule_pair_interleavings import STATEMENTS, Scene

TABLES = ("schedule", "schedule_tick")
ROWS = [f"SELECT FROM penstock.{name} FOR UPDATE" for name in TABLES]
WHOLE = [f"LOCK TABLE penstock.{name}" for name in TABLES]
WAITS = {"failed", "run", "pause", "resume", "redeploy", "removal", "JobQueue", "JobQueue without any"}
"""Fail with lock_not_available after at most five seconds while the row is locked; the others do not wait for a row."""
OF_JOBS = {"ack", "redrive"}


@pytest.mark.parametrize("locked", [ROWS, WHOLE], ids=["every row", "every table"])
def test_no_statement_about_schedules_waits_without_a_bound_for_what_others_hold(locked, pg_newest):
    """All at once, while one transaction holds everything: each ends by itself, and nothing was written."""
    with pg_newest.connect() as db, Interleaving(pg_newest.url) as play:
        scene = Scene(db)
        values = scene.set()
        before = scene.state()
        holder = play.connection("holder")
        holder.start_transaction()
        for lock in locked:
            holder.run(lock)
        statements = {name: text for name, text in STATEMENTS.items() if name not in OF_JOBS}
        steps = {name: play.connection(name).start(text % values) for name, text in statements.items()}
        ended = {name: outcome(step) for name, step in steps.items()}
        holder.rollback()
        refused = WAITS if locked is ROWS else set(statements)
        assert ended == {name: "55P03" if name in refused else None for name in statements}
        pruned_at_most = [(row, [t for t in ticks if "2024" not in t]) for row, ticks in scene.state()]
        assert pruned_at_most == [(row, [t for t in ticks if "2024" not in t]) for row, ticks in before]


def test_a_locked_schedule_keeps_no_other_from_its_tick(play, db):
    """The firing of four schedules, one of which a person has locked, moves the others; repeated, it moves that one."""
    scene = Scene(db)
    values = scene.set()
    person, caller = play.connection("person"), play.connection("caller")
    person.start_transaction()
    person.run("SELECT FROM penstock.schedule WHERE name = 'skip' FOR UPDATE")
    fire = STATEMENTS["fire"].replace("SELECT penstock", "SELECT id FROM penstock") % values
    assert sorted(caller.run(fire)) == [(1,), (3,)]
    person.rollback()
    assert caller.run(fire) == [(2,)]
    assert caller.run(fire) == []


async def test_any_number_of_locked_schedules_keeps_no_other_from_its_turn(pg, db):
    """As many as a step takes have been due for longer, and stay locked; the one after them fires, the rest later."""
    async with Store(pg.url) as store:
        hourly = [
            Schedule(name=f"s{n}", queue="q", task="work", every=timedelta(hours=1)) for n in range(DUE_LIMIT + 1)
        ]
        await store.schedules.declare("q", "code", hourly)
        db.execute("UPDATE penstock.schedule SET next_at = clock_timestamp() - interval '9 h' - id * interval '1 s'")
        with Interleaving(pg.url) as play:
            person = play.connection("person")
            person.start_transaction()
            person.run("SELECT FROM penstock.schedule WHERE name <> 's0' FOR UPDATE")
            fired = await store.schedules.fire_due()
            assert (fired.schedules, fired.failed, fired.next_due) == (1, 0, LOCKED_PAUSE)
            chores = ScheduleChores(store.schedules, lambda: 0.0)
            assert await chores.fire() == pytest.approx(LOCKED_PAUSE), "and not fifty times a second"
            person.rollback()
        assert (await store.schedules.fire_due()).schedules == DUE_LIMIT


async def test_two_that_read_what_is_due_have_different_schedules(pg, db):
    """What one has read in an open transaction is left out for the other, who sees that more are due."""
    async with Store(pg.url) as store:
        hourly = [Schedule(name=f"s{n}", queue="q", task="work", every=timedelta(hours=1)) for n in range(3)]
        await store.schedules.declare("q", "code", hourly)
        db.execute("UPDATE penstock.schedule SET next_at = clock_timestamp() - id * interval '1 h'")
        with Interleaving(pg.url) as play:
            first = play.connection("first")
            first.start_transaction()
            assert len(first.run("SELECT id FROM penstock.schedule_due(2)")) == 2 + 1
            rows, others = await store.schedules.due()
            assert [row.name for row in rows] == ["s0"]
            assert others is not None
            assert others < -3600
            first.rollback()
        rows, others = await store.schedules.due()
        assert [row.name for row in rows] == ["s2", "s1", "s0"]
        assert others is None
