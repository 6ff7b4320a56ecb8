"""Two declarations of one queue's schedules at once, from code and from the JobQueue, which concern the same rows."""

from __future__ import annotations

import json

import pytest

from tests.postgres.schedules.schedule_calls import DECLARATION, DECLARE

SOURCES = [("code", "jobqueue"), ("jobqueue", "code")]
STATE = "SELECT name, source, removed_at IS NULL FROM penstock.schedule ORDER BY name"


def named(*names: str) -> str:
    """A list of declarations as JSON: each hour, the first tick in the future."""
    return json.dumps([DECLARATION | {"name": name, "next_at": "2999-01-01T00:00:00Z"} for name in names])


@pytest.mark.parametrize(("first", "second"), SOURCES)
def test_two_declarations_never_wait_for_each_other(play, db, first, second):
    """One removes `a` and keeps `b`, the other declares both: the second waits until the first has all its rows."""
    db.execute(DECLARE, [first, named("a", "b")])
    person, a, b = play.connection("person"), play.connection("a"), play.connection("b")
    person.start_transaction()
    person.run("SELECT FROM penstock.schedule WHERE name = 'b' FOR UPDATE")
    removal = a.start(DECLARE, [first, named("b")])
    removal.blocks_on(person)
    declaration = b.start(DECLARE, [second, named("a", "b")])
    declaration.blocks()
    person.commit()
    assert removal.finish() == [("unchanged",), ("removed",)]
    won = "declared" if second == "jobqueue" else "overridden"
    assert declaration.finish() == [("declared",), (won,)]
    assert db.execute(STATE).fetchall() == [("a", second, True), ("b", "jobqueue", True)]


def test_two_first_declarations_of_the_same_names_wait_in_their_order(play, db):
    """Also if they list them the other way round: one row for each name, and the JobQueue's declaration wins."""
    person, a, b = play.connection("person"), play.connection("a"), play.connection("b")
    person.start_transaction()
    person.run(DECLARE, ["jobqueue", named("b")])
    code = a.start(DECLARE, ["code", named("a", "b")])
    code.blocks_on(person)
    jobqueue = b.start(DECLARE, ["jobqueue", named("b", "a")])
    jobqueue.blocks()
    person.rollback()
    assert code.finish() == [("declared",), ("declared",)]
    assert jobqueue.finish() == [("declared",), ("declared",)]
    assert db.execute(STATE).fetchall() == [("a", "jobqueue", True), ("b", "jobqueue", True)]
