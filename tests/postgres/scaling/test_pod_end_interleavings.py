"""What the operator writes about how pods ended, with what their workers and their rescuers write."""

from __future__ import annotations

import pytest

from tests.postgres import desk

BEGIN_DRAIN = "SELECT penstock.begin_drain(%s)"


@pytest.mark.parametrize("rescued_first", [True, False], ids=["rescue, note", "note, rescue"])
def test_how_a_pod_ended_is_noted_with_its_rescue_or_not_at_all(rescued_first, play, db):
    """One waits for the other's row; the history has the note if it came first, and a repeated note is the same."""
    worker, (job,) = desk.register(db), desk.enqueue(db, 1)
    db.execute("UPDATE penstock.worker SET pod = 'p', node = 'n'")
    desk.claim(play.connection("claimer"), worker, 1, desk.token()).finish()
    desk.lapse_under_a_leader(db, worker)
    rescuer, operator = play.connection("rescuer"), play.connection("operator")
    note = (operator, "SELECT penstock.note_end(%s, 'p', clock_timestamp(), 'OOMKilled')", [worker.queue])
    rescue = (rescuer, "UPDATE penstock.worker SET state = 'lost', swept = true WHERE id = %s", [worker.id])
    (first, statement, values), (second, other, others) = (rescue, note) if rescued_first else (note, rescue)
    first.start_transaction()
    first.run(statement, values)
    step = second.start(other, others)
    step.blocks_on(first)
    first.commit()
    step.finish()
    operator.run(*note[1:])
    ended = db.execute("SELECT info ->> 'ended' FROM penstock.worker").fetchone()
    assert ended == (None if rescued_first else "OOMKilled",)
    assert desk.state_of(db, job) == "running"


def test_a_worker_learns_of_an_early_end_after_its_renewal_and_a_repeated_word_is_the_same(play, db):
    """The operator's word waits for the worker's row, and is there for the next renewal."""
    worker = desk.register(db)
    db.execute("UPDATE penstock.worker SET pod = 'p'")
    lease, operator = play.connection("lease"), play.connection("operator")
    lease.start_transaction()
    lease.run(BEGIN_DRAIN, [worker.id])
    step = operator.start("SELECT penstock.shorten_grace(%s, 'p', 60)", [worker.queue])
    step.blocks_on(lease)
    lease.commit()
    step.finish()
    operator.run("SELECT penstock.shorten_grace(%s, 'p', 60)", [worker.queue])
    (left,) = lease.run("SELECT penstock.grace_left(%s)", [worker.id])[0]
    assert 0 < left <= 60
    assert db.execute("SELECT state FROM penstock.worker").fetchone() == ("draining",)
