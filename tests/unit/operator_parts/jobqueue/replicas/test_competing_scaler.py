"""Another manager that sets the replicas is reported once and not fought with; a person's single change is put back."""

from __future__ import annotations

import math
from typing import Any

import pytest

from penstock_operator.jobqueue.pods.worker_health import paused
from penstock_operator.jobqueue.replicas.competing_scaler import QUIET_SECONDS, REPAIRS, ForeignScaler, SecondScaler
from penstock_operator.jobqueue.status import OBSERVE_SECONDS, SPREAD_SECONDS, observe_at
from penstock_operator.jobqueue.status_writer import transitions
from penstock_operator.jobqueue.template.manifests import deployment, disruption_budget, pod_monitor
from penstock_operator.resources.conditions import ObservedState, conditions_of
from penstock_operator.resources.resource import Deployment
from tests.unit.operator_parts.objects import deployment_object, jobqueue


def scaled(generation: int, replicas: int, *managers: str) -> Deployment:
    """The Deployment as that manager has left it."""
    managed = [
        {"manager": one, "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
        for one in managers
    ]
    metadata = {"generation": generation, "managedFields": managed}
    return Deployment.read(deployment_object(metadata=metadata, spec={"replicas": replicas}))


class Watched:
    """A Deployment that is wanted at 1, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.scaler = SecondScaler(clock=lambda: self.now)

    def after(self, seconds: float, view: Deployment, *, desired: int = 1) -> tuple[str, bool]:
        """Who else scales, and whether the operator may."""
        self.now += seconds
        name = self.scaler.observe(view, desired)
        try:
            self.scaler.check()
        except ForeignScaler:
            return name, False
        return name, True


def test_an_autoscaler_is_known_at_its_first_change_and_left_for_longer_each_time():
    """Ten seconds, then twice as long; reported all the while, until it has been quiet for a minute after our own."""
    watched = Watched()
    assert watched.after(0, scaled(1, 1, "penstock-scale")) == ("", True)
    name, may = watched.after(0, scaled(2, 5, "kube-controller-manager"))
    assert "HorizontalPodAutoscaler" in name
    assert not may
    assert watched.after(9, scaled(2, 5, "kube-controller-manager")) == (name, False)
    assert watched.after(2, scaled(2, 5, "kube-controller-manager")) == (name, True)
    assert watched.after(1, scaled(3, 1, "penstock-scale")) == (name, True)
    assert watched.after(14, scaled(4, 5, "kube-controller-manager")) == (name, False)
    assert watched.after(19, scaled(4, 5, "kube-controller-manager")) == (name, False)
    assert watched.after(2, scaled(4, 5, "kube-controller-manager")) == (name, True)
    assert watched.after(1, scaled(5, 1, "penstock-scale")) == (name, True)
    assert watched.after(61, scaled(5, 1, "penstock-scale")) == ("", True)


def test_a_persons_change_is_put_back_and_the_third_is_left():
    """Each counts once, however often it is seen."""
    watched = Watched()
    assert watched.after(1, scaled(1, 1, "penstock-scale")) == ("", True)
    for count in range(1, REPAIRS):
        for _ in range(3):
            assert watched.after(1, scaled(2 * count, 5, "kubectl")) == ("", True)
        assert watched.after(1, scaled(2 * count + 1, 1, "penstock-scale")) == ("", True)
    assert watched.after(1, scaled(99, 5, "kubectl")) == ("kubectl", False)


def test_changes_that_agree_with_the_decision_or_are_far_apart_are_no_fight():
    """Nothing is put back then."""
    watched = Watched()
    assert watched.after(0, scaled(2, 1, "kube-controller-manager")) == ("", True)
    for generation in range(3, 12):
        assert watched.after(200, scaled(generation, 5, "kubectl")) == ("", True)


def test_an_autoscaler_that_was_deleted_is_forgotten_though_its_write_was_the_last():
    """It stays in the managed fields for as long as nobody has to write another number."""
    watched = Watched()
    watched.after(0, scaled(1, 1, "penstock-scale"))
    assert watched.after(1, scaled(2, 5, "kube-controller-manager"))[0]
    watched.after(11, scaled(3, 1, "penstock-scale"))
    assert watched.after(5, scaled(4, 1, "kube-controller-manager"))[0]
    assert watched.scaler.due_at == watched.now + QUIET_SECONDS
    assert watched.after(59, scaled(4, 1, "kube-controller-manager"))[0]
    assert watched.after(1, scaled(4, 1, "kube-controller-manager")) == ("", True)
    assert watched.scaler.due_at == math.inf
    assert watched.after(0, scaled(4, 1, "kube-controller-manager"), desired=3) == ("", True)


def test_an_autoscaler_that_still_agrees_is_not_forgotten():
    """Each of its writes starts the minute again."""
    watched = Watched()
    watched.after(0, scaled(1, 1, "penstock-scale"))
    watched.after(1, scaled(2, 5, "kube-controller-manager"))
    for generation in range(3, 8):
        assert watched.after(30, scaled(generation, 1, "kube-controller-manager"))[0]


def test_a_new_operator_blames_nobody_for_what_it_finds():
    """An autoscaler that was deleted long ago cost the first jobs ten seconds; one that is there writes again."""
    watched = Watched()
    assert watched.after(0, scaled(9, 1, "kube-controller-manager"), desired=3) == ("", True)
    assert watched.after(1, scaled(10, 3, "penstock-scale"), desired=3) == ("", True)
    name, may = watched.after(15, scaled(11, 1, "kube-controller-manager"), desired=3)
    assert "HorizontalPodAutoscaler" in name
    assert not may


def test_the_end_of_a_rest_and_of_the_quiet_minute_are_due_times():
    """A queue at rest is not sampled before."""
    watched = Watched()
    assert watched.after(0, scaled(1, 1, "penstock-scale")) == ("", True)
    assert watched.scaler.due_at == math.inf
    watched.after(1, scaled(2, 5, "kube-controller-manager"))
    assert watched.scaler.due_at == watched.scaler.until == watched.now + 10
    watched.after(10, scaled(3, 1, "penstock-scale"))
    assert watched.scaler.due_at == watched.now + 50
    watched.after(50, scaled(3, 1, "penstock-scale"))
    assert watched.scaler.due_at == math.inf


def test_a_second_scaler_is_a_condition_and_one_event():
    """Also while the mode is Fixed."""
    facts = ObservedState(policy=jobqueue(scaling__mode="Fixed", replicas=1).policy, other_scaler="kubectl")
    found = conditions_of(facts)["ScalingActive"]
    assert (found.status, found.reason) == ("False", "ForeignScaler")
    assert "kubectl" in found.message
    after = [{"type": "ScalingActive", "status": "False", "reason": "ForeignScaler", "message": "m"}]
    assert transitions([], after) == [("ForeignScaler", "m", True)]
    assert transitions(after, after) == []


@pytest.mark.parametrize("before", [[], [{"type": "WorkersAvailable", "status": "True", "reason": "NoneNeeded"}]])
def test_the_first_workers_on_their_way_are_no_warning(before: list[Any]):
    """And that they have come is no restoration."""
    starting = [{"type": "WorkersAvailable", "status": "False", "reason": "Starting", "message": "m"}]
    ready = [{"type": "WorkersAvailable", "status": "True", "reason": "AllReady", "message": "m"}]
    assert transitions(before, starting) == []
    assert transitions(starting, ready) == []


def test_a_paused_rollout_is_reported_while_a_change_waits_for_it():
    """With the command that resumes it."""
    waiting = deployment_object(spec={"paused": True}, status={"updatedReplicas": 0})
    found = paused(Deployment.read(waiting))
    assert found is not None
    assert found[0] == "RolloutPaused"
    assert "kubectl rollout resume deployment/emails-worker" in found[1]
    assert paused(Deployment.read(deployment_object(spec={"paused": True}))) is None
    assert paused(Deployment.read(deployment_object(status={"updatedReplicas": 0}))) is None


def test_the_deployment_is_as_the_jobqueue_says_and_every_child_has_its_labels():
    """The operator's own labels win, and what is not said is Kubernetes' or ours."""
    given = {
        "labels": {"team": "a", "penstock.dev/jobqueue": "other"},
        "annotations": {"note": "x"},
        "minReadySeconds": 5,
        "progressDeadlineSeconds": 60,
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": "10%"}},
    }
    queue = jobqueue(worker__deployment=given, worker__labels={"cost": "7"})
    made = deployment(queue)
    assert made["metadata"]["labels"]["team"] == "a"
    assert made["metadata"]["labels"]["penstock.dev/jobqueue"] == "emails"
    assert made["metadata"]["annotations"] == {"note": "x"}
    assert (made["spec"]["minReadySeconds"], made["spec"]["progressDeadlineSeconds"]) == (5, 60)
    rolling = {"maxSurge": 1, "maxUnavailable": "10%"}
    assert made["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    for child in (made, disruption_budget(queue), pod_monitor(queue, more={}), made["spec"]["template"]):
        assert child["metadata"]["labels"]["cost"] == "7"
    plain = deployment(jobqueue(worker__deployment={"strategy": {"type": "Recreate"}}))
    assert plain["spec"]["strategy"] == {"type": "Recreate"}
    assert "minReadySeconds" not in plain["spec"]


def test_a_status_at_rest_is_written_every_ten_minutes_not_for_all_at_once():
    """An older one shows that no operator runs."""
    status = {"observedAt": "2026-01-01T00:00:00Z"}
    dues = {observe_at(f"uid-{number}", status) - 1_767_225_600 for number in range(200)}
    assert all(OBSERVE_SECONDS - SPREAD_SECONDS <= due <= OBSERVE_SECONDS for due in dues)
    assert len(dues) > 100
