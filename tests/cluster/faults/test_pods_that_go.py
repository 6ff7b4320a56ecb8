"""Pods that go: deleted, killed, evicted, replaced. The effect on jobs, by the store and by the tasks' own ledger."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import Any

import pytest

from tests.cluster.faults.at_once import at_once
from tests.cluster.faults.fleet import Fleet, is_ready
from tests.support.api_client import ApiError

pytestmark = pytest.mark.timeout(1200)


def delete(fleet: Fleet, pod: str, **options: Any) -> None:
    """As `kubectl delete pod`."""
    fleet.site.client.request(
        "DELETE", fleet.path("pods", pod), {"kind": "DeleteOptions", "apiVersion": "v1", **options}
    )


def gone(fleet: Fleet, pod: str) -> bool:
    return fleet.found(fleet.path("pods", pod)) is None


@at_once
def test_a_deleted_pod_finishes_the_jobs_that_fit_into_its_grace_period(fleet: Fleet):
    """SIGTERM stops its claims, three quarters of the grace period are for what runs, and no attempt is interrupted."""
    fleet.declare(replicas=2, drainTimeoutSeconds=60)
    pods = fleet.until_serving(2)
    jobs = fleet.enqueue("work", 4, seconds=8)
    fleet.until_started(jobs)
    fleet.enqueue("work", 20, seconds=0.5)
    delete(fleet, pods[0])
    fleet.until_done().each_ran_once()
    fleet.until(lambda: gone(fleet, pods[0]), "the pod is gone")
    fleet.until_serving(2)


@at_once
def test_a_job_longer_than_the_grace_period_is_released_before_the_kill_and_runs_elsewhere(fleet: Fleet):
    """After three quarters of it the worker releases the job: no crash is counted, and the attempt is refunded."""
    fleet.declare(replicas=1, drainTimeoutSeconds=8)
    (pod,) = fleet.until_serving(1)
    (job,) = fleet.enqueue("work", seconds=12)
    fleet.until_started([job])
    delete(fleet, pod)
    account = fleet.until_done()
    account.each_finished()
    assert (account.starts[job], account.ends[job], account.crashes[job]) == (2, 1, 0)
    assert fleet.sql("SELECT max(attempt) FROM public.ran WHERE job = %s", job) == [(1,)], "the attempt is not refunded"


@at_once
def test_a_worker_that_cannot_stop_is_killed_and_its_job_is_rescued(fleet: Fleet):
    """A task blocks the event loop past the grace period: SIGKILL, and another worker runs the job after a lease."""
    fleet.declare(replicas=2, drainTimeoutSeconds=4, concurrency=1)
    fleet.until_serving(2)
    (job,) = fleet.enqueue("block")
    fleet.until_started([job])
    delete(fleet, fleet.running_on()[job])
    others = fleet.enqueue("work", 5, seconds=0.2)
    account = fleet.until_done()
    account.each_finished()
    assert (account.starts[job], account.ends[job], account.crashes[job]) == (2, 1, 1)
    assert {account.starts[other] for other in others} == {1}


@at_once
def test_a_pod_that_is_deleted_by_force_loses_no_job(fleet: Fleet):
    """No grace: the object is gone at once. What it ran is released or rescued, and finishes elsewhere."""
    fleet.declare(replicas=2)
    pods = fleet.until_serving(2)
    jobs = fleet.enqueue("work", 4, seconds=10)
    fleet.until_started(jobs)
    delete(fleet, pods[0], gracePeriodSeconds=0)
    fleet.enqueue("work", 10, seconds=0.2)
    account = fleet.until_done()
    account.each_finished()
    account.nothing_ran_twice_without_a_crash()
    fleet.until_serving(2)


@at_once
def test_the_eviction_api_takes_one_pod_at_a_time(fleet: Fleet):
    """The PodDisruptionBudget refuses the second until the first is replaced; nothing is interrupted."""
    fleet.declare(replicas=2)
    pods = fleet.until_serving(2)
    budget = fleet.path("poddisruptionbudgets", group="policy/v1")

    def allowed() -> bool:
        return [
            one["status"].get("disruptionsAllowed") for one in fleet.site.client.request("GET", budget)["items"]
        ] == [1]

    fleet.until(allowed, "the budget allows one disruption")
    jobs = fleet.enqueue("work", 4, seconds=15)
    fleet.until_started(jobs)
    evict(fleet, pods[0])
    with pytest.raises(ApiError) as refused:
        evict(fleet, pods[1])
    assert refused.value.status == 429
    fleet.until_done().each_ran_once()
    fleet.until(lambda: gone(fleet, pods[0]), "the evicted pod is gone")
    fleet.until(allowed, "the budget allows the next")
    evict(fleet, pods[1])


def evict(fleet: Fleet, pod: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": fleet.name}}
    fleet.site.client.request("POST", fleet.path("pods", pod, subresource="eviction"), body)


@at_once
def test_a_rollout_under_load_with_long_jobs_interrupts_none_and_makes_no_second_fleet(fleet: Fleet):
    """Old pods drain while new ones start: at no time are there more pods that stay than replicas and surge."""
    replicas = 3
    fleet.declare(replicas=replicas, drainTimeoutSeconds=120)
    fleet.until_serving(replicas)
    before = {pod["metadata"]["uid"] for pod in fleet.pods()}
    jobs = fleet.enqueue("work", replicas * 2, seconds=20)
    fleet.until_started(jobs)
    fleet.enqueue("work", 60, seconds=0.5)
    fleet.declare(replicas=replicas, drainTimeoutSeconds=120, container={"env": [{"name": "RELEASE", "value": "2"}]})

    def counted() -> tuple[int, int]:
        pods = fleet.pods()
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return len(staying), len([pod for pod in staying if is_ready(pod)])

    def replaced() -> bool:
        pods = fleet.pods()
        return not before & {pod["metadata"]["uid"] for pod in pods} and sum(map(is_ready, pods)) == replicas

    seen = fleet.while_it_lasts(replaced, counted)
    account = fleet.until_done()
    account.each_ran_once()
    assert max(staying for staying, _ in seen) <= replicas + ceil(replicas / 4), Counter(seen)
    assert min(ready for _, ready in seen) >= replicas - 1, Counter(seen)


@at_once
def test_jobs_in_flight_survive_their_jobqueue(fleet: Fleet):
    """Deleting the JobQueue drains its pods without the operator's help; what waits is found by the next one."""
    fleet.declare(replicas=1, drainTimeoutSeconds=60)
    fleet.until_serving(1)
    running = fleet.enqueue("work", 2, seconds=8)
    fleet.until_started(running)
    waiting = fleet.enqueue("work", 6, seconds=0.2)
    fleet.site.client.request("DELETE", fleet.queue_path)
    fleet.until(lambda: fleet.pods() == [], "its pods are gone")
    assert set(fleet.noted("end")) == set(running), "running jobs finish, and nothing else starts"
    assert fleet.found(fleet.path("poddisruptionbudgets", group="policy/v1"))["items"] == []
    fleet.declare(scaling={"target": {"queueLatencySeconds": 5}})
    fleet.until_done().each_ran_once()
    assert set(fleet.noted("end", waiting)) == set(waiting)
    fleet.until_serving(0)
