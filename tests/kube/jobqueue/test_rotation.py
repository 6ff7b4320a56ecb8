"""Credentials that change under running workers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.kube.jobqueue.conftest import Gate, JobQueues, Start, counts, started
from tests.kube.jobqueue.test_failures import becomes
from tests.support.pods import ProcessPods
from tests.support.postgres import Servers
from tests.support.waiting import eventually

FIXED: dict[str, Any] = {"scaling__mode": "Fixed", "replicas": 1}


def mark(jobqueues: JobQueues) -> str:
    metadata = jobqueues.deployment()["spec"]["template"]["metadata"]
    return str((metadata.get("annotations") or {}).get("penstock.dev/credentials", ""))


def names(jobqueues: JobQueues) -> set[str]:
    return {one["metadata"]["name"] for one in jobqueues.pods()}


def test_a_rotated_password_is_a_rollout_that_drains(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """The running job finishes, once; the new pod logs in with the new password; Deployments show no secret."""
    login, before, after = f"penstock_test_rotated_{jobqueues.namespace[-6:]}", "swordfish-1", "swordfish-2"
    statement = "{} ROLE {} LOGIN SUPERUSER PASSWORD {}"

    def rotate(verb: str, password: str) -> str:
        database.execute(sql.SQL(statement).format(sql.SQL(verb), sql.Identifier(login), password))
        parts = urlsplit(pg_url)
        return urlunsplit(parts._replace(netloc=f"{login}:{password}@{parts.hostname}:{parts.port}"))

    url = rotate("CREATE", before)
    try:
        started(jobqueues, operator, url, **FIXED)
        becomes(jobqueues, "WorkersAvailable", "True", "AllReady")
        gate.enqueue(database, 1)
        eventually(lambda: database.execute("SELECT 1 FROM penstock.job WHERE token IS NOT NULL").fetchone(), "it runs")
        old = names(jobqueues)
        jobqueues.secret(rotate("ALTER", after))
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock operator'"
        database.execute(cut.encode())  # so that it reads the Secret at once, not within a minute
        eventually(lambda: mark(jobqueues), "a rollout")
        eventually(lambda: names(jobqueues) - old, "a new pod")
        gate.open()
        eventually(lambda: counts(database)[:2] == (0, 1), "the job is done")
        eventually(lambda: old.isdisjoint(names(jobqueues)), "the old pod is gone")
        becomes(jobqueues, "Ready", "True", "Ready")
        shown = f"{jobqueues.deployment()} {jobqueues.get()} {jobqueues.pods()}"
        assert "swordfish" not in shown
    finally:
        database.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(login)))
        database.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(login)))


def test_pods_on_another_database_than_the_one_that_is_sampled_are_reported(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, servers: Servers
):
    """The operator's Secret leads to a copy: Ready pods alone are no reason to call the queue ready."""
    with servers.newest.database() as other:
        jobqueues.secret(other.url, "operators")
        reference = {"secretRef": {"name": "shop-postgres"}, "operatorSecretRef": {"name": "operators"}}
        process = started(jobqueues, operator, pg_url, databaseRef=reference, **FIXED)
        sentence = becomes(jobqueues, "WorkersAvailable", "False", "WrongDatabase")
        assert next(iter(names(jobqueues))) in sentence
        becomes(jobqueues, "Ready", "False", "WorkersUnavailable")
        process.stop()  # before the copy goes
