"""`penstock jobs why` on a real server: each reason brought about by what brings it about, seen by an observer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.cli import main
from penstock.cli.why import Why
from penstock.store import grants_sql
from tests.postgres import desk
from tests.postgres.logins import Owned, logins
from tests.support.postgres import Database

ACK = "SELECT * FROM penstock.ack(%s, %s, %s, %s, p_delays => %s, p_reasons => %s, p_errors => %s::jsonb[])"
ERROR = json.dumps({"type": "builtins.ValueError", "message": "4929-1234", "traceback": "4929-1234", "attempt": 1})


class Scene:
    """A database with a worker `w` of queue `q`, changed by an admin, asked about by an observer."""

    def __init__(self, admin: psycopg.Connection[Any], url: str, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.admin, self._capsys = admin, capsys
        monkeypatch.setenv("PENSTOCK_DATABASE_URL", url)
        self.worker = desk.register(admin)
        self.code = -1

    def why(self, job: int) -> tuple[Why, str, list[Why]]:
        """The reason, its sentence, and what else."""
        with pytest.raises(SystemExit) as exit_:
            main(["jobs", "why", str(job), "-o", "json"])
        answer = json.loads(self._capsys.readouterr().out)
        self.code = int(exit_.value.code or 0)
        assert "4929" not in json.dumps(answer)
        assert answer["facts"]["now"]
        return Why(answer["why"]), answer["message"], [Why(one["why"]) for one in answer["also"]]

    def claim(self, count: int = 1) -> tuple[list[int], int]:
        """Claim; ids and the token."""
        token = desk.token()
        rows = self.admin.execute(desk.CLAIM, [self.worker.id, self.worker.queue, count, token]).fetchall()
        return [row[0] for row in rows], token

    def end(self, job: int, token: int, state: str, reason: str | None, *, error: bool = False) -> None:
        """Acknowledge one attempt; what is deferred is for a minute."""
        values = [[job], [token], [state], [60.0], [reason], [ERROR if error else None]]
        assert self.admin.execute(ACK, [self.worker.id, *values]).fetchall() == []

    def do(self, statement: str, *values: object) -> None:
        self.admin.execute(statement.encode(), values)


@pytest.fixture
def scene(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """With a worker that has a slot."""
    with logins(pg_newest, "observer") as [login], pg_newest.connect() as admin:
        admin.execute(grants_sql("observer", login.partition(":")[0]).encode())
        yield Scene(admin, Owned(pg_newest, login).url(login), capsys, monkeypatch)


def test_no_such_job(scene: Scene):
    """An answer, and a failure."""
    assert scene.why(42)[0] is Why.NO_SUCH_JOB
    assert scene.code == 1


@pytest.mark.parametrize(
    ("state", "why", "named"),
    [
        ("completed", Why.COMPLETED, "by worker 1"),
        ("failed", Why.DEAD, "exhausted, builtins.ValueError, attempt 1 of 5"),
    ],
)
def test_an_attempt_that_ended_the_job(scene: Scene, state: str, why: Why, named: str):
    """When, by whom, with which type of error."""
    [job] = desk.enqueue(scene.admin)
    _, token = scene.claim()
    scene.end(job, token, state, "exhausted", error=state == "failed")
    found, message, _ = scene.why(job)
    assert (found, scene.code) == (why, 0)
    assert named in message


def test_a_job_that_was_cancelled_before_and_while_it_ran(scene: Scene):
    """The first has ended with its reason, the second ends with its attempt."""
    [runs] = desk.enqueue(scene.admin)
    scene.claim()
    [waits] = desk.enqueue(scene.admin)
    scene.do("SELECT * FROM penstock.cancel_jobs(%s, 'nobody wants it')", [waits, runs])
    found, message, _ = scene.why(waits)
    assert (found, "nobody wants it" in message) == (Why.CANCELLED, True)
    assert scene.why(runs)[0] is Why.CANCELLING


def test_a_dead_letter_whose_key_another_job_has(scene: Scene):
    """It is named."""
    [first] = desk.enqueue(scene.admin, p_unique_keys=["k"])
    _, token = scene.claim()
    scene.end(first, token, "failed", "exhausted")
    [second] = desk.enqueue(scene.admin, p_unique_keys=["k"])
    found, message, _ = scene.why(first)
    assert (found, message.endswith(f"belongs to job {second}")) == (Why.KEY_TAKEN, True)


def test_a_running_job_and_one_whose_worker_is_gone(scene: Scene):
    """As the lease says; a worker that was forgotten altogether is gone too."""
    [job] = desk.enqueue(scene.admin)
    scene.claim()
    found, message, _ = scene.why(job)
    assert (found, f"(worker {scene.worker.id}, lease expires in" in message) == (Why.RUNNING, True)
    desk.lapse(scene.admin, scene.worker)
    assert scene.why(job)[0] is Why.WORKER_GONE
    scene.do("DELETE FROM penstock.worker")
    assert scene.why(job)[0] is Why.WORKER_GONE


@pytest.mark.parametrize(
    ("state", "reason", "why"),
    [
        ("retry", "error", Why.RETRY),
        ("retry", "timeout", Why.RETRY),
        ("retry", "crash", Why.CRASH),
        ("snooze", "no_child", Why.CRASH),
        ("snooze", "asked", Why.REQUESTED),
        ("retry", "too early", Why.REQUESTED),
        ("snooze", "task_unknown", Why.TASK_UNKNOWN),
        ("snooze", "breaker", Why.BREAKER_OPEN),
        ("snooze", "incompatible_arguments", Why.INCOMPATIBLE_ARGUMENTS),
    ],
)
def test_a_deferred_attempt_says_what_for(scene: Scene, state: str, reason: str, why: Why):
    """In the words that a worker acknowledges with."""
    [job] = desk.enqueue(scene.admin)
    retry = '{"strategy": "constant", "base_seconds": 60}'  # with jitter a retry may be due at once
    scene.do("UPDATE penstock.queue SET retry = %s", retry)
    _, token = scene.claim()
    scene.end(job, token, state, reason, error=state == "retry")
    found, message, also = scene.why(job)
    assert (found, also) == (why, [])
    assert "deferred for another " in message
    assert ("failed with builtins.ValueError" in message) is (reason == "error")


def test_a_job_that_was_enqueued_for_later(scene: Scene):
    """And what would stop it then."""
    [job] = desk.enqueue(scene.admin, p_delays=[60.0])
    scene.do("SELECT penstock.pause('q', true)")
    found, _, also = scene.why(job)
    assert (found, also) == (Why.SCHEDULED, [Why.PAUSED])


def test_a_job_of_a_lost_worker_and_one_past_its_deadline(scene: Scene):
    """Rescued by maintenance itself."""
    retry = '{"strategy": "constant", "base_seconds": 60}'
    scene.do("UPDATE penstock.queue SET job_deadline = '1 second', retry = %s", retry)
    [late] = desk.enqueue(scene.admin)
    scene.claim()
    scene.do("UPDATE penstock.job SET deadline = clock_timestamp() - interval '1 second'")
    desk.lead_for_long(scene.admin)
    overdue = "SELECT * FROM penstock.rescue_overdue('leader', 0.05)"
    desk.until(lambda: scene.admin.execute(overdue).fetchone() == (1, 0))
    assert scene.why(late)[0] is Why.DEADLINE
    [lost] = desk.enqueue(scene.admin)
    scene.claim()
    desk.lapse(scene.admin, scene.worker)
    desk.until(lambda: scene.admin.execute(desk.RESCUE, ["leader", desk.QUIET_LEASE]).fetchone() == (1, 1, 0))
    scene.do("UPDATE penstock.job SET due_at = due_at + interval '1 minute' WHERE id = %s", lost)
    found, _, also = scene.why(lost)
    assert (found, also) == (Why.CRASH, [Why.UNDECLARED])


def test_a_due_job_that_nobody_promoted(scene: Scene):
    """There is no maintenance leader here."""
    [job] = desk.enqueue(scene.admin, p_delays=[60.0])
    scene.do("UPDATE penstock.job SET due_at = clock_timestamp() - interval '1 minute'")
    found, message, _ = scene.why(job)
    assert (found, message.endswith("maintenance has no leader")) == (Why.NOT_PROMOTED, True)


def test_a_paused_queue(scene: Scene):
    """By a login, and by its JobQueue."""
    [job] = desk.enqueue(scene.admin)
    scene.do("SELECT penstock.pause('q', true)")
    found, message, _ = scene.why(job)
    login = scene.admin.info.user
    assert (found, message.endswith(f" by {login}")) == (Why.PAUSED, True)
    scene.do("SELECT penstock.pause('q', false)")
    scene.do("SELECT penstock.declare_queue('q', 'uid', 1, true, 5::smallint, NULL, NULL, 60, '{}')")
    assert scene.why(job)[1].endswith("by its JobQueue (spec.stopPolicy)")


def test_a_limit_that_is_counted_and_one_that_is_reached(scene: Scene):
    """One job in flight lets nothing else through."""
    first, second = desk.enqueue(scene.admin, 2)
    scene.do("SELECT penstock.set_limit(%s, 1)", scene.worker.queue)
    assert scene.why(first)[0] is Why.LIMIT_COUNTED
    scene.do("UPDATE penstock.queue_limit SET in_flight = 0")
    assert scene.why(first)[0] is Why.NEXT
    assert scene.claim(2)[0] == [first]
    found, message, also = scene.why(second)
    assert (found, "has 1 job in flight" in message) == (Why.AT_LIMIT, True)
    assert also == [Why.BUSY]


def test_no_worker_and_workers_that_ask_for_nothing(scene: Scene):
    """Undeclared, declared, cordoned."""
    [job] = desk.enqueue(scene.admin)
    scene.do("SELECT penstock.cordon(%s, true)", [scene.worker.id])
    assert scene.why(job)[0] is Why.CORDONED
    desk.lapse(scene.admin, scene.worker)
    assert scene.why(job)[0] is Why.UNDECLARED
    scene.do("SELECT penstock.declare_queue('q', 'uid', 1, false, 5::smallint, NULL, NULL, 60, '{}')")
    assert scene.why(job)[0] is Why.NO_WORKER


def test_a_job_that_is_run_alone_and_one_that_waits_for_it(scene: Scene):
    """After two losses of its worker."""
    suspect, other = desk.enqueue(scene.admin, 2)
    scene.do("UPDATE penstock.job SET crashes = 2 WHERE id = %s", suspect)
    assert scene.why(suspect)[0] is Why.NEEDS_ISOLATION
    assert scene.claim()[0] == [suspect]
    found, message, _ = scene.why(other)
    assert (found, f"runs job {suspect} alone" in message) == (Why.ISOLATED_JOB, True)


def test_a_job_after_others_one_without_a_free_slot_and_one_that_is_next(scene: Scene):
    """Counted by priority and by order."""
    early, late = desk.enqueue(scene.admin, 2)
    [urgent] = desk.enqueue(scene.admin, p_priorities=[0])
    found, message, _ = scene.why(late)
    assert (found, message) == (
        Why.JOBS_AHEAD,
        "jobs that run first: 1 with a higher priority and 1 enqueued earlier; 1 slot, 0 running",
    )
    assert scene.why(urgent)[0] is Why.NEXT
    taken = "token = 1, worker = %s, claimed_at = clock_timestamp(), attempt = 1"  # a claim is free to take a lower one
    scene.do(f"UPDATE penstock.job SET {taken} WHERE id = %s", scene.worker.id, urgent)
    found, message, _ = scene.why(late)
    assert (found, "0 with a higher priority and 1 enqueued earlier" in message) == (Why.BUSY, True)
    assert scene.why(early)[0] is Why.BUSY


def test_the_holder_of_its_row_is_named(scene: Scene, pg_newest: Database):
    """A person in psql, by the pid; the job waits for them whatever else is free."""
    [job] = desk.enqueue(scene.admin)
    with psycopg.connect(pg_newest.url, application_name="lunch") as person:
        person.execute("UPDATE penstock.job SET cancel = cancel")
        found, message, _ = scene.why(job)
        assert (found, f"pid {person.info.backend_pid} " in message) == (Why.LOCKED, True)
        person.rollback()
    assert scene.why(job)[0] is Why.NEXT


def test_an_outcome_that_no_table_took(scene: Scene):
    """Its claim has ended and the attempt counts."""
    [job] = desk.enqueue(scene.admin)
    _, token = scene.claim()
    scene.do("SELECT penstock.end_refused(%s, %s, %s, %s::jsonb)", scene.worker.id, job, token, ERROR)
    found, message, _ = scene.why(job)
    assert (found, "the outcome of attempt 1 of 5 with builtins.ValueError" in message) == (Why.OUTCOME_REJECTED, True)


def test_a_job_below_the_mark_of_a_copy(scene: Scene):
    """Where no claim reads, until maintenance or `penstock migrate` has corrected it."""
    [job] = desk.enqueue(scene.admin)
    scene.do("UPDATE penstock.queue SET marks = '{9,9,9,9}'")
    found, _, others = scene.why(job)
    assert (found, others) == (Why.BELOW_MARK, [])
    scene.do("SELECT penstock.audit('marks')")
    assert scene.why(job)[0] is Why.NEXT


def test_every_reason_was_brought_about():
    """By a test above, which names it."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [why for why in Why if f"Why.{why.name}" not in text] == []
