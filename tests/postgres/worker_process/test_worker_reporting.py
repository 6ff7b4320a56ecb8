"""What a worker reports while it runs: circuits, hooks, dead letters, progress, its place in the registry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

import psycopg
import pytest
from opentelemetry.sdk.trace import TracerProvider

from penstock import JobState
from penstock.cli.workers import worker_table
from penstock.errors import MissingRights, SchemaMissing
from penstock.store import check_login_and_schema, migrate
from penstock.store.inspect.inspection import Reader
from tests.postgres import desk
from tests.postgres.logins import member, owned_by_a_login
from tests.postgres.worker_process import reporting_jobs
from tests.postgres.workers import WorkerProcess, lines
from tests.support.postgres import Database

Start = Callable[..., WorkerProcess]


@pytest.fixture
def launch(start: Start) -> Iterator[Start]:
    """Starts a worker of the application that reports."""
    yield partial(start, app="tests.postgres.worker_process.reporting_jobs:app")
    reporting_jobs.app.close()


def value(db: psycopg.Connection, query: str) -> object:
    row = db.execute(query.encode()).fetchone()
    return None if row is None else row[0]


def test_a_task_that_mostly_fails_is_left_alone_until_it_is_well_again(launch, newest, trace):
    """Failures open its circuit; the other jobs wait, attempts refunded, and run once a probe succeeds."""
    sick = trace.with_name("sick")
    sick.touch()
    handles = [reporting_jobs.flaky.enqueue() for _ in range(10)]
    worker = launch(
        concurrency=1, circuit_failure_percent=50, circuit_minimum_calls=3, circuit_open_seconds=2, lease_seconds=5
    )
    put_off = "SELECT count(*) FROM penstock.job WHERE reason = 'breaker' AND attempt = 0 AND due_at IS NOT NULL"
    dead = "SELECT count(*) FROM penstock.dead"
    desk.until(lambda: newest.execute(f"SELECT ({put_off}) + ({dead})".encode()).fetchone() == (10,))
    failed, waiting = value(newest, dead), value(newest, put_off)
    assert isinstance(failed, int)
    assert 3 <= failed < 10  # more than three where the machine is slow: probes
    seen = newest.execute("SELECT ready, deferred, due_soon FROM penstock.snapshot(1000, 60)").fetchone()
    assert seen == (0, waiting, 0)  # no worker is started for jobs that workers put off
    assert worker.metric(newest, "penstock_circuit_state", task="flaky") > 0
    assert worker.metric(newest, "penstock_circuit_blocked_total", task="flaky") >= 10 - failed
    sick.unlink()

    def all_ran() -> bool:
        newest.execute(
            "UPDATE penstock.job SET due_at = clock_timestamp() WHERE due_at IS NOT NULL"
        )  # no half a minute
        return [handle.status() for handle in handles].count(JobState.COMPLETED) == waiting

    desk.until(all_ran)
    desk.until(lambda: worker.metric(newest, "penstock_circuit_state", task="flaky") == 0)
    code, said = worker.end()
    assert code == 0
    assert "circuit opened" in said
    assert said.count("circuit closed") == 1


def test_a_dead_letter_is_reported_and_keeps_what_was_around_it(launch, newest, trace):
    """To the hooks after its commit, in the log with its job, and in its forensics."""
    trace.with_name("sick").touch()
    worker = launch(log_format="json", pod_name="pod-7")
    handle = reporting_jobs.flaky.enqueue()
    desk.until(lambda: f"dead {handle.id} q flaky exhausted False" in lines(trace))
    assert handle.status() is JobState.DEAD
    expected = {
        f"start {handle.id}",
        f"exception {handle.id} ConnectionError True",
        f"stop {handle.id} failed exhausted",
        "depth q 0",
    }
    desk.until(lambda: expected <= {line.replace("depth q 1", "depth q 0") for line in lines(trace)})
    forensics = value(newest, "SELECT forensics FROM penstock.dead")
    assert isinstance(forensics, dict)
    assert (forensics["made_by"], forensics["pod"], forensics["claims"]) == ("worker", "pod-7", 1)
    assert "queue" in forensics  # None if reading it took too long
    assert forensics["memory"]["resident_bytes"] > 0
    said = [json.loads(line) for line in worker.end()[1].splitlines()]
    [line] = [line for line in said if line["logger"] == "penstock.attempt"]
    assert (line["job"], line["attempt"], line["task"], line["level"]) == (handle.id, 1, "flaky", "error")


def test_progress_and_what_a_worker_does_are_seen_from_outside(launch, newest, pg_newest, trace):
    """By the job's handle and in the registry, with the next renewal; the task's own line carries its job."""
    worker = launch(lease_seconds=3, log_format="json")
    done = reporting_jobs.work.enqueue()
    done.result(timeout=60)
    with TracerProvider(shutdown_on_exit=False).get_tracer("web").start_as_current_span("request") as request:
        handle = reporting_jobs.advance.enqueue()
    desk.until(lambda: handle.info().progress == {"done": 3, "total": 10, "note": "pages"})
    report = value(newest, "SELECT report FROM penstock.worker")
    assert isinstance(report, dict)
    [one] = report["jobs"]
    assert (one["id"], one["task"], one["attempt"], report["more"]) == (handle.id, "advance", 1, 0)
    assert (report["last"]["id"], report["last"]["outcome"]) == (done.id, "completed")
    with Reader(pg_newest.url) as reader:
        [row] = reader.workers()
    assert [job["id"] for job in row.report["jobs"]] == [handle.id]
    assert f"{done.id} work completed" in worker_table([row])
    trace.with_name("go").touch()
    handle.result(timeout=60)
    assert handle.info().progress is None
    said = [json.loads(line) for line in worker.end()[1].splitlines()]
    [line] = [line for line in said if line["logger"] == "shop"]
    assert (line["job"], line["queue"], line["task"]) == (handle.id, "q", "advance")
    assert f"span {handle.id} process q {request.get_span_context().trace_id:032x}" in lines(trace)
    assert f"span {done.id} process q" in lines(trace)


def test_a_dead_letter_of_a_rescue_is_reported_by_the_rescuer(launch, newest, trace):
    """A worker was lost for the third time around a job: reported once, with what is known of that worker."""
    lost = desk.register(newest)
    [job_id] = desk.enqueue(newest)
    newest.execute("UPDATE penstock.job SET crashes = 2")
    newest.execute(desk.CLAIM, [lost.id, lost.queue, 1, desk.token()])
    desk.lapse(newest, lost)
    worker = launch(lease_seconds=2)
    desk.until(lambda: f"dead {job_id} q work poison True" in lines(trace))
    forensics = value(newest, "SELECT forensics FROM penstock.dead")
    assert isinstance(forensics, dict)
    of_worker = forensics["worker"]
    assert (forensics["made_by"], of_worker["identity"], of_worker["state"]) == ("rescue", "test", "lost")
    assert worker.metric(newest, "penstock_dead_letters_total", task="work") == 1
    assert "poison" in worker.end()[1]
    assert len([line for line in lines(trace) if line.startswith("dead")]) == 1


def test_claims_that_the_server_refuses_fail_readiness_and_not_liveness(launch, newest):
    """A function went missing: the body says which, and all is well once it is back."""
    worker = launch()
    desk.until(lambda: worker.get(newest, "/readyz") == (200, "ok\n"))
    newest.execute("ALTER FUNCTION penstock.claim RENAME TO claimed")
    desk.until(lambda: "cannot claim jobs" in worker.get(newest, "/readyz")[1])
    status, said = worker.get(newest, "/readyz")
    assert (status, "penstock.claim" in said) == (503, True)
    assert worker.get(newest, "/healthz") == (200, "ok\n")
    newest.execute("ALTER FUNCTION penstock.claimed RENAME TO claim")
    desk.until(lambda: worker.get(newest, "/readyz") == (200, "ok\n"))
    code, log = worker.end()
    assert code == 0
    assert log.count("cannot claim jobs, not retrying") == 1


# -- the handshake ------------------------------------------------------------------------------------------------


def test_a_worker_that_could_not_work_says_so_before_it_claims(pg: Database):
    """A function that is missing is named; nothing was run."""
    check_login_and_schema(pg.url)
    with pg.connect() as connection:
        connection.execute("ALTER FUNCTION penstock.release RENAME TO released")
        with pytest.raises(SchemaMissing, match=r"release.*penstock migrate"):
            check_login_and_schema(pg.url)
        assert connection.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
        migrate(pg.url)


def test_a_login_without_the_workers_rights_is_refused_and_the_workers_role_has_them_all(pg_blank: Database):
    """Before it registers; the message has the SQL that helps."""
    with owned_by_a_login(pg_blank) as owned:
        with member(owned, "worker") as url:
            check_login_and_schema(url)
        with member(owned, "observer") as url, pytest.raises(MissingRights, match="GRANT penstock_worker"):
            check_login_and_schema(url)
