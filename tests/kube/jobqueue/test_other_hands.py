"""Others who change the Deployment, with Kubernetes' own controllers: an autoscaler, a rollout that is paused,
and another writer that reverts what the operator writes.
"""

from __future__ import annotations

from typing import Any

from penstock_operator.jobqueue.objects.reverted_writes import REPAIRS
from tests.kube.jobqueue.conftest import JobQueues, Start, started
from tests.support.api_client import MERGE
from tests.support.waiting import eventually


def test_an_autoscaler_on_the_deployment_is_a_condition_and_no_fight(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """Its number stays, it was written once, and the sentence says what to remove."""
    started(jobqueues, operator, pg_url, scaling__mode="Fixed", replicas=1)
    eventually(lambda: jobqueues.deployment()["spec"]["replicas"] == 1, "the replicas are ours")
    before = jobqueues.deployment()["metadata"]["generation"]
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "emails-worker"}
    goal = {"type": "Utilization", "averageUtilization": 50}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": goal}}]
    scaler = {
        "metadata": {"name": "emails"},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5, "metrics": metrics},
    }
    scalers = f"/apis/autoscaling/v2/namespaces/{jobqueues.namespace}/horizontalpodautoscalers"
    jobqueues.api.request("POST", scalers, scaler)
    eventually(lambda: jobqueues.conditions().get("ScalingActive") == ("False", "ForeignScaler"), "it is a condition")
    assert "a HorizontalPodAutoscaler (KEDA creates one, too)" in jobqueues.message("ScalingActive")
    deployment = jobqueues.deployment()
    assert deployment["spec"]["replicas"] == 3
    assert deployment["metadata"]["generation"] == before + 1


def test_a_paused_rollout_is_a_condition_with_the_way_out_until_it_is_resumed(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """Only while a change waits for it: a Deployment that is paused and up to date needs nobody."""
    started(jobqueues, operator, pg_url, scaling__mode="Fixed", replicas=1)
    eventually(jobqueues.pods, "a pod is there")
    path = f"/apis/apps/v1/namespaces/{jobqueues.namespace}/deployments/emails-worker"

    def pause(value: Any) -> None:
        jobqueues.api.request("PATCH", path, {"spec": {"paused": value}}, content_type=MERGE)

    pause(True)
    jobqueues.patch({"spec": {"worker": {"labels": {"release": "next"}}}})
    eventually(lambda: jobqueues.conditions().get("WorkersAvailable") == ("False", "RolloutPaused"), "it is reported")
    assert "kubectl rollout resume deployment/emails-worker" in jobqueues.message("WorkersAvailable")
    pause(None)
    eventually(lambda: jobqueues.conditions()["WorkersAvailable"][1] != "RolloutPaused", "it is over")


def test_who_undoes_each_write_of_the_template_is_named_and_not_fought_with(
    jobqueues: JobQueues, operator: Start, pg_url: str
):
    """Each change is repaired until the tenth; what the JobQueue's owner sees is who it is."""
    started(jobqueues, operator, pg_url, scaling__mode="Fixed", replicas=1)
    path = f"/apis/apps/v1/namespaces/{jobqueues.namespace}/deployments/emails-worker?fieldManager=policy-bot"
    change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}

    def repaired() -> bool:
        return bool(jobqueues.deployment()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] != 1)

    for number in range(REPAIRS):
        jobqueues.api.request("PATCH", path, change, content_type=MERGE)
        eventually(repaired, f"repair {number + 1}")
    jobqueues.api.request("PATCH", path, change, content_type=MERGE)
    eventually(lambda: jobqueues.conditions().get("WorkersAvailable") == ("False", "ChangesUndone"), "it is reported")
    assert "the field manager policy-bot undoes" in jobqueues.message("WorkersAvailable")
