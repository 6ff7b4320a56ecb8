"""Exactly one job per tick, from any number of callers, stepped statement by statement, replies and backends lost."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.postgres.interleave import ConnectionDied
from tests.postgres.schedules.schedule_calls import (
    DECLARE,
    FIRE,
    HOUR,
    PAUSE,
    RUN,
    SETTLE,
    decision,
    declared,
    job_count,
    make_due,
    move_next,
    ticks,
)

CHANGED = {"spec": "0 9 * * *"}


def test_of_two_callers_at_once_one_fires_and_the_other_goes_on(play, db):
    """The second neither waits for the first nor fires after it; a repeat of either finds nothing to do."""
    tick = make_due(db)
    seen = decision(db)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    [(_, fired)] = a.run(FIRE, seen)
    assert fired == 1
    assert b.run(FIRE, seen) == []
    a.commit()
    assert (a.run(FIRE, seen), b.run(FIRE, seen), b.run(FIRE, decision(db))) == ([], [], [])
    assert (ticks(db), job_count(db)) == ([(tick, "enqueued")], 1)


def test_a_tick_whose_reply_was_lost_is_not_fired_by_the_repeat(play, db):
    """It was committed: the same call again, and a new read, change nothing."""
    tick = make_due(db)
    seen = decision(db)
    with pytest.raises(ConnectionDied):
        play.connection("lost").lose_reply(FIRE, seen)
    again = play.connection("again")
    assert (again.run(FIRE, seen), again.run(FIRE, decision(db))) == ([], [])
    assert (ticks(db), job_count(db)) == ([(tick, "enqueued")], 1)


def test_a_firing_that_never_committed_is_done_by_the_next_caller(play, db):
    """Its backend is terminated before the commit: no job and no tick stay, and the next caller fires once."""
    tick = make_due(db)
    seen = decision(db)
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    assert len(a.run(FIRE, seen)) == 1
    db.execute("SELECT pg_terminate_backend(%s)", [a.pid])
    with pytest.raises(psycopg.OperationalError):
        a.commit()
    a.die()
    assert (ticks(db), job_count(db)) == ([], 0)
    assert len(b.run(FIRE, decision(db))) == 1
    assert b.run(FIRE, seen) == []
    assert (ticks(db), job_count(db)) == ([(tick, "enqueued")], 1)


def test_a_caller_that_thaws_after_others_fired_changes_nothing(play, db):
    """It read, froze, and two later ticks were fired meanwhile; also when the clock has brought its next_at back."""
    make_due(db)
    frozen = decision(db)
    a, b = play.connection("frozen"), play.connection("b")
    b.run(FIRE, frozen)
    move_next(db, -timedelta(minutes=5))
    b.run(FIRE, decision(db))
    before = (ticks(db), job_count(db))
    assert a.run(FIRE, frozen) == []
    db.execute("UPDATE penstock.schedule SET next_at = %s", [frozen[2][0]])
    assert a.run(FIRE, frozen) == [(frozen[0][0], 0)], "next_at moves on, the tick is not fired again"
    assert (ticks(db), job_count(db)) == before


def test_a_stale_generation_or_next_time_is_refused(play, db):
    """Whatever the caller saw that is not so any more, nothing is fired, and the next read fires it."""
    make_due(db)
    seen = decision(db)
    a = play.connection("a")
    for place, stale in ((1, [seen[1][0] + 1]), (1, [None]), (2, [seen[2][0] - HOUR]), (2, [None])):
        assert a.run(FIRE, [*seen[:place], stale, *seen[place + 1 :]]) == []
    assert job_count(db) == 0
    assert len(a.run(FIRE, decision(db))) == 1


@pytest.mark.parametrize("commits", [True, False], ids=["commit", "rollback"])
@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (PAUSE, [True, 1]),
        (DECLARE, ["code", "[]"]),
        (DECLARE, ["code", declared(suspended=True)]),
    ],
    ids=["pause", "removal", "suspension"],
)
def test_a_change_between_the_read_and_the_firing_decides(statement, values, commits, play, db):
    """While it is open the caller steps over the schedule; committed, the tick is not fired, rolled back it is."""
    tick = make_due(db)
    seen = decision(db)
    person, caller = play.connection("person"), play.connection("caller")
    person.start_transaction()
    person.run(statement, values)
    assert caller.run(FIRE, seen) == []
    if commits:
        person.commit()
        assert (caller.run(FIRE, seen), decision(db)[0]) == ([], [])
        assert (ticks(db), job_count(db)) == ([], 0)
    else:
        person.rollback()
        assert len(caller.run(FIRE, seen)) == 1
        assert (ticks(db), job_count(db)) == ([(tick, "enqueued")], 1)


@pytest.mark.parametrize("source", ["code", "jobqueue"])
def test_a_redeploy_changes_no_recurrence_while_a_tick_is_due(source, play, db):
    """It says so and holds nobody up; once the tick has fired, by the caller that read it before, it is declared."""
    tick = make_due(db)
    seen = decision(db)
    person, caller = play.connection("person"), play.connection("caller")
    person.start_transaction()
    assert person.run(DECLARE, [source, declared(**CHANGED)]) == [("due",)]
    assert caller.run(FIRE, seen) == []
    person.commit()
    assert len(caller.run(FIRE, seen)) == 1
    assert (ticks(db), job_count(db)) == ([(tick, "enqueued")], 1)
    assert person.run(DECLARE, [source, declared(**CHANGED)]) == [("declared",)]
    assert caller.run(FIRE, seen) == []


@pytest.mark.parametrize(
    ("statement", "values"),
    [(PAUSE, [True, 1]), (DECLARE, ["code", declared(**CHANGED)]), (DECLARE, ["code", "[]"]), (RUN, [])],
    ids=["pause", "redeploy", "removal", "run now"],
)
def test_a_change_waits_for_a_firing_that_is_open(statement, values, play, db):
    """The tick was before it: it has its one job, and the change has its effect."""
    tick = make_due(db)
    seen = decision(db)
    caller, person = play.connection("caller"), play.connection("person")
    caller.start_transaction()
    caller.run(FIRE, seen)
    step = person.start(statement, values)
    step.blocks_on(caller)
    caller.commit()
    step.finish()
    assert ticks(db) == [(tick, "enqueued")]
    assert job_count(db) == (2 if statement == RUN else 1)
    assert caller.run(FIRE, seen) == []


def test_a_change_that_keeps_the_expression_keeps_the_tick_that_is_due(play, db):
    """Another task or other arguments between the read and the firing: the next read fires it, with the new ones."""
    tick = make_due(db)
    seen = decision(db)
    caller = play.connection("caller")
    db.execute(DECLARE, ["code", declared(task="other")])
    assert caller.run(FIRE, seen) == []
    assert len(caller.run(FIRE, decision(db))) == 1
    assert ticks(db) == [(tick, "enqueued")]
    assert db.execute("SELECT task FROM penstock.job").fetchall() == [("other",)]


def test_a_clock_an_hour_ahead_and_back_again_fires_no_tick_twice(play, db):
    """After it stepped back, a redeploy that recomputes next_at comes to ticks that were fired: they pass by."""
    caller = play.connection("caller")
    tick = make_due(db)
    caller.run(FIRE, decision(db))
    db.execute("UPDATE penstock.schedule SET last_tick = last_tick + interval '1 h'")  # fired by a clock ahead
    for _ in range(2):
        move_next(db, -timedelta(seconds=30))
        assert [fired for _, fired in caller.run(FIRE, decision(db))] == [0]
    assert (ticks(db), job_count(db)) == ([(tick, "enqueued")], 1)


def test_a_caller_whose_ticks_lie_ahead_of_the_clock_fires_none(play, db):
    """The clock stepped back between its read and its call: nothing until the time has come again."""
    make_due(db)
    seen = decision(db)
    seen[2] = seen[5] = [seen[2][0] + HOUR]
    seen[3] = [seen[3][0] + HOUR]
    db.execute("UPDATE penstock.schedule SET next_at = %s", [seen[2][0]])
    caller = play.connection("caller")
    assert (caller.run(FIRE, seen), decision(db)[0], job_count(db)) == ([], [], 0)


def test_a_firing_steps_over_a_schedule_that_is_being_settled(play, db):
    """While the settlement is open the caller leaves the tick; after its commit the same call decides it, once."""
    make_due(db, overlap="Queue")
    caller, settler = play.connection("caller"), play.connection("settler")
    for minutes in (2, 1):
        caller.run(FIRE, decision(db))
        move_next(db, -timedelta(minutes=minutes))
    assert [state for _, state in ticks(db)] == ["enqueued", "waiting"]
    seen = decision(db)
    db.execute("DELETE FROM penstock.job")
    settler.start_transaction()
    assert settler.run(SETTLE) == [(1, 1)]
    assert caller.run(FIRE, seen) == []
    assert [state for _, state in ticks(db)] == ["enqueued", "waiting"]
    settler.commit()
    assert [state for _, state in ticks(db)] == ["gone", "enqueued"]
    assert len(caller.run(FIRE, seen)) == 1
    assert [state for _, state in ticks(db)] == ["gone", "enqueued", "waiting"]
    assert job_count(db) == 1
