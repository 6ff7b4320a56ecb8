"""Any order of calls against a model: every job in exactly one place, and everything that is reported about it true.

Sequential: it complements the interleavings and never replaces them. The same examples each time, so that a change is
what makes a difference; PENSTOCK_SOAK makes it forty times as long, and other ones.
"""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from tests.postgres import desk
from tests.postgres.model.store_compared import QUEUES, SPECS, STATES, Compared
from tests.postgres.model.store_values import Attempt, Spec, Worker, enqueue_arguments

ACK = "SELECT id, token, state FROM penstock.ack(%s, %s, %s, %s, p_delays => %s)"
RENEW = "SELECT state, fenced_ids, cancelled_ids FROM penstock.renew(%s, 60, %s, %s, '{}', '{}', %s)"
LONG = int(os.environ.get("PENSTOCK_SOAK") not in {None, "", "0"})


class StoreMachine(Compared):
    """Calls the store's functions and the model side by side."""

    def __init__(self, db: psycopg.Connection[Any]) -> None:
        super().__init__(db)
        self.dues = 0
        for queue in ("a", "a", "b"):
            self.register(queue)
        self.enqueue([Spec("a", priority=n % 4) for n in range(8)] + [Spec("a", key="k1", until_start=True), Spec("b")])
        self.claim_for(min(self.model.workers), 4)

    def some(self, data: st.DataObject, ids: list[int]) -> list[int]:
        return data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=4, unique=True))

    def attempts_of(self, data: st.DataObject) -> tuple[int, list[Attempt]]:
        """A worker and some of the attempts that it ever had, one for each job: stale ones too, now and then."""
        current = [job.claim for job in self.model.jobs.values() if job.claim]
        known = self.model.attempts if not current or data.draw(st.integers(0, 3)) == 0 else current
        worker = data.draw(st.sampled_from(sorted({one.worker for one in known})))
        own = [one for one in known if one.worker == worker][-12:]
        drawn = data.draw(st.lists(st.sampled_from(own), min_size=1, max_size=5, unique=True))
        return worker, drawn

    # -- entering -----------------------------------------------------------------------------------------------

    @rule(specs=st.lists(SPECS, min_size=1, max_size=4))
    def enqueue(self, specs: list[Spec]) -> None:
        query = (
            "SELECT penstock.enqueue_many(%s, %s, %s::jsonb[], %s, p_delays => %s, p_unique_keys => %s, "
            "p_until_start => %s, p_unique_seconds => %s::double precision[], p_refuse => %s)"
        )
        if self.model.refuses(specs):
            with pytest.raises(psycopg.DatabaseError) as refused:
                self.one(query, *enqueue_arguments(specs))
            assert refused.value.sqlstate == "PN002"
            return
        ids = self.one(query, *enqueue_arguments(specs))
        assert self.model.enqueue(specs, ids) == ids

    @precondition(lambda self: self.model.ids("scheduled"))
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        """Some deferred jobs are due; nothing happens by itself."""
        for number in self.some(data, self.model.ids("scheduled")):
            self.dues += 1
            self.model.jobs[number].due = self.dues
            past = "UPDATE penstock.job SET due_at = clock_timestamp() - interval '1 h' + %s * interval '1 ms' "
            self.db.execute(f"{past} WHERE id = %s".encode(), [self.dues, number])

    @rule()
    def promote(self) -> None:
        due = {number: job.due for number, job in self.model.jobs.items() if job.due is not None}
        assert self.one(desk.PROMOTE) == self.model.promote()
        for queue in ("a", "b"):
            query = "SELECT id FROM penstock.job WHERE id = ANY (%s) AND queue = %s ORDER BY ord"
            entered = self.rows(query, list(due), self.queues[queue])
            assert [due[row[0]] for row in entered] == sorted(due[row[0]] or 0 for row in entered)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def retry_now(self, data: st.DataObject) -> None:
        ids = self.some(data, list(self.model.jobs))
        assert self.one("SELECT penstock.retry_now(%s)", ids) == self.model.retry_now(ids)

    @precondition(lambda self: self.model.ids("dead"))
    @rule(data=st.data(), drop_key=st.booleans())
    def redrive(self, data: st.DataObject, drop_key: bool) -> None:
        ids = self.some(data, self.model.ids("dead"))
        answer = dict(self.rows("SELECT id, holder FROM penstock.redrive(%s, %s)", ids, drop_key))
        assert answer == self.model.redrive(ids, drop_key=drop_key)

    @precondition(lambda self: self.model.ids("dead"))
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        ids = self.some(data, list(self.model.jobs))
        assert self.one("SELECT penstock.discard(%s)", ids) == self.model.discard(ids)

    # -- running ------------------------------------------------------------------------------------------------

    @precondition(lambda self: sum(map(self.model.may_claim, self.model.workers)) < 3)
    @rule(queue=QUEUES)
    def enter(self, queue: str) -> None:
        self.register(queue)

    def register(self, queue: str) -> None:
        worker = self.one("SELECT worker FROM penstock.register(%s, 'test', NULL, NULL, '0', 1, 60, '{}')", queue)
        assert worker not in self.model.workers
        self.model.workers[worker] = Worker(queue)

    @precondition(lambda self: self.model.workers and self.model.ids("queued"))
    @rule(data=st.data(), maximum=st.sampled_from([2, 6, 20]))
    def claim_again(self, data: st.DataObject, maximum: int) -> None:
        """Twice among the rules, because most of the others need a running job."""
        self.claim(data=data, maximum=maximum)

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data(), maximum=st.integers(1, 6))
    def claim(self, data: st.DataObject, maximum: int) -> None:
        able = list(filter(self.model.may_claim, sorted(self.model.workers)))
        anybody = not able or data.draw(st.integers(0, 4)) == 0
        self.claim_for(data.draw(st.sampled_from(sorted(self.model.workers) if anybody else able)), maximum)

    def claim_for(self, worker: int, maximum: int) -> None:
        token, queue = desk.token(), self.queues[self.model.workers[worker].queue]
        if not self.model.may_claim(worker):
            with pytest.raises(psycopg.DatabaseError) as refused:
                self.rows(desk.CLAIM, worker, queue, maximum, token)
            assert refused.value.sqlstate == "PN001"
            return
        rows = self.rows(desk.CLAIM, worker, queue, maximum, token)
        assert len(rows) == self.model.claimable(worker, maximum)
        self.model.claimed(worker, token, [row[0] for row in rows])
        assert {row[0]: row[1] for row in rows} == {row[0]: self.model.jobs[row[0]].attempt for row in rows}

    @precondition(lambda self: self.model.attempts)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        worker, attempts = self.attempts_of(data)
        states = [data.draw(STATES) for _ in attempts]
        rows = self.rows(
            ACK, worker, [a.job for a in attempts], [a.token for a in attempts], states, [3600.0] * len(attempts)
        )
        assert sorted(rows, key=str) == sorted(self.model.ack(list(zip(attempts, states, strict=True))), key=str)

    @precondition(lambda self: self.model.attempts)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        worker, attempts = self.attempts_of(data)
        back = self.one(desk.RELEASE, worker, [a.job for a in attempts], [a.token for a in attempts])
        assert back == self.model.release(sorted(attempts, key=lambda one: one.job))

    @precondition(lambda self: self.model.attempts)
    @rule(data=st.data(), fresh=st.booleans())
    def give_a_claim_up(self, data: st.DataObject, fresh: bool) -> None:
        """What it took goes back; if it took nothing yet, it never will."""
        worker, (first, *_) = self.attempts_of(data)
        token = desk.token() if fresh else first.token
        queue = self.queues[self.model.jobs[first.job].spec.queue]
        assert self.one(desk.RELEASE_CLAIM, worker, queue, token) == self.model.release_claim(worker, token)
        with pytest.raises(psycopg.DatabaseError, match="revoked the token"):
            self.rows(desk.CLAIM, worker, queue, 1, token)

    @precondition(lambda self: len(self.model.attempts) > 0 and len(self.model.workers) > 1)
    @rule(data=st.data())
    def ack_of_a_stranger(self, data: st.DataObject) -> None:
        """A right token in a wrong worker's hand changes nothing."""
        own, attempts = self.attempts_of(data)
        stranger = max(own, *self.model.workers) + 1
        ids, tokens = [a.job for a in attempts], [a.token for a in attempts]
        self.rows(ACK, stranger, ids, tokens, ["failed"] * len(ids), None)

    @precondition(lambda self: self.model.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ids = self.some(data, list(self.model.jobs))
        assert dict(self.rows("SELECT id, verdict FROM penstock.cancel_jobs(%s)", ids)) == self.model.cancel(ids)

    @rule(queue=QUEUES, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        assert self.one("SELECT penstock.pause(%s, %s)", queue, paused)
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(queue=QUEUES, maximum=st.sampled_from([None, 1, 2, 4]))
    def limit(self, queue: str, maximum: int | None) -> None:
        self.db.execute("SELECT penstock.set_limit(%s, %s)", [self.queues[queue], maximum])
        if maximum is None:
            self.model.limits.pop(queue, None)
            self.model.counted.discard(queue)
        else:
            self.model.limits[queue] = maximum

    @precondition(lambda self: set(self.model.limits) - self.model.counted)
    @rule()
    def count_limits(self) -> None:
        desk.until(lambda: self.one("SELECT penstock.count_limits()") == 0)
        self.model.counted |= set(self.model.limits)

    # -- workers ------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data())
    def lapse(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.workers)))
        desk.lapse(self.db, desk.Worker(worker, 0))
        self.model.workers[worker].lapsed = True

    @precondition(lambda self: self.model.ids("running") and self.model.workers)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """A worker that holds jobs dies; they are ready again, and another worker is there."""
        holding = {job.claim.worker for job in self.model.jobs.values() if job.claim} & self.model.workers.keys()
        worker = data.draw(st.sampled_from(sorted(holding or self.model.workers)))
        self.model.workers[worker].lapsed = True
        desk.lapse(self.db, desk.Worker(worker, 0))
        ids = [job.id for job in self.model.jobs.values() if job.claim and job.claim.worker == worker]
        self.rescue()
        assert self.one("SELECT penstock.retry_now(%s)", ids) == self.model.retry_now(ids)
        self.register(self.model.workers[worker].queue)

    @rule(strays=st.booleans())
    def rescue(self, strays: bool = False) -> None:
        running = self.model.ids("running")
        answer = self.rows("SELECT * FROM penstock.rescue('leader', %s, %s)", desk.QUIET_LEASE, strays)
        assert answer == [self.model.rescue(strays=strays)]
        self.not_due_yet(running)

    @precondition(lambda self: self.model.ids("running"))
    @rule(data=st.data())
    def overdue(self, data: st.DataObject) -> None:
        """Some running jobs are past their deadline; their workers live."""
        ids = self.some(data, self.model.ids("running"))
        self.db.execute("UPDATE penstock.job SET deadline = now() - interval '1 s' WHERE id = ANY (%s)", [ids])
        assert self.rows(desk.OVERDUE, "leader", desk.QUIET_LEASE) == [self.model.overdue(ids)]
        self.not_due_yet(ids)

    def not_due_yet(self, ids: list[int]) -> None:
        """What was deferred by chance is due when the model says so."""
        later = "UPDATE penstock.job SET due_at = due_at + interval '1 h' WHERE id = ANY (%s) AND due_at IS NOT NULL"
        self.db.execute(later.encode(), [ids])

    @precondition(lambda self: len(self.model.workers) > 1)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        """A worker's row is gone, whatever it holds."""
        worker = data.draw(st.sampled_from(sorted(self.model.workers)))
        self.db.execute("DELETE FROM penstock.worker WHERE id = %s", [worker])
        del self.model.workers[worker]

    @precondition(lambda self: self.model.attempts)
    @rule(data=st.data(), drained=st.booleans())
    def renew(self, data: st.DataObject, drained: bool) -> None:
        worker, ours = self.attempts_of(data)
        ((state, fenced, flagged),) = self.rows(RENEW, worker, [a.job for a in ours], [a.token for a in ours], drained)
        assert (state, set(fenced or ()), set(flagged or ())) == self.model.renew(worker, ours, drained=drained)

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data(), cordon=st.sampled_from([True, False, None]))
    def cordon_or_drain(self, data: st.DataObject, cordon: bool | None) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.workers)))
        if cordon is None:
            assert self.rows("SELECT penstock.begin_drain(%s)", worker) == [(self.model.start_drain(worker),)]
        else:
            changed = self.rows("SELECT penstock.cordon(%s, %s)", [worker], cordon)
            assert bool(changed) == self.model.cordon(worker, cordon=cordon)

    @precondition(lambda self: self.model.workers)
    @rule(data=st.data())
    def deregister(self, data: st.DataObject) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.workers)))
        self.db.execute("SELECT penstock.deregister(%s, %s)", [worker, self.model.deregister(worker)])

    @rule()
    def publish_marks(self) -> None:
        """A claim may start its scan at a mark; it brings what it would have brought without one."""
        ((last, horizon),) = self.rows("SELECT * FROM penstock.begin_marks()")
        desk.until(lambda: self.one("SELECT penstock.publish_marks(%s, %s)", last, horizon) is not None)


def test_any_order_of_calls_leaves_what_the_model_says(pg_newest):
    """Twenty-odd calls drawn at random, forty at a time; after each one everything is compared."""
    with pg_newest.connect() as db:
        run_state_machine_as_test(
            lambda: StoreMachine(db),  # type: ignore[arg-type]  # any factory
            settings=settings(
                max_examples=1500 if LONG else 50,
                stateful_step_count=80 if LONG else 50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                derandomize=not LONG,
            ),
        )
