"""Failures of a database: read-only, slow, newer than this release; and a clock that somebody sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.kube.jobqueue.conftest import QUICK, Gate, JobQueues, Start, counts, enqueue, started
from tests.kube.jobqueue.test_failures import becomes
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

HEALS = 150.0
"""Seconds: a sample times out after ten, and is retried ten after that at the latest."""

WALL_CLOCK = '''
"""The wall clock of this process goes by what the file says, in seconds."""

import os
import time

_time, _file = time.time, os.environ["WALL_CLOCK_OFFSET"]


def _shifted() -> float:
    with open(_file, encoding="ascii") as text:
        return _time() + float(text.read() or 0)


time.time = _shifted
'''


@contextmanager
def read_only(database: psycopg.Connection[Any]) -> Iterator[None]:
    """The database refuses writes, as a standby does, and its clients have to reconnect."""
    name = sql.Identifier(database.info.dbname)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    database.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    try:
        database.execute(others, [database.info.backend_pid])
        yield
    finally:
        database.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
        database.execute(others, [database.info.backend_pid])


def test_a_database_that_takes_no_writes_is_reported_and_served_again_once_it_does(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """A failover that has led to a standby: no replica count changes meanwhile."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=1)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "the minimum")
    with read_only(database):
        becomes(jobqueues, "DatabaseReachable", "False", "ReadOnly")
        becomes(jobqueues, "ScalingActive", "False", "SignalLost")
        assert jobqueues.deployment()["spec"]["replicas"] == 1
    enqueue(database, 10, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 2, "it scales again", seconds=HEALS)
    becomes(jobqueues, "DatabaseReachable", "True", "Connected")


def test_a_database_that_does_not_answer_in_time_is_reported_and_served_again_once_it_does(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """Somebody holds a lock that every sample has to wait for."""
    started(jobqueues, operator, pg_url)
    with psycopg.connect(pg_url) as holder:
        holder.execute("LOCK TABLE penstock.queue IN ACCESS EXCLUSIVE MODE")
        sentence = eventually(
            lambda: (
                jobqueues.conditions()["DatabaseReachable"] == ("False", "Timeout")
                and jobqueues.message("DatabaseReachable")
            ),
            "the condition says that it takes too long",
            seconds=HEALS,
        )
        assert "did not answer within" in str(sentence)
        becomes(jobqueues, "ScalingActive", "False", "SignalLost")
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "it scales again", seconds=HEALS)


def test_a_schema_that_is_newer_than_this_release_is_served(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """Migrations only add; an operator that is upgraded last must not stop its queues."""
    row = database.execute("SELECT max(version) FROM penstock.schema_version").fetchone()
    assert row is not None
    database.execute(
        "INSERT INTO penstock.schema_version SELECT (jsonb_populate_record(v, jsonb_build_object('version', 9999))).* "
        "FROM penstock.schema_version AS v WHERE v.version = %s",
        [row[0]],
    )
    started(jobqueues, operator, pg_url)
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "it scales")
    becomes(jobqueues, "DatabaseReachable", "True", "Connected")


def test_a_schema_that_is_older_than_this_release_is_reported_until_it_is_migrated(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """The sentence says which command to run."""
    newest = database.execute("SELECT max(version) FROM penstock.schema_version").fetchone()
    database.execute("CREATE TABLE public.kept AS SELECT * FROM penstock.schema_version WHERE version = %s", newest)
    database.execute("DELETE FROM penstock.schema_version WHERE version = %s", newest)
    jobqueues.secret(pg_url)
    jobqueues.create(**QUICK)
    operator()
    sentence = becomes(jobqueues, "DatabaseReachable", "False", "SchemaTooOld")
    assert "penstock migrate" in sentence
    database.execute("INSERT INTO penstock.schema_version SELECT * FROM public.kept")
    eventually(lambda: jobqueues.conditions()["Ready"] == ("True", "Ready"), "it heals", seconds=HEALS)


def test_a_wall_clock_that_is_set_moves_no_replica(
    jobqueues: JobQueues,
    operator: Start,
    pods: ProcessPods,
    pg_url: str,
    database: psycopg.Connection[Any],
    gate: Gate,
    tmp_path: Path,
):
    """A day ahead and a day back, with workers that run and workers that start: windows go by another clock."""
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(WALL_CLOCK)
    offset = folder / "offset"
    offset.write_text("0")
    running = started(
        jobqueues,
        operator,
        pg_url,
        PYTHONPATH=str(folder),
        WALL_CLOCK_OFFSET=str(offset),
        scaling__scaleDown={"stabilizationWindowSeconds": 3600, "cooldownSeconds": 3600},
    )
    gate.enqueue(database, 10)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 2, "two workers")
    gate.open()
    eventually(lambda: counts(database)[0] == 0, "they have ended: with one more they would be work for three")
    for seconds in (86_400, -86_400):
        offset.write_text(str(seconds))
        before = jobqueues.get()["status"]["queue"]["sampledAt"]
        gate.enqueue(database, 1)
        eventually(lambda then=before: jobqueues.get()["status"]["queue"]["sampledAt"] != then, "it has sampled since")  # type: ignore[misc]
        assert jobqueues.deployment()["spec"]["replicas"] == 2
        eventually(lambda: counts(database)[0] == 0, "the job ends")
    assert running.process.poll() is None
    becomes(jobqueues, "Ready", "True", "Ready")


def test_one_bad_jobqueue_among_a_hundred_disturbs_none(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """Its Secret is missing and its template is refused; the others are ready, and one of them scales."""
    container = {"name": "worker", "image": "shop:1", "volumeMounts": [{"name": "nowhere", "mountPath": "/x"}]}
    jobqueues.create(
        "bad",
        **QUICK,
        databaseRef={"secretRef": {"name": "absent"}},
        worker__template={"spec": {"containers": [container]}},
    )
    for name in ("emails", *(f"q{number}" for number in range(98))):
        jobqueues.create(name, **QUICK)
    jobqueues.secret(pg_url)
    operator()

    def ready() -> bool:
        found = jobqueues.api.request("GET", jobqueues.collection)["items"]
        states = {
            one["metadata"]["name"]: {c["type"]: c["status"] for c in one.get("status", {}).get("conditions", ())}
            for one in found
        }
        return states.pop("bad").get("Ready") == "False" and all(one.get("Ready") == "True" for one in states.values())

    eventually(ready, "the others are ready, the bad one is not")
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "one of them scales")
    becomes(jobqueues, "WorkersAvailable", "False", "TemplateRejected", "bad")
