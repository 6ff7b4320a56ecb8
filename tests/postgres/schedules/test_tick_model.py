"""Random histories of one schedule against a model: the ticks that it expects have one job each, and no other has.

The database's clock is virtual: the functions of schedules are installed once more with another function in place of
clock_timestamp(), so that a test moves it by minutes, and sets it back by an hour, on any server.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.schedules import ticks_after
from penstock.store.due_schedules import DueRow, stored_schedule, ticks_due
from tests.postgres.schedules.schedule_calls import DECLARE, FIRE, PAUSE_UNTIL, SETTLE, declared
from tests.postgres.schedules.tick_model import Recurrence, TickModel
from tests.support.postgres import Database

START = 29_000_000  # 2025-02-19 05:20, in minutes
RECURRENCES: dict[str, Recurrence] = {
    "@every 300": lambda m: m % 5 == 0,
    "*/7 * * * *": lambda m: m % 60 % 7 == 0,
    "0 * * * *": lambda m: m % 60 == 0,
    "30 6,7 * * *": lambda m: m % 1440 in {390, 450},
}
STEPS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from([1, 2, 5, 13, 60, 200])),
    st.tuples(st.just("clock"), st.sampled_from([-60, 60])),
    st.tuples(st.sampled_from(["fire", "fire", "fire", "fire twice", "read", "fire what was read"]), st.none()),
    st.tuples(
        st.just("redeploy"),
        st.tuples(
            st.sampled_from(sorted(RECURRENCES)),
            st.sampled_from(["Skip", "Once", "All"]),
            st.sampled_from(["Allow", "Skip", "Queue"]),
            st.integers(1, 3),
        ),
    ),
    st.tuples(st.sampled_from(["pause", "resume", "end jobs", "settle"]), st.none()),
)
FUNCTIONS = """SELECT replace(pg_get_functiondef(p.oid), 'clock_timestamp()', 'penstock.virtual_clock()')
  FROM pg_proc AS p WHERE p.pronamespace = 'penstock'::regnamespace AND p.prosrc LIKE '%clock_timestamp()%'
    AND p.proname LIKE '%schedule%'"""
VIRTUAL = """CREATE TABLE penstock.virtual_time (at timestamptz NOT NULL);
INSERT INTO penstock.virtual_time VALUES (now());
CREATE FUNCTION penstock.virtual_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT at FROM penstock.virtual_time'"""
EMPTY = (
    "DO $$ BEGIN DELETE FROM penstock.job; DELETE FROM penstock.schedule_tick; DELETE FROM penstock.schedule; END $$"
)
FIRED = "SELECT tick, job FROM penstock.schedule_tick WHERE job IS NOT NULL ORDER BY tick"


@pytest.fixture
def virtual(pg_newest: Database) -> Iterator[psycopg.Connection[Any]]:
    """A database whose schedules follow `penstock.virtual_time`."""
    with pg_newest.connect() as db:
        db.execute(VIRTUAL)
        made = [text for (text,) in db.execute(FUNCTIONS)]
        assert len(made) >= 5
        for text in made:
            db.execute(text.encode())
        yield db


class Product:
    """The product, moved in the same steps as the model."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        self.db, self.now = db, START
        db.execute(EMPTY)

    def set_clock(self, minute: int) -> None:
        self.now = minute
        self.db.execute("UPDATE penstock.virtual_time SET at = %s", [instant(minute)])

    def redeploy(self, spec: str, missed: str, overlap: str, limit: int) -> None:
        at = instant(self.now)
        values = {"spec": spec, "missed": missed, "overlap": overlap, "missed_limit": limit}
        row = DueRow(1, "q", "nightly", "work", spec, "UTC", None, None, 0, missed, limit, 1, at, at)
        [following] = ticks_after(stored_schedule(row), at, 1)
        document = declared(**values, next_at=following.isoformat())
        while self.db.execute(DECLARE, ["code", document]).fetchall() == [("due",)]:
            self.fire(self.read())

    def pause(self, *, paused: bool) -> None:
        columns = ", ".join(f"s.{name}" for name in DueRow._fields if name not in {"now", "next_at"})
        [row] = self.db.execute(f"SELECT {columns} FROM penstock.schedule AS s".encode()).fetchall()
        at = instant(self.now)
        one = DueRow._make([*row, at, at])
        following = ticks_after(stored_schedule(one), at, 1)[0]
        assert self.db.execute(PAUSE_UNTIL, [paused, one.generation, following]).fetchall() == [(True, True)]

    def read(self) -> list[DueRow]:
        return [DueRow(*row) for row in self.db.execute("SELECT * FROM penstock.schedule_due(100)").fetchall()[:-1]]

    def fire(self, rows: list[DueRow]) -> None:
        for one in map(ticks_due, rows):
            of = [one.id] * len(one.ticks)
            self.db.execute(FIRE, [[one.id], [one.generation], [one.seen], [one.next], of, one.ticks])

    def fired(self) -> list[int]:
        found = self.db.execute(FIRED).fetchall()
        assert len({job for _, job in found}) == len(found)
        assert self.db.execute("SELECT fired FROM penstock.schedule").fetchall() == [(len(found),)]
        return [int(tick.timestamp()) // 60 for tick, _ in found]


def instant(minute: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)


def step(kind: str, value: Any, model: TickModel, product: Product) -> None:
    """One step of both."""
    if kind in {"advance", "clock"}:
        model.now += value
        product.set_clock(model.now)
    elif kind == "redeploy":
        spec, missed, overlap, limit = value
        same = RECURRENCES[spec] is model.recurs
        counted = limit if missed == "All" else 1
        product.redeploy(spec, missed, overlap, counted)
        model.redeploy(RECURRENCES[spec], missed, overlap, counted, same=same)
    elif kind == "pause":
        product.pause(paused=True)
        model.pause()
    elif kind == "resume":
        product.pause(paused=False)
        model.resume()
    elif kind == "end jobs":
        product.db.execute("DELETE FROM penstock.job")
        model.end_jobs()
    else:
        product.db.execute(SETTLE)
        model.settle()


@given(steps=st.lists(STEPS, min_size=10, max_size=40))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_history_of_a_schedule_fires_the_ticks_of_the_model(steps, virtual):
    """Redeploys, pauses, missed periods, callers that come late or twice, and a clock set by an hour."""
    product = Product(virtual)
    product.set_clock(START)
    model = TickModel(START, RECURRENCES["@every 300"], "Once", "Allow", 1)
    product.redeploy("@every 300", "Once", "Allow", 1)
    rows, decision = product.read(), model.read()
    for kind, value in steps:
        if kind in {"fire", "fire twice", "read"}:
            rows, decision = product.read(), model.read()
            assert bool(rows) is (decision is not None), (kind, steps)
        if "fire" in kind:
            for _ in range(1 + kind.count("twice")):
                product.fire(rows)
                if decision is not None:
                    model.fire(decision)
        elif kind != "read":
            step(kind, value, model, product)
        assert product.fired() == sorted(model.fired), (kind, value)
