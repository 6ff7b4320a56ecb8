"""Schedules of a JobQueue on the real API server: declared, edited and withdrawn with it; pods are ready at a tick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.store.schema.roles import grants_sql
from tests.kube.jobqueue.conftest import QUICK, WORKER, Gate, JobQueues, Start, started
from tests.postgres.logins import Owned, logins
from tests.support.pods import ProcessPods
from tests.support.postgres import Database, Servers
from tests.support.waiting import eventually

NEVER = "2099-01-01T00:00:00Z"
YEAR = 366 * 86_400
"""The longest interval: only the first tick comes while a test runs."""
ATTEMPTS = 5
"""A machine that stalls for seconds has another try."""
STARTUP_SECONDS = 20.0
GATE_OPENS = timedelta(seconds=15)
"""Before the tick: until then the worker waits at its start."""
CODE = """SELECT * FROM penstock.declare_schedules('emails', 'code', jsonb_build_array(jsonb_build_object(
  'name', %s::text, 'spec', '@every 31622400', 'zone', 'UTC', 'starts_at', '2099-01-01T00:00:00Z', 'jitter', 0,
  'lead', 0, 'task', 'work', 'args', '{}'::jsonb, 'missed', 'Once', 'missed_limit', 1, 'overlap', 'Allow',
  'suspended', false, 'next_at', '2099-01-01T00:00:00Z')))"""


def schedule(**changes: Any) -> dict[str, Any]:
    """A schedule whose first tick is at its start date."""
    return {
        "name": "nightly",
        "task": "work",
        "args": {"seconds": 0},
        "everySeconds": YEAR,
        "startDate": NEVER,
    } | changes


def edit(jobqueues: JobQueues, *schedules: dict[str, Any]) -> None:
    """What a commit to the manifest does."""
    jobqueues.patch({"spec": {"schedules": list(schedules)}})


def move(jobqueues: JobQueues, secret: str) -> None:
    """To the database of another Secret; returns once the operator has seen it."""
    jobqueues.patch({"spec": {"databaseRef": {"secretRef": {"name": secret}}}})
    eventually(lambda: seen(jobqueues), "the operator has seen the edit")


def seen(jobqueues: JobQueues) -> bool:
    """Whether the status is of the latest edit."""
    found = jobqueues.get()
    return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])


def declared(database: psycopg.Connection[Any]) -> dict[str, str]:
    """The source of each schedule by name."""
    rows = database.execute("SELECT name, source FROM penstock.list_schedules(ARRAY['emails'])").fetchall()
    return dict(rows)


def valid(jobqueues: JobQueues) -> tuple[str, str] | None:
    """Status and reason."""
    return jobqueues.conditions().get("SchedulesValid")


def clock(database: psycopg.Connection[Any]) -> datetime:
    """The database's."""
    row = database.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    return row[0].astimezone(UTC)  # type: ignore[no-any-return]


def ready(jobqueues: JobQueues) -> bool:
    """True if a pod is ready."""
    conditions = [one for pod in jobqueues.pods() for one in pod.get("status", {}).get("conditions") or ()]
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


@pytest.fixture
def operator_secret(jobqueues: JobQueues, pg_newest: Database) -> Iterator[str]:
    """A Secret with the URL of a login that has the rights of the role operator, and no others."""
    with logins(pg_newest, "operator") as [login]:
        with pg_newest.connect() as owner:
            owner.execute(grants_sql("operator", login.partition(":")[0]).encode())
        jobqueues.secret(Owned(pg_newest, login).url(login), "operator-postgres")
        yield "operator-postgres"


@pytest.fixture
def start_gate(tmp_path: Path, process_pods: Callable[..., ProcessPods]) -> Gate:
    """Pods whose workers start once the gate is open."""
    gate = Gate(tmp_path / "start")
    process_pods({"shop:1": replace(WORKER, env={**WORKER.env, "START_GATE": str(gate.path)})}, pace=0.2)
    return gate


def ready_in_time(jobqueues: JobQueues, start_gate: Gate, database: psycopg.Connection[Any], number: int) -> bool:
    """One tick from zero to zero: False if this machine stalled, which proves nothing."""
    tick = clock(database).replace(microsecond=0) + timedelta(seconds=60)
    edit(jobqueues, schedule(name=f"nightly-{number}", startDate=tick.isoformat().replace("+00:00", "Z")))
    eventually(lambda: f"nightly-{number}" in declared(database), "the edit is declared")
    if clock(database) >= tick:  # declared after it: the next one is a year away
        return False
    eventually(lambda: bool(jobqueues.pods()) or clock(database) >= tick, "a pod, or the tick")
    left = (tick - clock(database)).total_seconds()
    eventually(lambda: clock(database) >= tick - GATE_OPENS, "the worker waited at its start")
    assert not ready(jobqueues)
    start_gate.open()
    eventually(lambda: ready(jobqueues) or clock(database) >= tick, "a ready pod, or the tick")
    in_time = left >= STARTUP_SECONDS and clock(database) < tick
    outcome = "SELECT claimed_at FROM penstock.outcome WHERE final AND claimed_at >= %s"
    rows = eventually(lambda: database.execute(outcome, [tick]).fetchall(), "its job has run")
    assert len(rows) == 1
    late = (rows[0][0] - tick).total_seconds()
    sys.stdout.write(f"requested {left:.1f} s before the tick; ready: {in_time}; job started {late:.3f} s after it\n")
    if in_time:
        notes = [one["note"] for one in jobqueues.events() if one["reason"] == "Activated"]
        assert any(f"(Scheduled). For the tick of nightly-{number} at " in note for note in notes), notes
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "zero again")
    eventually(lambda: not jobqueues.pods(), "no pod is left")
    start_gate.path.unlink()
    assert declared(database) == {f"nightly-{number}": "jobqueue"}
    return in_time


def test_a_tick_has_a_ready_pod_from_zero_and_an_edit_moves_it(
    jobqueues: JobQueues,
    operator_secret: str,
    operator: Start,
    start_gate: Gate,
    pg_url: str,
    database: psycopg.Connection[Any],
):
    """A pod that starts slowly is requested 20 s before the tick, is ready at it, runs its one job, and goes again."""
    own = {"databaseRef__operatorSecretRef": {"name": operator_secret}}
    started(jobqueues, operator, pg_url, schedules=[schedule()], **own)
    eventually(lambda: valid(jobqueues) == ("True", "Valid"), "the schedule is declared")
    status = eventually(lambda: jobqueues.get()["status"].get("schedules"), "the next tick is shown")
    assert status["next"] == {"name": "nightly", "time": NEVER}
    assert status["upcoming"][0]["recurrence"].startswith("every 366 days")
    assert status["upcoming"][0]["nextTicks"][:1] == [NEVER]
    assert jobqueues.deployment()["spec"]["replicas"] == 0

    assert any(ready_in_time(jobqueues, start_gate, database, number) for number in range(ATTEMPTS))
    edit(jobqueues)
    eventually(lambda: valid(jobqueues) == ("True", "NoSchedules"), "the schedule is withdrawn")
    assert declared(database) == {}


def test_the_operator_fires_a_tick_while_no_worker_lives(
    jobqueues: JobQueues,
    operator_secret: str,
    operator: Start,
    start_gate: Gate,
    pg_url: str,
    database: psycopg.Connection[Any],
):
    """With the rights of its own role: the workers wait at their start until the job is there."""
    often = {"name": "often", "task": "work", "args": {"seconds": 0}, "everySeconds": 10, "overlap": "Skip"}
    own = {"databaseRef__operatorSecretRef": {"name": operator_secret}}
    started(jobqueues, operator, pg_url, schedules=[often], **own)
    eventually(lambda: database.execute("SELECT count(*) FROM penstock.job").fetchone() == (1,), "a tick has its job")
    assert database.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
    start_gate.open()
    ended = "SELECT DISTINCT state FROM penstock.outcome WHERE final"
    eventually(lambda: database.execute(ended).fetchall() == [("completed",)], "it has run")


def test_a_wrong_entry_is_a_condition_and_the_others_tick(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """The sentence names the schedule, the rule and what was given; correcting it makes all of them valid."""
    mars = schedule(name="mars", timeZone="Mars/Olympus")
    started(jobqueues, operator, pg_url, schedules=[mars, schedule()])
    eventually(lambda: valid(jobqueues) == ("False", "UnknownTimeZone"), "the zone is unknown")
    message = jobqueues.message("SchedulesValid")
    assert "'mars'" in message
    assert "Mars/Olympus" in message
    assert declared(database) == {"nightly": "jobqueue"}
    assert jobqueues.conditions()["Ready"] == ("True", "Ready")
    february = {"name": "february", "task": "work", "cron": "0 0 30 2 *"}
    edit(jobqueues, february, schedule())
    eventually(lambda: valid(jobqueues) == ("False", "InvalidExpression"), "no such date")
    assert "0 0 30 2 *" in jobqueues.message("SchedulesValid")
    edit(jobqueues, february | {"cron": "0 0 29 2 *"}, schedule())
    eventually(lambda: valid(jobqueues) == ("True", "Valid"), "both are valid")
    assert declared(database) == {"february": "jobqueue", "nightly": "jobqueue"}


def test_a_task_that_no_worker_has_is_a_condition_once_a_worker_has_registered(
    jobqueues: JobQueues, operator: Start, start_gate: Gate, pg_url: str, database: psycopg.Connection[Any]
):
    """Nothing is known before; afterwards the sentence names task and schedule, also with no worker left."""
    started(jobqueues, operator, pg_url, schedules=[schedule(task="nobody")])
    eventually(lambda: valid(jobqueues) == ("True", "Valid"), "no worker is known")
    start_gate.open()
    database.execute("SELECT penstock.enqueue('emails', 'work', '{\"seconds\": 0}')")
    eventually(lambda: valid(jobqueues) == ("False", "UnknownTask"), "the worker has no such task")
    assert "the task 'nobody' of schedule nightly" in jobqueues.message("SchedulesValid")
    eventually(lambda: not jobqueues.pods(), "no pod is left")
    assert valid(jobqueues) == ("False", "UnknownTask")
    edit(jobqueues, schedule(task="somebody"))
    eventually(lambda: valid(jobqueues) == ("True", "Valid"), "the next image may have this one")


def test_a_deleted_jobqueue_takes_its_schedules_with_it_and_none_of_code(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """A name that code declares as well is the JobQueue's while there is one, and the condition says so."""
    database.execute(CODE, ["weekly"])
    database.execute(CODE.replace("'emails'", "'other'"), ["other"])
    started(jobqueues, operator, pg_url, schedules=[schedule(), schedule(name="weekly")])
    eventually(lambda: valid(jobqueues) == ("True", "DeclaredInCode"), "the name in both is reported")
    assert "weekly" in jobqueues.message("SchedulesValid")
    assert declared(database) == {"nightly": "jobqueue", "weekly": "jobqueue"}
    database.execute(CODE, ["yearly"])
    jobqueues.delete()
    eventually(lambda: declared(database) == {"yearly": "code"}, "only the one of code is left")
    left = database.execute("SELECT name FROM penstock.list_schedules(ARRAY['other'])").fetchall()
    assert left == [("other",)]


def test_a_jobqueue_that_moves_to_another_database_takes_its_schedules_with_it(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any], servers: Servers
):
    """From a database that others still use; a URL more of the same database moves nothing."""
    generation = "SELECT generation, removed_at FROM penstock.schedule WHERE name = 'nightly'"
    started(jobqueues, operator, pg_url, schedules=[schedule()])
    jobqueues.create("letters", **QUICK, queueName="letters")
    eventually(lambda: declared(database) == {"nightly": "jobqueue"}, "it is declared")
    before = database.execute(generation).fetchall()
    jobqueues.secret(f"{pg_url}?connect_timeout=9", "same")
    with servers.newest.database() as another:
        jobqueues.secret(another.url, "another")
        move(jobqueues, "same")
        eventually(lambda: jobqueues.conditions().get("Listening") == ("True", "Subscribed"), "by the other URL")
        assert database.execute(generation).fetchall() == before
        move(jobqueues, "another")
        with another.connect() as connection:
            eventually(lambda: declared(connection) == {"nightly": "jobqueue"}, "it is declared in the other database")
        eventually(lambda: declared(database) == {}, "it is withdrawn where it was")
        jobqueues.delete()
