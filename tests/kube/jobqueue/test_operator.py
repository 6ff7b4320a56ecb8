"""The operator under the chart's rights, on a real API server and a real database, with real worker processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg

from tests.kube.jobqueue.conftest import Gate, JobQueues, Start, counts, enqueue, started
from tests.support.api_client import MERGE
from tests.support.pods import ProcessPods
from tests.support.waiting import eventually


def test_a_new_jobqueue_gets_its_deployment_without_a_pod_and_all_its_conditions(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """At rest at zero: no pod was ever made, and the status says so."""
    started(jobqueues, operator, pg_url)
    at_rest = {
        "Ready": ("True", "Ready"),
        "DatabaseReachable": ("True", "Connected"),
        "Listening": ("True", "Subscribed"),
        "WorkersAvailable": ("True", "NoneNeeded"),
        "ScalingActive": ("True", "Scaling"),
        "ScalingLimited": ("False", "NotLimited"),
        "LatencyTargetMet": ("True", "Met"),
        "Draining": ("False", "None"),
        "SchedulesValid": ("True", "NoSchedules"),
    }
    eventually(lambda: jobqueues.conditions() == at_rest, "all conditions are those of rest")
    found = jobqueues.get()
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    assert found["status"]["decision"]["bound"] == "Idle"
    assert "finalizers" not in found["metadata"]
    assert not found["metadata"].get("annotations")
    eventually(lambda: jobqueues.deployment()["status"].get("observedGeneration"), "its controller has seen it")
    deployment = jobqueues.deployment()
    assert deployment["spec"]["replicas"] == 0
    managers = {one["manager"] for one in deployment["metadata"]["managedFields"]}
    assert {"penstock-template", "penstock-scale"} <= managers
    assert not jobqueues.pods()


def test_jobs_bring_pods_and_an_empty_queue_takes_them_away(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any], gate: Gate
):
    """0 -> N -> 0, every job done once, and the events report it."""
    started(jobqueues, operator, pg_url)
    gate.enqueue(database, 12)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 3, "three replicas of five slots")
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 3, "all three serve")
    gate.open()
    eventually(lambda: counts(database)[1] == 12, "every job is completed")
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "back to zero")
    eventually(lambda: not jobqueues.pods(), "no pod is left")
    assert counts(database) == (0, 12, 0)
    expected = {"Activated", "ScaledToZero"}
    eventually(lambda: expected <= {event["reason"] for event in jobqueues.events()}, "the events report both")
    eventually(lambda: [each.code for each in pods.exits()] == [0, 0, 0], "every worker ended by itself")


def test_a_restart_of_the_operator_changes_nothing_that_was_right(jobqueues: JobQueues, operator: Start, pg_url: str):
    """Neither JobQueue nor Deployment is written again, killed or stopped; and nothing is written at rest."""
    first = started(jobqueues, operator, pg_url, scaling__minReplicas=2)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 2, "the minimum")
    eventually(lambda: jobqueues.deployment()["status"].get("unavailableReplicas") == 2, "no controller lags")
    eventually(lambda: jobqueues.get()["status"].get("replicas") == 2, "nor is the operator")

    def versions() -> tuple[str, str]:
        return (
            jobqueues.get()["metadata"]["resourceVersion"],
            jobqueues.deployment()["metadata"]["resourceVersion"],
        )

    settled = steady(versions)
    status = jobqueues.get()["status"]
    assert first.stop(signal.SIGKILL) == -9
    second = operator()
    eventually(lambda: "started leading" in second.text, "the second operator leads")
    eventually(lambda: second.page("/readyz")[0] == 200, "the second operator is ready")
    found = steady(versions)
    assert jobqueues.get()["status"] == status
    assert found == settled


def test_kubectl_scale_in_mode_fixed_is_followed_up_and_down(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str
):
    """The number is somebody's word; down goes through the drain all the same."""
    started(jobqueues, operator, pg_url, scaling__mode="Fixed", replicas=1)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "one ready worker")
    jobqueues.patch({"spec": {"replicas": 3}}, subresource="/scale")
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 3, "three ready workers")
    jobqueues.patch({"spec": {"replicas": 1}}, subresource="/scale")
    eventually(lambda: jobqueues.get()["status"]["replicas"] == 1, "one worker is left")
    assert jobqueues.get()["status"]["decision"]["bound"] == "Fixed"
    eventually(lambda: [each.code for each in pods.exits()] == [0, 0], "both end by themselves")


def test_hold_keeps_the_pods_and_claims_nothing_and_hold_and_drain_ends_at_zero(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str, database: psycopg.Connection[Any]
):
    """Ready jobs wait; back at None they run."""
    started(jobqueues, operator, pg_url, scaling__minReplicas=1)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "one ready worker")
    jobqueues.patch({"spec": {"stopPolicy": "Hold"}})
    eventually(lambda: jobqueues.conditions()["Ready"] == ("False", "Stopped"), "the queue is stopped")
    enqueue(database, 3, 0.0)
    jobqueues.patch({"spec": {"stopPolicy": "HoldAndDrain"}})
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 0, "zero in spite of ready jobs and a minimum")
    assert counts(database)[:2] == (3, 0)
    jobqueues.patch({"spec": {"stopPolicy": "None"}})
    eventually(lambda: counts(database)[:2] == (0, 3), "the jobs run")


def test_deleting_a_jobqueue_needs_no_operator(jobqueues: JobQueues, operator: Start, pg_url: str):
    """No finalizer holds it, and its children go with it."""
    started(jobqueues, operator, pg_url).stop()
    jobqueues.delete()
    eventually(lambda: jobqueues.deployment() is None, "the Deployment is collected")
    budgets = f"/apis/policy/v1/namespaces/{jobqueues.namespace}/poddisruptionbudgets"
    eventually(lambda: not jobqueues.api.request("GET", budgets)["items"], "and the PodDisruptionBudget")


def test_a_changed_template_rolls_out_and_a_drift_is_repaired(
    jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str
):
    """ObservedGeneration follows; what somebody changed by hand in the Deployment is put back, replicas too."""
    started(jobqueues, operator, pg_url)
    jobqueues.patch({"spec": {"worker": {"concurrency": 7}}})

    def expected(name: str) -> str | None:
        (container,) = jobqueues.deployment()["spec"]["template"]["spec"]["containers"]
        return next((one.get("value") for one in container["env"] if one["name"] == name), None)

    eventually(lambda: expected("PENSTOCK_CONCURRENCY") == "7", "the new concurrency is in the template")
    eventually(lambda: jobqueues.get()["status"]["observedGeneration"] == 2, "the new generation is observed")
    path = f"/apis/apps/v1/namespaces/{jobqueues.namespace}/deployments/emails-worker"
    spec = {"replicas": 4, "template": {"spec": {"terminationGracePeriodSeconds": 1}}}
    jobqueues.api.request("PATCH", path, {"spec": spec}, content_type=MERGE)

    def repaired() -> bool:
        found = jobqueues.deployment()["spec"]
        grace: int = found["template"]["spec"]["terminationGracePeriodSeconds"]
        return (found["replicas"], grace) == (0, 60)

    eventually(repaired, "both are as the JobQueue says")


def test_the_pods_pass_pod_security_restricted(jobqueues: JobQueues, operator: Start, pods: ProcessPods, pg_url: str):
    """In a namespace that enforces it, the least template is completed so that its pods are admitted."""
    enforce = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    jobqueues.api.request("PATCH", f"/api/v1/namespaces/{jobqueues.namespace}", enforce, content_type=MERGE)
    started(jobqueues, operator, pg_url, scaling__minReplicas=1)
    eventually(lambda: jobqueues.get()["status"].get("readyReplicas") == 1, "one ready worker")


def steady(read: Callable[[], tuple[str, str]], seconds: float = 4.0) -> tuple[str, str]:
    """What `read` gives once it has not changed for so long."""
    last, since = read(), time.monotonic()

    def unchanged() -> bool:
        nonlocal last, since
        if (now := read()) != last:
            last, since = now, time.monotonic()
        return time.monotonic() - since > seconds

    eventually(unchanged, "nothing is written any more")
    return last
