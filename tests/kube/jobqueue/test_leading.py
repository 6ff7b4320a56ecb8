"""Several operators, lost wake-ups, an operator's own database role, and what it shows over HTTP."""

from __future__ import annotations

import signal
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from penstock.store import migrate
from tests.kube.jobqueue.conftest import JobQueues, Start, enqueue, started
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


def test_of_two_operators_one_leads_and_a_killed_leader_is_replaced(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """After kill -9 the other one decides; it changes nothing before. How soon is measured by the benchmark."""
    first = started(jobqueues, operator, pg_url)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{jobqueues.namespace}/leases/penstock"
    changes = jobqueues.api.request("GET", lease)["spec"]["leaseTransitions"]
    second = operator()
    eventually(lambda: second.page("/readyz")[0] == 200, "the follower knows the cluster")
    leads = "started leading" in second.text
    # It may, where the first one stalled for longer than its Lease; then the Lease says so.
    assert not leads or jobqueues.api.request("GET", lease)["spec"]["leaseTransitions"] > changes
    first.stop(signal.SIGKILL)
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "the successor decides")
    eventually(lambda: "started leading" in second.text, "and has said that it leads")


def test_an_operator_that_ends_gives_its_lease_up(jobqueues: JobQueues, operator: Start, pg_url: str):
    """The Lease is nobody's by the time that it has ended: a successor need not wait until it has run out."""
    first = started(jobqueues, operator, pg_url)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{jobqueues.namespace}/leases/penstock"
    eventually(lambda: jobqueues.api.request("GET", lease)["spec"]["holderIdentity"] == "operator-0", "it leads")
    assert first.stop() == 0
    assert not jobqueues.api.request("GET", lease)["spec"].get("holderIdentity")
    second = operator()
    eventually(lambda: "started leading" in second.text, "the successor leads")


def test_a_lost_notification_is_made_good_by_the_poll(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """An enqueue that notifies nobody is found by the clock; how soon is measured by the benchmark."""
    started(jobqueues, operator, pg_url, scaling__activation={"pollPeriodSeconds": 2})
    database.execute("UPDATE penstock.queue SET operator_waiting_until = NULL")
    enqueue(database, 1, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "found by the clock")


def test_the_operators_own_role_is_enough_for_it(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """Least rights: everything that the operator does, with nothing but what its role is granted."""
    migrate(pg_url, roles=True)
    name, password = f"op_{time.time_ns()}", "swordfish"
    database.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE penstock_operator".encode())
    try:
        parts = urlsplit(pg_url)
        host = parts.netloc.rpartition("@")[2]
        jobqueues.secret(urlunsplit(parts._replace(netloc=f"{name}:{password}@{host}")), "operators")
        reference = {"secretRef": {"name": "shop-postgres"}, "operatorSecretRef": {"name": "operators"}}
        running = started(jobqueues, operator, pg_url, databaseRef=reference, limits__maxInFlight=1)
        enqueue(database, 3, 0.1)
        eventually(lambda: jobqueues.pods(), "a pod comes")  # noqa: PLW0108
        done = "SELECT count(*) FROM penstock.outcome WHERE final"
        eventually(lambda: database.execute(done).fetchone() == (3,), "the jobs run")
        eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "and zero again")
        assert "permission denied" not in running.text
        running.stop()
    finally:
        database.execute(f"DROP ROLE {name}".encode())


def test_metrics_and_health_of_the_operator_are_served_and_a_deleted_queue_takes_its_series_along(
    jobqueues: JobQueues, operator: Start, pg_url: str, database: psycopg.Connection[Any]
):
    """Parsed by Prometheus' own parser."""
    running = started(jobqueues, operator, pg_url, scaling__maxReplicas=2)
    assert running.page("/healthz") == (200, "ok\n")
    assert running.page("/nothing")[0] == 404
    enqueue(database, 50, 0.0)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 2, "the maximum")

    def series() -> dict[str, float]:
        status, text = running.page("/metrics")
        assert status == 200
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                more = [value for key, value in sample.labels.items() if key not in {"jobqueue", "namespace"}]
                if sample.labels.get("jobqueue") == "emails":
                    found[f"{sample.name}{more}"] = sample.value
        return found

    wanted = {
        "penstock_queue_ready[]": 50,
        "penstock_queue_desired_replicas[]": 2,
        "penstock_queue_decision_bound['Maximum']": 1,
        "penstock_queue_condition['Ready']": 1,
        "penstock_queue_scalings_total['up']": 1,
    }
    eventually(lambda: wanted.items() <= series().items(), f"they are shown: {wanted}")
    jobqueues.delete()
    eventually(lambda: not series(), "its series are gone")
