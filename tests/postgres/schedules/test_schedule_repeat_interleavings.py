"""Every statement about schedules whose reply was lost after its commit is sent again: the second changes nothing.

A person's run is not among them: there are two jobs then, as with an enqueue without a key.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres.interleave import ConnectionDied, Interleaving
from tests.postgres.schedules.test_schedule_pair_interleavings import STATEMENTS, Scene

IDLE = {"due", "list"}
AGAIN = {"run"}


def test_every_statement_about_schedules_may_be_sent_again_when_its_reply_was_lost(
    play: Interleaving, db: psycopg.Connection
) -> None:
    """Rows of schedules and ticks, and the number of jobs, are those of one call."""
    scene, again = Scene(db), play.connection("again")
    for name, statement in STATEMENTS.items():
        values = scene.set()
        before = scene.state()
        first = play.connection(name)
        with pytest.raises(ConnectionDied):
            first.lose_reply(statement % values)
        once, jobs = scene.state(), scene.jobs()
        assert (before == once) is (name in IDLE), name
        again.run(statement % values)
        if name in AGAIN:
            assert scene.jobs() == jobs + 1
        else:
            assert (scene.state(), scene.jobs()) == (once, jobs), name
