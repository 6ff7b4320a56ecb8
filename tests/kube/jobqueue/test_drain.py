"""Scaling down interrupts no job: the idlest go, when they hold nothing, and only they."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import Gate, JobQueues, Start, counts, enqueue, started
from tests.support.api_client import ApiClient
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

LONG = {"worker__concurrency": 1}
"""One slot per pod, so that a job keeps its pod busy."""


def states(database: psycopg.Connection[Any]) -> dict[str, str]:
    """State by pod of the workers that are not lost."""
    return dict(database.execute("SELECT pod, state FROM penstock.worker WHERE state <> 'lost'").fetchall())


def busy(database: psycopg.Connection[Any]) -> set[str]:
    """Pods that hold a job."""
    query = "SELECT DISTINCT w.pod FROM penstock.job j JOIN penstock.worker w ON w.id = j.worker"
    return {row[0] for row in database.execute(query).fetchall()}


def reported(database: psycopg.Connection[Any]) -> set[str]:
    """Pods that say so themselves, which they do a third of a lease late; by this the idlest are chosen."""
    query = "SELECT pod FROM penstock.worker WHERE (in_flight ->> 'emails')::int > 0"
    return {row[0] for row in database.execute(query).fetchall()}


def names(jobqueues: JobQueues) -> set[str]:
    return {pod["metadata"]["name"] for pod in jobqueues.pods() if "deletionTimestamp" not in pod["metadata"]}


def test_the_idle_pods_go_and_the_one_with_the_long_job_stays(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """Three pods, one busy: scaled to one, the busy one is left, its job ends undisturbed, then zero."""
    started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=3)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 3, "three ready workers")
    gate.enqueue(database, 1)
    (kept,) = eventually(lambda: busy(database), "a pod holds the job, whether it has reported that or not")
    jobqueues.patch({"spec": {"replicas": 1}}, subresource="/scale")
    eventually(lambda: names(jobqueues) == {kept}, "the others are gone")
    assert busy(database) == {kept}
    jobqueues.patch({"spec": {"replicas": 0}}, subresource="/scale")
    eventually(lambda: states(database).get(kept) == "cordoned", "the busy one takes nothing more")
    eventually(lambda: jobqueues.conditions()["Draining"] == ("True", "PodsDraining"), "the condition reports it")
    gate.open()
    eventually(lambda: not names(jobqueues), "it goes too")
    assert counts(database) == (0, 1, 0)
    eventually(lambda: [each.code for each in pods.exits()] == [0, 0, 0], "every worker ended by itself")


def test_a_draining_worker_is_called_back_when_it_is_needed_again(
    jobqueues: JobQueues,
    operator: Start,
    pods: ProcessPods,
    pg_url: str,
    database: psycopg.Connection[Any],
    api: ApiClient,
    gate: Gate,
):
    """No pod is removed and none is made: the same one works on, without a trace of deletion cost."""
    started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=1)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "a ready worker")
    (pod,) = names(jobqueues)
    gate.enqueue(database, 1)
    eventually(lambda: busy(database), "it holds a job")
    jobqueues.patch({"spec": {"replicas": 0}}, subresource="/scale")
    eventually(lambda: states(database).get(pod) == "cordoned", "it is asked to leave")
    jobqueues.patch({"spec": {"replicas": 1}}, subresource="/scale")
    eventually(lambda: states(database).get(pod) == "running", "it is called back")
    gate.open()
    enqueue(database, 1, 0.0)
    eventually(lambda: counts(database)[:2] == (0, 2), "both jobs are completed")
    assert names(jobqueues) == {pod}
    annotations = api.request("GET", f"/api/v1/namespaces/{jobqueues.namespace}/pods/{pod}")["metadata"]
    assert "controller.kubernetes.io/pod-deletion-cost" not in annotations.get("annotations", {})


def test_an_operator_killed_in_the_middle_of_a_drain_has_a_successor_that_finishes_it(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """Who is leaving is written in the database, not in the operator."""
    first = started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=2)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 2, "two ready workers")
    gate.enqueue(database, 2)
    eventually(lambda: len(busy(database)) == 2, "both hold a job")
    jobqueues.patch({"spec": {"replicas": 0}}, subresource="/scale")
    eventually(lambda: set(states(database).values()) == {"cordoned"}, "both are asked to leave")
    first.stop(signal.SIGKILL)
    operator()
    gate.open()
    eventually(lambda: not names(jobqueues), "both have gone")
    assert counts(database) == (0, 2, 0)


def test_twenty_scale_downs_at_random_moments_interrupt_no_job(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """Up and down between one and four while jobs run: each ends at its first attempt, each worker with code 0."""
    rng = random.Random(20)
    started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=4)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 4, "four ready workers")
    made = 0
    for _ in range(20):
        count = rng.randint(1, 6)
        enqueue(database, count, rng.choice([0.0, 0.2, 0.7]))
        made += count
        wanted = rng.randint(1, 4)
        jobqueues.patch({"spec": {"replicas": wanted}}, subresource="/scale")
        eventually(_reached(jobqueues, wanted), f"{wanted} replicas")
    eventually(lambda: counts(database)[0] == 0, "no job is left")
    assert counts(database) == (0, made, 0)
    assert {each.code for each in pods.exits()} <= {0}


def _reached(jobqueues: JobQueues, wanted: int) -> Callable[[], bool]:
    return lambda: jobqueues.deployment()["spec"]["replicas"] == wanted
