"""What becomes of each tick by the policies for missed and overlapping ones, dates, pauses and a person's run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from penstock.schedules import Schedule
from penstock.store import Store
from tests.postgres.logins import logins
from tests.postgres.schedules.schedule_calls import DECLARE, FIRE, HOUR, RUN, SETTLE, declared, job_count, ticks
from tests.support.postgres import Database

EARLY = "SELECT date_trunc('second', clock_timestamp()) - n * interval '1 s' FROM unnest(%s::integer[]) AS n"
JOBS = "SELECT headers ->> 'penstock-tick' FROM penstock.job ORDER BY id"


def fire(db: psycopg.Connection[Any], *ages: int) -> list[Any]:
    """Fire ticks that came so many seconds ago, the oldest first, and move the schedule on by an hour."""
    due = [at for (at,) in db.execute(EARLY, [list(ages)])]
    db.execute("UPDATE penstock.schedule SET next_at = %s", [due[0]])
    [(id_, generation)] = db.execute("SELECT id, generation FROM penstock.schedule").fetchall()
    return db.execute(FIRE, [[id_], [generation], [due[0]], [due[-1] + HOUR], [id_] * len(due), due]).fetchall()


def states(db: psycopg.Connection[Any]) -> list[str]:
    return [state for _, state in ticks(db)]


@pytest.mark.parametrize(
    ("missed", "ages", "expected"),
    [
        ("Once", [300, 200, 100], ["missed", "missed", "enqueued"]),
        ("All", [500, 400, 300, 200, 100], ["missed", "missed", "enqueued", "enqueued", "enqueued"]),
        ("All", [100], ["enqueued"]),
        ("Skip", [300, 200, 30], ["missed", "missed", "enqueued"]),
        ("Skip", [300, 200, 61], ["missed", "missed", "missed"]),
        ("Skip", [61], ["missed"]),
        ("Skip", [30], ["enqueued"]),
    ],
)
def test_missed_ticks_fire_as_the_policy_says(missed, ages, expected, db):
    """Once: the last. All: the last three, as the limit is, in order. Skip: the last, if it came within a minute."""
    db.execute(DECLARE, ["code", declared(missed=missed, missed_limit=3)])
    assert [jobs for _, jobs in fire(db, *ages)] == [expected.count("enqueued")]
    assert states(db) == expected
    fired = [tick.astimezone(UTC) for tick, state in ticks(db) if state == "enqueued"]
    assert [datetime.fromisoformat(tick) for (tick,) in db.execute(JOBS)] == fired
    [(next_at, last_tick)] = db.execute("SELECT next_at, last_tick FROM penstock.schedule").fetchall()
    assert next_at - last_tick == HOUR


@pytest.mark.parametrize(
    ("overlap", "missed", "expected"),
    [
        ("Allow", "Once", ["missed", "missed", "enqueued"]),
        ("Allow", "All", ["enqueued", "enqueued", "enqueued"]),
        ("Skip", "Once", ["missed", "missed", "overlapped"]),
        ("Skip", "All", ["overlapped", "overlapped", "overlapped"]),
        ("Queue", "Once", ["missed", "missed", "waiting"]),
        ("Queue", "All", ["waiting", "waiting", "waiting"]),
    ],
)
@pytest.mark.parametrize("by", ["a tick", "a person"])
def test_a_tick_that_comes_while_a_job_is_live_overlaps_as_the_policy_says(by, overlap, missed, expected, db):
    """Whether the live job is of an earlier tick or a person ran it."""
    db.execute(DECLARE, ["code", declared(overlap=overlap, missed=missed, missed_limit=3)])
    if by == "a tick":
        fire(db, 900)
        assert states(db) == ["enqueued"]
    else:
        db.execute(RUN)
    fire(db, 300, 200, 100)
    assert states(db)[-3:] == expected
    assert job_count(db) == 1 + expected.count("enqueued")


def test_of_several_ticks_at_once_an_overlap_that_skips_fires_the_last(db):
    """They would overlap each other; with none live the last has its job, and the next is skipped until it ended."""
    db.execute(DECLARE, ["code", declared(overlap="Skip", missed="All")])
    fire(db, 300, 200, 100)
    assert states(db) == ["overlapped", "overlapped", "enqueued"]
    fire(db, 50)
    assert states(db)[-1] == "overlapped"
    db.execute("DELETE FROM penstock.job")
    fire(db, 40)
    assert states(db)[-1] == "enqueued"


def test_queued_ticks_start_one_after_the_other_and_the_oldest_give_way(db):
    """Of those that wait the newest two stay, as the limit is; each starts once no job is live, in order."""
    db.execute(DECLARE, ["code", declared(overlap="Queue", missed="All", missed_limit=2)])
    fire(db, 900)
    for age in (300, 200, 100):
        fire(db, age)
    assert states(db) == ["enqueued", "overlapped", "waiting", "waiting"]
    assert db.execute(SETTLE).fetchall() == [(0, 3)]
    for expected in (["gone", "overlapped", "enqueued", "waiting"], ["gone", "overlapped", "gone", "enqueued"]):
        db.execute("DELETE FROM penstock.job")
        db.execute(SETTLE)
        assert (states(db), job_count(db)) == (expected, 1)


async def test_no_tick_comes_before_the_start_date_or_after_the_end_date(pg: Database, db):
    """The first is the start date's own; after the last one nothing is due any more, and the schedule says so."""
    now = datetime.now(UTC).replace(microsecond=0)
    declaration: dict[str, Any] = {"task": "work", "queue": "q", "every": timedelta(minutes=1), "missed": "All"}
    later = Schedule(name="later", starts_at=now + 5 * HOUR, **declaration)
    over = Schedule(name="over", starts_at=now - 2 * HOUR, ends_at=now - HOUR, **declaration)
    ends = Schedule(name="ends", starts_at=now - HOUR, ends_at=now - HOUR / 2, **declaration)
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [later, over, ends])
        rows = {row.name: row for row in await store.schedules.list()}
        assert (rows["later"].next_at, rows["over"].next_at) == (now + 5 * HOUR, None)
        db.execute("UPDATE penstock.schedule SET next_at = starts_at WHERE name = 'ends'")
        assert (await store.schedules.fire_due()).jobs == 31, "both ends are inclusive"
        rows = {row.name: row for row in await store.schedules.list()}
        assert (rows["ends"].next_at, rows["ends"].last_tick) == (None, now - HOUR / 2)
        assert (await store.schedules.fire_due()).schedules == 0


async def test_ticks_of_a_pause_never_fire_and_a_redeploy_does_not_end_it(pg: Database, db):
    """A resume goes on with the next tick from then on; one that saw an older declaration is refused."""
    every: dict[str, Any] = {"task": "work", "queue": "q", "every": timedelta(minutes=1), "missed": "All"}
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [Schedule(name="nightly", **every)])
        [old] = await store.schedules.list()
        assert await store.schedules.pause(old, paused=True) == (True, True)
        db.execute("UPDATE penstock.schedule SET next_at = clock_timestamp() - interval '1 h'")
        assert (await store.schedules.fire_due()).jobs == 0
        await store.schedules.declare("q", "code", [Schedule(name="nightly", **every | {"task": "other"})])
        [row] = await store.schedules.list()
        assert (row.paused, row.paused_by) == (True, db.execute("SELECT session_user").fetchall()[0][0])
        assert await store.schedules.pause(old, paused=False, next_at=row.now + HOUR) == (True, False)
        assert await store.schedules.pause(row, paused=False, next_at=row.now + HOUR) == (True, True)
        assert (await store.schedules.fire_due()).jobs == 0
        [row] = await store.schedules.list()
        assert (row.paused, row.paused_by, row.last_tick) == (False, None, None)
        db.execute("UPDATE penstock.schedule SET next_at = date_trunc('minute', clock_timestamp())")
        assert (await store.schedules.fire_due()).jobs == 1


async def test_the_end_of_a_suspension_does_not_fire_its_ticks(pg: Database, db):
    """A declaration that suspends, and then does not."""
    every: dict[str, Any] = {"task": "work", "queue": "q", "every": timedelta(minutes=1), "missed": "All"}
    async with Store(pg.url) as store:
        await store.schedules.declare("q", "code", [Schedule(name="nightly", suspend=True, **every)])
        db.execute("UPDATE penstock.schedule SET next_at = clock_timestamp() - interval '1 h'")
        assert (await store.schedules.fire_due()).schedules == 0
        assert await store.schedules.declare("q", "code", [Schedule(name="nightly", **every)]) == {
            "nightly": "declared"
        }
        assert (await store.schedules.fire_due()).jobs <= 1, "the minute may have ended meanwhile"
    assert job_count(db) <= 1


def test_a_job_that_a_person_runs_carries_the_login_and_moves_no_tick(pg: Database, db):
    """The login, not the role that the function runs as; a tick's own job has no such header."""
    db.execute(DECLARE, ["code", declared()])
    fire(db, 100)
    before = db.execute("SELECT next_at, last_tick FROM penstock.schedule").fetchall()
    with logins(pg, "alice") as [alice]:
        name = alice.split(":")[0]
        for grant in ("USAGE ON SCHEMA penstock", "EXECUTE ON FUNCTION penstock.run_schedule"):
            db.execute(sql.SQL(f"GRANT {grant} TO {{}}").format(sql.Identifier(name)))
        db.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(name)))
        db.execute(RUN)
        db.execute("RESET SESSION AUTHORIZATION")
    by = "SELECT headers ->> 'penstock-run-by' FROM penstock.job ORDER BY id"
    assert db.execute(by).fetchall() == [(None,), (name,)]
    assert db.execute("SELECT next_at, last_tick FROM penstock.schedule").fetchall() == before
