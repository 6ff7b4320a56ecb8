"""Acknowledgements: each outcome is answered for exactly once, retried, halved, postponed or fenced, never lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.errors import DatabaseUnavailable, RejectedByDatabase, SchemaMissing
from penstock.job import OutcomeState
from penstock.runtime.claims.acknowledger import REFUSED
from penstock.runtime.execution.outcomes import INCOMPATIBLE, INVALID
from tests.unit.runtime.claims.acknowledger_bench import Bench, changed, ids

pytestmark = pytest.mark.looptime


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    await made.acknowledger.start()
    yield made
    await made.acknowledger.stop(timeout=60)


async def test_a_batch_is_one_statement_after_which_its_claims_are_gone(bench):
    """Counted once, with the time that it took; what passes on is what forensics added to."""
    outcomes = bench.hold(3)
    await bench.send(outcomes)
    assert bench.calls == [("ack", ids(outcomes))]
    assert [one.forensics for one in bench.store.stored] == ['{"seen":1}'] * 3
    assert len(bench.held_claims) == 0
    assert bench.held_claims.done == {"q": 3}
    assert bench.accepted == [3]
    assert (bench.metrics.fenced, bench.metrics.postponed, bench.metrics.unstored) == (0, 0, 0)
    assert bench.metrics.events["consumers"] == 3
    assert bench.metrics.events["acknowledger"] == 3
    assert bench.letters.settled_batches == [bench.store.stored]
    assert bench.acknowledger.ack_error is None


async def test_outcomes_of_two_registrations_are_acknowledged_for_the_worker_that_claimed_them(bench):
    """After a lost lease a worker has a new id; the old claims are the old worker's."""
    old, new = bench.hold(2, worker=1), bench.hold(1, worker=2)
    await bench.send([*old, *new])
    assert bench.store.calls == [("ack", 1, ids(old)), ("ack", 2, ids(new))]
    assert bench.accepted == [3]


async def test_an_acknowledgement_is_repeated_until_it_is_answered_and_the_error_is_shown(bench, caplog):
    """It is idempotent, and the outcome exists nowhere else; meanwhile the claims stay."""
    outcomes = bench.hold(2)
    bench.store.errors = [DatabaseUnavailable("gone"), DatabaseUnavailable("still gone")]
    sending = asyncio.get_running_loop().create_task(bench.send(outcomes))
    await changed(bench, lambda: bench.acknowledger.ack_error == "still gone")
    assert len(bench.held_claims) == 2
    assert bench.accepted == []
    await sending
    assert bench.calls == [("ack", ids(outcomes))] * 3
    assert bench.acknowledger.ack_error is None
    assert len(bench.held_claims) == 0
    assert bench.accepted == [2]
    assert caplog.messages.count("acknowledgement failed, retrying") == 2


async def test_repeated_acknowledgements_wait_longer_and_longer(bench):
    """A database that comes back is not overrun; the delays double up to five seconds."""
    bench.store.errors = [DatabaseUnavailable("gone") for _ in range(40)]
    started = asyncio.get_running_loop().time()
    await bench.send(bench.hold(1))
    took = asyncio.get_running_loop().time() - started
    assert 40 < took < 200


async def test_a_cut_acknowledgement_still_returns_its_room(bench):
    """The stage is stopped in the middle: the consumers must not wait for an answer that cannot come."""
    bench.store.errors = [DatabaseUnavailable("gone")] * 100
    sending = asyncio.get_running_loop().create_task(bench.send(bench.hold(2)))
    await changed(bench, lambda: bench.acknowledger.ack_error)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    assert bench.accepted == [2]


async def test_one_rejected_outcome_fails_its_attempt_and_the_rest_of_the_batch_is_stored(bench, caplog):
    """Found by halving; its failure says what the database said, and carries no result."""
    outcomes = bench.hold(5)
    bad = outcomes[3]
    bench.store.rejected = {bad.job.id}
    await bench.send(outcomes)
    assert sorted(ids(bench.store.stored)) == sorted(ids(outcomes))
    (failure,) = [one for one in bench.store.stored if one.job.id == bad.job.id]
    assert (failure.state, failure.reason, failure.result, failure.forensics) == (
        OutcomeState.FAILED,
        REFUSED,
        None,
        "{}",
    )
    assert msgspec.json.decode(failure.error or "")["message"] == f"job {bad.job.id}: no"
    assert {one.state for one in bench.store.stored if one is not failure} == {OutcomeState.COMPLETED}
    assert len(bench.held_claims) == 0
    assert bench.accepted == [5]
    assert caplog.messages.count("outcome rejected by the database, the attempt fails") == 1


async def test_an_outcome_that_cannot_be_stored_at_all_ends_its_claim(bench, caplog):
    """The failure was rejected as well: the attempt counts, and the job is deferred by the database."""
    (outcome,) = bench.hold(1)
    bench.store.unstorable = {outcome.job.id}
    await bench.send([outcome])
    assert [(number, error["message"]) for number, error in bench.store.ended] == [
        (outcome.job.id, f"job {outcome.job.id}: no")
    ]
    assert len(bench.held_claims) == 0
    assert bench.accepted == [1]
    assert bench.settled == []
    assert "outcome cannot be stored, the attempt counts" in caplog.messages
    assert caplog.records[-1].__dict__["due_in_seconds"] == 7


async def test_a_claim_that_was_lost_before_it_could_be_ended_is_forgotten(bench, caplog):
    """There is nothing left to end."""
    (outcome,) = bench.hold(1)
    bench.store.unstorable, bench.store.due = {outcome.job.id}, None
    await bench.send([outcome])
    assert len(bench.held_claims) == 0
    assert "outcome cannot be stored, the claim was lost" in caplog.messages


async def test_the_last_resort_is_repeated_until_it_is_answered(bench):
    """Two rejections of the outcome, two errors of the last resort, then the answer."""
    (outcome,) = bench.hold(1)
    rejected = RejectedByDatabase("no")
    bench.store.errors = [rejected, rejected, DatabaseUnavailable("gone"), DatabaseUnavailable("gone")]
    sending = asyncio.get_running_loop().create_task(bench.send([outcome]))
    await changed(bench, lambda: bench.acknowledger.ack_error == "gone")
    assert len(bench.held_claims) == 1
    await sending
    assert [name for name, _ in bench.calls] == ["ack", "ack", "end_refused", "end_refused", "end_refused"]
    assert len(bench.held_claims) == 0
    assert bench.acknowledger.ack_error is None


@pytest.mark.parametrize("refusal", [SchemaMissing("no function"), RejectedByDatabase("no")])
async def test_a_claim_that_cannot_even_be_ended_is_kept_until_the_lease_expires(bench, caplog, refusal):
    """Repeating it cannot help, and forgetting the claim would let it end twice."""
    (outcome,) = bench.hold(1)
    rejected = RejectedByDatabase("no")
    bench.store.errors = [rejected, rejected, refusal]
    await bench.send([outcome])
    assert len(bench.calls) == 3
    assert len(bench.held_claims) == 1
    assert bench.accepted == [1]
    assert "claim of a job kept until the lease of its worker expires" in caplog.messages


async def test_locked_rows_delay_their_own_outcomes_alone(bench):
    """The rest of the batch is stored at once; the locked ones stay claimed and keep their room."""
    outcomes = bench.hold(4)
    bench.store.locked = {outcomes[1].job.id, outcomes[2].job.id}
    await bench.send(outcomes)
    assert [name for name, _ in bench.calls] == ["ack", "ack_unlocked"]
    assert ids(bench.store.stored) == [outcomes[0].job.id, outcomes[3].job.id]
    assert {one.id for one in bench.held_claims.snapshot()} == bench.store.locked
    assert bench.accepted == [2]
    assert (bench.metrics.postponed, bench.metrics.unstored) == (2, 2)
    assert bench.metrics.events["acknowledger"] == 2


async def test_postponed_outcomes_are_stored_when_their_rows_are_free_again(bench):
    """Without a further batch; their room returns then."""
    outcomes = bench.hold(3)
    bench.store.locked = {outcomes[0].job.id, outcomes[2].job.id}
    await bench.send(outcomes)
    bench.store.locked.discard(outcomes[2].job.id)
    await changed(bench, lambda: bench.accepted == [1, 1])
    assert (bench.metrics.postponed, bench.metrics.unstored) == (2, 1)
    bench.store.locked.clear()
    await changed(bench, lambda: bench.accepted == [1, 1, 1])
    assert sorted(ids(bench.store.stored)) == sorted(ids(outcomes))
    assert len(bench.held_claims) == 0
    assert (bench.metrics.postponed, bench.metrics.unstored) == (2, 0)


async def test_a_postponed_outcome_that_is_rejected_fails_its_attempt(bench):
    """The same halving as for a batch that is sent for the first time."""
    outcomes = bench.hold(2)
    bench.store.locked = set(ids(outcomes))
    await bench.send(outcomes)
    bench.store.locked, bench.store.rejected = set(), {outcomes[1].job.id}
    await changed(bench, lambda: len(bench.held_claims) == 0)
    assert {one.job.id: one.reason for one in bench.store.stored} == {
        outcomes[0].job.id: None,
        outcomes[1].job.id: REFUSED,
    }
    assert sum(bench.accepted) == 2


async def test_a_claim_to_be_ended_whose_row_is_locked_is_postponed(bench):
    """Nothing was written: it is neither forgotten nor answered."""
    (outcome,) = bench.hold(1)
    rejected = RejectedByDatabase("no")
    bench.store.errors, bench.store.locked = [rejected, rejected], {outcome.job.id}
    await bench.send([outcome])
    assert [name for name, _ in bench.calls][:3] == ["ack", "ack", "end_refused"]
    assert len(bench.held_claims) == 1
    assert bench.accepted == [0]
    bench.store.locked = set()
    await changed(bench, lambda: bench.accepted == [0, 1])


async def test_what_is_still_postponed_at_the_stop_is_left_to_the_lease(bench, caplog):
    """An error names the number; nothing is sent after the stop."""
    outcomes = bench.hold(2)
    bench.store.locked = set(ids(outcomes))
    await bench.send(outcomes)
    await bench.acknowledger.stop(timeout=60)
    sent = len(bench.calls)
    await asyncio.sleep(60)
    assert len(bench.calls) == sent
    record = caplog.records[-1]
    assert (record.message, record.__dict__["outcomes"]) == (
        "outcomes not stored, other transactions lock their jobs' rows",
        2,
    )


async def test_a_stop_with_nothing_postponed_logs_nothing(bench, caplog):
    """A normal stop has no error line."""
    await bench.send(bench.hold(1))
    await bench.acknowledger.stop(timeout=60)
    assert caplog.messages == []


async def test_outcomes_of_lost_claims_are_dropped_and_counted(bench, caplog):
    """Another worker has the job: neither an outcome of this one nor a line of its failures."""
    outcomes = bench.hold(3)
    lost = outcomes[1]
    bench.store.stored_as = {lost.job.id: None}
    await bench.send(outcomes)
    assert bench.metrics.fenced == 1
    assert bench.metrics.events["acknowledger"] == 2
    assert ids(bench.settled) == [outcomes[0].job.id, outcomes[2].job.id]
    assert len(bench.held_claims) == 0
    assert bench.held_claims.done == {"q": 2}
    assert bench.accepted == [3]
    fenced = [record for record in caplog.records if record.message == "outcome fenced, the claim was lost"]
    assert [record.__dict__["job"] for record in fenced] == [lost.job.id]


async def test_an_outcome_is_reported_as_the_database_stored_it(bench):
    """A job that was flagged for cancellation while it ran is cancelled, whatever its attempt returned."""
    retry = msgspec.structs.replace(bench.hold(1)[0], state=OutcomeState.RETRY, delay=3.0, reason="error")
    done = bench.hold(1)
    bench.store.stored_as = {retry.job.id: "cancelled"}
    await bench.send([retry, *done])
    assert [(one.state, one.reason, one.delay) for one in bench.settled] == [
        (OutcomeState.CANCELLED, "error", 0.0),
        (OutcomeState.COMPLETED, None, 0.0),
    ]
    assert bench.metrics.fenced == 0


async def test_a_job_that_waited_too_long_for_its_release_is_reported_as_invalid(bench):
    """Only the database knows how long it has waited."""
    snoozed = msgspec.structs.replace(bench.hold(1)[0], state=OutcomeState.SNOOZE, reason=INCOMPATIBLE)
    failed = msgspec.structs.replace(bench.hold(1)[0], state=OutcomeState.RETRY, reason="error")
    bench.store.stored_as = {snoozed.job.id: "failed", failed.job.id: "failed"}
    await bench.send([snoozed, failed])
    assert [(one.state, one.reason) for one in bench.settled] == [
        (OutcomeState.FAILED, INVALID),
        (OutcomeState.FAILED, "error"),
    ]
