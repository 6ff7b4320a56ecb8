"""Pods that are not what they seem: they drain after a rollout, their node is lost, their image does not exist."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import Gate, JobQueues, Start, counts, started
from tests.kube.jobqueue.test_drain import LONG, busy, names, states
from tests.kube.jobqueue.test_failures import becomes
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually

in_time = partial(eventually, seconds=150.0)
"""Leases that run out, and rollouts of real processes on a machine that is busy with other things."""


def template(image: str, color: str) -> Any:
    container = {"name": "worker", "image": image, "env": [{"name": "COLOR", "value": color}]}
    return {"spec": {"worker": {"template": {"spec": {"containers": [container]}}}}}


def workers(database: psycopg.Connection[Any], state: str) -> set[str]:
    return {pod for pod, found in states(database).items() if found == state}


def test_jobs_of_pods_that_drain_after_a_rollout_hold_no_replicas(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """Two long jobs finish on the old pods; the queue is empty otherwise, so no new pod stays for them."""
    started(jobqueues, operator, pg_url, **LONG, worker__drainTimeoutSeconds=600)
    gate.enqueue(database, 2)
    old = in_time(lambda: len(busy(database)) == 2 and busy(database), "two pods hold the jobs")
    in_time(lambda: jobqueues.get()["status"].get("readyReplicas") == 2, "two ready workers")
    jobqueues.patch(template("shop:1", "blue"))
    in_time(lambda: workers(database, "draining") == old, "the old ones say that they drain")
    in_time(lambda: jobqueues.get()["status"]["desiredReplicas"] == 0, "no other replicas are wanted")
    in_time(lambda: not names(jobqueues), "the new ones are gone")
    assert busy(database) == old
    assert jobqueues.deployment()["spec"]["replicas"] == 0
    gate.open()
    in_time(lambda: counts(database) == (0, 2, 0), "both jobs end at their first attempt")
    in_time(lambda: not jobqueues.pods(), "no pod is left")
    assert {each.code for each in pods.exits()} <= {0}


def test_a_job_whose_node_is_lost_runs_elsewhere_as_soon_as_its_lease_is_over(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """The pod is still Ready: it is named with its node, another takes its place, and it goes when it is back."""
    started(jobqueues, operator, pg_url, **LONG, scaling__minReplicas=1)
    gate.enqueue(database, 1)
    (lost,) = in_time(lambda: busy(database), "a pod holds the job")
    in_time(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "it is ready")
    pods.lose(lost)
    lost_at = time.monotonic()
    sentence = becomes(jobqueues, "WorkersAvailable", "False", "WorkersLost")
    assert sentence.startswith(f"Pod {lost} on node {pods.node.name} has not renewed its lease for ")
    assert jobqueues.conditions()["Ready"][0] == "False"
    (replacement,) = in_time(lambda: busy(database) - {lost}, "the job runs elsewhere")
    print(f"node lost -> job running elsewhere: {time.monotonic() - lost_at:.1f} s")
    assert names(jobqueues) == {lost, replacement}
    becomes(jobqueues, "WorkersAvailable", "True", "WorkersLost")
    in_time(
        lambda: (
            "1 extra replica stands in for a pod that runs no jobs."
            in jobqueues.get()["status"]["decision"]["explanation"]
        ),
        "the status says why there are two",
    )
    pods.find(lost)
    # It has no job, so it may be gone as soon as it is cordoned.
    in_time(lambda: workers(database, "running") == {replacement}, "it is not needed any more")
    assert busy(database) == {replacement}
    gate.open()
    in_time(lambda: counts(database)[:2] == (0, 1), "the job is completed, once")
    in_time(lambda: names(jobqueues) == {replacement}, "the one that came back has gone")


def test_a_rollout_that_cannot_finish_costs_no_worker_and_stops_no_scale_down(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """The image does not exist: four are scaled up to and serve, then one is left, and a good image ends it."""
    started(jobqueues, operator, pg_url, **LONG, scaling__mode="Fixed", replicas=1)
    in_time(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "a ready worker")
    jobqueues.patch(template("absent:1", "red"))
    in_time(lambda: len(names(jobqueues)) == 2, "the rollout has made a pod")
    becomes(jobqueues, "WorkersAvailable", "False", "ImagePull")
    jobqueues.patch({"spec": {"replicas": 4}}, subresource="/scale")
    in_time(lambda: len(workers(database, "running")) >= 4, "four serve, without those that cannot")
    jobqueues.patch({"spec": {"replicas": 1}}, subresource="/scale")
    in_time(lambda: len(states(database)) == 1 and jobqueues.deployment()["spec"]["replicas"] == 1, "one is left")
    (kept,) = states(database)
    assert kept in names(jobqueues)
    jobqueues.patch(template("shop:1", "blue"))
    in_time(lambda: len(names(jobqueues)) == 1 and kept not in names(jobqueues), "the next rollout ends")
    becomes(jobqueues, "WorkersAvailable", "True", "AllReady")
    assert {each.code for each in pods.exits() if each.pid} <= {0}
