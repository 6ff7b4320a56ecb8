"""The operator apart from scaling: PodMonitors, rotated Secrets, maintenance, one database by two URLs, waits."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from penstock.store import migrate
from tests.kube.jobqueue.conftest import QUICK, JobQueues, Start, counts, enqueue, started
from tests.kube.jobqueue.kinds import PodMonitors
from tests.kube.jobqueue.test_failures import becomes
from tests.support.api_client import MERGE
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


def test_a_podmonitor_is_made_once_the_cluster_knows_what_that_is(
    jobqueues: JobQueues, kinds: PodMonitors, operator: Start, pg_url: str
):
    """Absent, nothing is missing; when the kind comes later it is noticed; it belongs to the JobQueue."""
    running = started(jobqueues, operator, pg_url, PENSTOCK_RELIST_SECONDS="2", PENSTOCK_POD_MONITOR_LABELS="team=a")
    assert "PodMonitor" not in running.text
    kinds.install()
    (made,) = eventually(lambda: kinds.of(jobqueues.namespace) or [], "the PodMonitor")
    assert made["metadata"]["name"] == "emails-worker"
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["ownerReferences"][0]["kind"] == "JobQueue"
    assert made["spec"]["selector"]["matchLabels"]["penstock.dev/jobqueue"] == "emails"
    assert made["spec"]["podMetricsEndpoints"][0]["port"] == "penstock"


@contextmanager
def role(database: psycopg.Connection[Any]) -> Iterator[str]:
    """A login with the operator's rights and the password `first`."""
    name = f"op_{secrets.token_hex(4)}"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'first' IN ROLE penstock_operator".encode())
    try:
        yield name
    finally:
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        database.execute(f"DROP ROLE {name}".encode())


def as_login(url: str, name: str, password: str) -> str:
    """The URL for that login."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{name}:{password}@{parts.netloc.rpartition('@')[2]}"))


def test_a_rotated_password_is_picked_up_from_the_secret(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """The old one is refused first: the condition says so, and ends by itself with the Secret's new value."""
    migrate(pg_url, roles=True)
    with role(database) as name:
        jobqueues.secret(as_login(pg_url, name, "first"), "operators")
        reference = {"secretRef": {"name": "shop-postgres"}, "operatorSecretRef": {"name": "operators"}}
        running = started(jobqueues, operator, pg_url, databaseRef=reference)
        database.execute(f"ALTER ROLE {name} PASSWORD 'second'".encode())
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
        becomes(jobqueues, "DatabaseReachable", "False", "AuthFailed")
        jobqueues.secret(as_login(pg_url, name, "second"), "operators")
        eventually(lambda: jobqueues.conditions()["DatabaseReachable"] == ("True", "Connected"), "healed")
        eventually(lambda: jobqueues.conditions()["Listening"] == ("True", "Subscribed"), "wake-ups too")
        running.stop()


def test_what_is_due_becomes_ready_where_no_worker_lives(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """The operator does the maintenance of a database whose queues are all at zero."""
    started(jobqueues, operator, pg_url, scaling__activation={"pollPeriodSeconds": 5, "threshold": 1000})
    database.execute("SELECT penstock.enqueue('emails', 'work', jsonb_build_object('seconds', 0), p_delay => 1)")
    ready = "SELECT count(*) FROM penstock.job WHERE ord IS NOT NULL"
    eventually(lambda: database.execute(ready).fetchone() == (1,), "it is promoted")
    assert jobqueues.deployment()["spec"]["replicas"] == 0


def test_one_database_by_two_urls_is_one_database(jobqueues: JobQueues, operator: Start, pg_url: str):
    """Another host name and a parameter more: the younger JobQueue of the queue is refused until the elder goes."""
    started(jobqueues, operator, pg_url)
    elder = jobqueues.get()["metadata"]["creationTimestamp"]
    parts = urlsplit(pg_url)
    netloc = parts.netloc.replace("127.0.0.1", "localhost")
    jobqueues.secret(urlunsplit(parts._replace(netloc=netloc, query="connect_timeout=9")), "other")

    def younger() -> bool:
        made = jobqueues.create("letters", **QUICK, queueName="emails", databaseRef={"secretRef": {"name": "other"}})
        if made["metadata"]["creationTimestamp"] != elder:
            return True
        jobqueues.delete("letters")
        return False

    eventually(younger, "a JobQueue made in a later second: the API's times have no fractions")
    becomes(jobqueues, "Ready", "False", "DuplicateQueue", "letters")
    assert jobqueues.deployment("letters") is None
    assert jobqueues.conditions()["Ready"] == ("True", "Ready")
    jobqueues.delete()
    becomes(jobqueues, "Ready", "True", "Ready", "letters")


def test_another_manager_of_the_deletion_cost_is_reported(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str
):
    """By name, in the condition and in an event; its annotation stays."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=1)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "a ready worker")
    (pod,) = jobqueues.pods()
    path = f"/api/v1/namespaces/{jobqueues.namespace}/pods/{pod['metadata']['name']}"
    cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "7"}}}
    jobqueues.api.request("PATCH", f"{path}?fieldManager=karpenter", cost, content_type=MERGE)
    sentence = becomes(jobqueues, "Draining", "False", "ForeignDeletionCost")
    assert "karpenter" in sentence
    eventually(lambda: "ForeignDeletionCost" in {one["reason"] for one in jobqueues.events()}, "an event reports it")
    annotations = jobqueues.api.request("GET", path)["metadata"]["annotations"]
    assert annotations["controller.kubernetes.io/pod-deletion-cost"] == "7"


def test_the_wait_that_95_of_100_jobs_had_is_in_the_status(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """Real waits: the jobs were there before their first pod, and no longer than the test has run."""
    started(jobqueues, operator, pg_url)
    enqueue(database, 20, 0.1)
    eventually(lambda: counts(database)[1] == 20, "the jobs run")
    found = eventually(
        lambda: jobqueues.get()["status"].get("throughput", {}).get("p95WaitMilliseconds"), "reported", seconds=40
    )
    query = "SELECT max(extract(epoch FROM claimed_at - ready_at)) * 1000 FROM penstock.outcome"
    maximum = database.execute(query).fetchone()
    assert maximum is not None
    assert 0 < found <= maximum[0] + 1
