"""Calls about schedules with what nobody should send: nothing, or one clear error, and nothing is changed."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.postgres.schedules.schedule_calls import DECLARATION
from tests.postgres.schedules.test_schedule_pair_interleavings import DUE, FIRST, NEXT, Scene

SQL = """'); DROP TABLE penstock.schedule; --"""
FIRE = "schedule_fire({ids}, {generations}, {seen}, {next}, {of}, {ticks})"


def fire(**changes: str) -> str:
    """The firing of the tick of schedule 1 that is due, with other parameters."""
    given = {
        "ids": "'{1}'",
        "generations": "'{1}'",
        "seen": f"ARRAY[timestamptz '{DUE}']",
        "next": f"ARRAY[timestamptz '{NEXT}']",
        "of": "'{1}'",
        "ticks": f"ARRAY[timestamptz '{DUE}']",
    }
    return FIRE.format(**given | changes)


def declare(**changes: object) -> str:
    """A declaration of another schedule by the JobQueue that keeps the one that it has."""
    skip = DECLARATION | {"name": "skip", "overlap": "Skip"}
    one = DECLARATION | {"name": "other", "next_at": NEXT} | changes
    return f"declare_schedules('q', 'jobqueue', {psycopg.sql.quote(json.dumps([skip, one]))})"


IDLE = {
    "fire of nothing": fire(ids="'{}'", generations="'{}'", seen="'{}'", next="'{}'", of="'{}'", ticks="'{}'"),
    "fire of a schedule that never was": fire(ids="'{-7}'", of="'{-7}'"),
    "fire of no schedule": fire(ids="'{NULL}'", of="'{NULL}'"),
    "fire of another generation": fire(generations="'{9223372036854775807}'"),
    "fire of no generation": fire(generations="'{NULL}'"),
    "fire of another next_at": fire(seen=f"ARRAY[timestamptz '{FIRST}']"),
    "fire of a next_at that is endless": fire(seen="'{-infinity}'"),
    "fire of ticks of others": fire(ids="'{}'", generations="'{}'", seen="'{}'", next="'{}'"),
    "due, none": "schedule_due(0)",
    "due, no limit": "schedule_due(NULL)",
    "due, as many as there are": "schedule_due(2147483647)",
    "settle none": "settle_schedules(0)",
    "prune none": "prune_ticks(0)",
    "failed of nobody": "schedule_failed(NULL, NULL, NULL)",
    "failed of another generation": "schedule_failed(1, 7, repeat('x', 100000))",
    "pause of nothing": "pause_schedule(NULL, NULL, true, 1, NULL)",
    "pause of a name that is SQL": f"pause_schedule('q', {psycopg.sql.quote(SQL)}, true, 1, NULL)",
    "pause that does not say which way": f"pause_schedule('q', 'queue', NULL, 1, '{NEXT}')",
    "pause without a generation": f"pause_schedule('q', 'queue', true, NULL, '{NEXT}')",
    "run of nothing": "run_schedule(NULL, NULL)",
    "run of a name that is SQL": f"run_schedule('q', {psycopg.sql.quote(SQL)})",
    "list of none": "list_schedules('{}')",
    "list of a queue that is SQL": f"list_schedules(ARRAY[{psycopg.sql.quote(SQL)}])",
}
REFUSED = {
    "fire without schedules": (fire(ids="NULL"), "one generation"),
    "fire without generations": (fire(generations="NULL"), "one generation"),
    "fire without times": (fire(seen="NULL"), "one generation"),
    "fire without ticks": (fire(ticks="NULL"), "one generation"),
    "fire of more schedules than times": (fire(ids="'{1,2}'"), "one generation"),
    "fire of a tick of no schedule": (fire(of="'{1,2}'"), "one generation"),
    "fire of a tick before its time": (fire(ticks=f"ARRAY[timestamptz '{FIRST}']"), "between those times"),
    "fire of a tick at the next time": (fire(ticks=f"ARRAY[timestamptz '{NEXT}']"), "between those times"),
    "fire of a tick at the end of time": (fire(ticks="'{infinity}'"), "between those times"),
    "fire of a tick before all time": (fire(ticks="'{-infinity}'"), "between those times"),
    "fire of no tick": (fire(ticks="'{NULL}'"), "between those times"),
    "fire of a next time before this one": (
        fire(next=f"ARRAY[timestamptz '{FIRST}']", of="'{}'", ticks="'{}'"),
        "next",
    ),
    "fire of a next time before all time": (fire(next="'{-infinity}'", of="'{}'", ticks="'{}'"), "next"),
    "due, fewer than none": ("schedule_due(-1)", "must not be negative"),
    "settle fewer than none": ("settle_schedules(-1)", "must not be negative"),
    "prune fewer than none": ("prune_ticks(-1)", "must not be negative"),
    "declarations that are no list": ("declare_schedules('q', 'jobqueue', '{}')", "from an object"),
    "a declaration that is no object": ("declare_schedules('q', 'jobqueue', '[3]')", None),
    "a source that is none": ("declare_schedules('q', 'people', '[{\"name\": \"n\"}]')", None),
    "a declaration without a name": (declare(name=None), "null value"),
    "a queue without a name": ("declare_schedules(NULL, 'jobqueue', '[{\"name\": \"n\"}]')", "null value"),
    "no expression": (declare(spec=""), "spec_check"),
    "an expression as long as a book": (declare(spec="*" * 201), "spec_check"),
    "no task": (declare(task=""), "task_check"),
    "a jitter below nothing": (declare(jitter=-1), "jitter_check"),
    "a lead below nothing": (declare(lead=-1), "lead_check"),
    "a limit of none": (declare(missed_limit=0), "missed_limit_check"),
    "a limit without a limit": (declare(missed_limit=2**31 - 1), "missed_limit_check"),
    "a policy that is none": (declare(missed="Never"), "missed_check"),
    "an overlap that is none": (declare(overlap="Kill"), "overlap_check"),
    "a priority that is none": (declare(priority=4), "priority_check"),
    "no attempts": (declare(max_attempts=0), "max_attempts_check"),
    "a time that is none": (declare(next_at="tomorrow-ish"), "invalid input syntax"),
}
STATE = """SELECT (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.id) FROM penstock.schedule AS s),
  (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.schedule, t.tick) FROM penstock.schedule_tick AS t),
  (SELECT jsonb_agg(to_jsonb(j) ORDER BY j.id) FROM penstock.job AS j)"""


@pytest.fixture(scope="module")
def scene(servers):
    """The schedules of the pairs, on the newest server."""
    with servers.newest.database() as pg, pg.connect() as db:
        made = Scene(db)
        made.set()
        yield made


@pytest.mark.parametrize("what", IDLE)
def test_calls_about_schedules_without_sense_change_nothing(what, scene):
    """No row of a schedule, a tick or a job; what is not there is simply not there."""
    before = scene.db.execute(STATE).fetchone()
    scene.db.execute(f"SELECT penstock.{IDLE[what]}".encode())
    assert scene.db.execute(STATE).fetchone() == before


@pytest.mark.parametrize("what", REFUSED)
def test_calls_about_schedules_that_break_a_rule_are_one_error_and_change_nothing(what, scene):
    """It is an error of the data, which the store's users see as refused."""
    call, says = REFUSED[what]
    before = scene.db.execute(STATE).fetchone()
    with pytest.raises(psycopg.Error, match=says) as refused:
        scene.db.execute(f"SELECT penstock.{call}".encode())
    assert refused.value.sqlstate is not None
    assert refused.value.sqlstate[:2] in {"22", "23", "54"}
    assert scene.db.execute(STATE).fetchone() == before
