"""Claims that a copy of the database ascribes to a worker that ended them: they are released, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg

from tests.postgres import desk
from tests.postgres.interleave import Step


def test_claims_whose_outcomes_were_lost_are_released_by_the_worker_that_does_not_hold_them(db):
    """As after a failover that lost its last acknowledgements: the worker lives, so no rescue comes for them."""
    worker, other, token, known = desk.register(db), desk.register(db), desk.token(), desk.token()
    ids = desk.enqueue(db, 4)
    db.execute(desk.CLAIM, [worker.id, worker.queue, 2, token])
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, known])
    db.execute(desk.CLAIM, [other.id, worker.queue, 1, desk.token()])
    assert db.execute(desk.RELEASE_UNKNOWN, [worker.id, worker.queue, [ids[2]], [known]]).fetchone() == (2,)
    rows = db.execute("SELECT id, attempt, token IS NULL, crashes FROM penstock.job ORDER BY id").fetchall()
    assert rows == [(ids[0], 0, True, 0), (ids[1], 0, True, 0), (ids[2], 1, False, 0), (ids[3], 1, False, 0)]
    again = [worker.id, worker.queue, [ids[2], ids[0]], [known, token]]
    assert db.execute(desk.RELEASE_UNKNOWN, again).fetchone() == (0,)
    late = db.execute(desk.ACK, [worker.id, [ids[0]], [token], ["completed"]]).fetchall()
    assert [row[2] for row in late] == [None]


def released(step: Step, again: Callable[[], Step]) -> list[Any]:
    """As the worker does it: a wait for a row that took too long writes nothing, and is tried again."""
    try:
        return step.finish()
    except psycopg.errors.LockNotAvailable:
        return again().finish()


def test_the_release_of_unknown_claims_waits_for_a_claim_that_still_runs(db, play):
    """A connection that was lost may have left it running; what it takes is found."""
    worker = desk.register(db)
    desk.enqueue(db, 2)
    zombie, b = play.connection("zombie"), play.connection("b")
    zombie.start_transaction()
    desk.claim(zombie, worker, 2, desk.token()).finish()

    def release() -> Step:
        step: Step = b.start(desk.RELEASE_UNKNOWN, [worker.id, worker.queue, [], []])
        return step

    step = release()
    step.blocks_on(zombie)
    zombie.commit()
    assert released(step, release) == [(2,)]


def test_the_release_of_unknown_claims_waits_for_an_open_acknowledgement_and_leaves_its_job(db, play):
    """It was sent by this worker, whose reply was lost with its connection."""
    worker, token, (job,) = desk.register(db), desk.token(), desk.enqueue(db, 1)
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, token])
    zombie, b = play.connection("zombie"), play.connection("b")
    zombie.start_transaction()
    zombie.run(desk.ACK, [worker.id, [job], [token], ["completed"]])

    def release() -> Step:
        step: Step = b.start(desk.RELEASE_UNKNOWN, [worker.id, worker.queue, [], []])
        return step

    step = release()
    step.blocks_on(zombie)
    zombie.commit()
    assert released(step, release) == [(0,)]
    assert desk.state_of(db, job) == "completed"
