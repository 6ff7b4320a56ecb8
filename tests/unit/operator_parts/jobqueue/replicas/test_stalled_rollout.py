"""A rollout that cannot finish, its new pods refused, never Ready or not made: the pods that leave have drained."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.jobqueue.pods.pod_history import Seen
from penstock_operator.jobqueue.pods.worker_pods import PodRole, WorkerPod
from penstock_operator.jobqueue.replicas.rollout import removed, surge
from penstock_operator.jobqueue.replicas.scale_down import ScaleDownPlan
from penstock_operator.resources.resource import Deployment
from tests.unit.operator_parts.jobqueue.replicas.test_rollout import bad, fresh, old, plan
from tests.unit.operator_parts.objects import deployment

REFUSED: dict[str, Any] = {
    "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]}
}
PAUSED: dict[str, Any] = {"spec": {"paused": True}, "status": {"updatedReplicas": 0}}


def with_surge(found: int | str, changes: dict[str, Any]) -> dict[str, Any]:
    return changes | {"spec": changes.get("spec", {}) | {"strategy": {"rollingUpdate": {"maxSurge": found}}}}


def drained(target: int, shown: Deployment, found: list[WorkerPod]) -> tuple[ScaleDownPlan, int]:
    """The plan once all that are asked to leave have drained, and how many old ones have."""
    made = plan(target, shown, found)
    for _ in range(3):
        if made.scale_to is not None:
            break
        changed = set(made.cordon) | set(made.uncordon)
        found = [
            each
            if each.worker is None or each.worker.id not in changed
            else after_drain(each)
            if each.worker.id in made.cordon
            else called_back(each)
            for each in found
        ]
        made = plan(target, shown, found)
    return made, sum(each.drained and each.pod.replica_set == "old" for each in found)


def after_drain(each: WorkerPod) -> WorkerPod:
    assert each.worker is not None
    changed = dataclasses.replace(each.worker, state="drained", in_flight=0)
    seen = dataclasses.replace(each.seen, drained=60.0)
    return dataclasses.replace(
        each, role=PodRole.LEAVING, worker=changed, seen=seen, pod=dataclasses.replace(each.pod, ready=False)
    )


def called_back(each: WorkerPod) -> WorkerPod:
    assert each.worker is not None
    changed = dataclasses.replace(each.worker, state="running")
    return dataclasses.replace(
        each, role=PodRole.SERVING, worker=changed, pod=dataclasses.replace(each.pod, ready=not each.seen.unready)
    )


def controller(asked: dict[str, int], shown: Deployment, after: int) -> dict[str, int]:
    """What each replica set is asked for next: `scale` of the Deployment's controller, the newest set last in `asked`.

    Halves round up; of two equal sets the older one gives up first; what rounding leaves goes to the biggest.
    """
    sets = {name: size for name, size in asked.items() if size}
    if len(sets) == 1:
        return dict.fromkeys(sets, after)
    before, allowed = shown.replicas + surge(shown, shown.replicas), after + surge(shown, after)
    change, made = allowed - sum(sets.values()), dict(sets)
    for name in sorted(sets, key=lambda one: -sets[one]):
        left = change - (sum(made.values()) - sum(sets.values()))
        share = math.floor(sets[name] * allowed / before + 0.5) - sets[name]
        made[name] += max(share, left) if left < 0 else 0
    biggest = max(sets, key=lambda one: sets[one])
    made[biggest] = max(0, made[biggest] + allowed - sum(made.values()))
    return made


@given(st.data())
def test_where_new_pods_are_refused_no_worker_goes_that_has_not_drained(data):
    """The controller shares out over what each set is asked for, so a set whose pods are refused takes part too."""
    share, replicas = data.draw(st.sampled_from(["25%", "50%", 0, 1])), data.draw(st.integers(2, 12))
    maximum = replicas + surge(deployment(replicas, **with_surge(share, {})), replicas)
    serving = data.draw(st.integers(1, maximum - 1).filter(lambda number: number <= replicas))
    made_new = data.draw(st.integers(0, min(2, maximum - serving - 1)))
    target = data.draw(st.integers(1, replicas - 1))
    shown = deployment(replicas, sizes=(serving, made_new), **with_surge(share, REFUSED))
    found = [*(old(number) for number in range(serving)), *(bad(number) for number in range(made_new))]
    made, gone_old = drained(target, shown, found)
    if made.scale_to is not None:
        then = controller({"old": serving, "new": maximum - serving}, shown, made.scale_to)
        assert serving - then.get("old", 0) <= gone_old


@pytest.mark.parametrize("changes", [REFUSED, PAUSED], ids=["refused", "paused"])
@pytest.mark.parametrize(("replicas", "target"), [(2, 1), (4, 1), (4, 3), (10, 2), (9, 7)])
def test_a_rollout_without_a_new_pod_freezes_no_scale_down(changes, replicas, target):
    """Its pods are refused while all the old ones stay, or nobody has resumed it."""
    shown = deployment(replicas, sizes=(replicas, 0), **changes)
    made, _ = drained(target, shown, [old(number) for number in range(replicas)])
    assert made.scale_to is not None


@pytest.mark.parametrize(("replicas", "target"), [(2, 1), (4, 1), (4, 3), (8, 1), (8, 4), (8, 7)])
def test_new_pods_that_serve_and_never_become_ready_freeze_no_scale_down(replicas, target):
    """A sidecar, a readiness gate or the user's own probe: past its deadline the rollout ends no old pod for them."""
    more = surge(deployment(replicas), replicas)
    shown = deployment(
        replicas, sizes=(replicas, more), status={"conditions": [{"type": "Progressing", "status": "False"}]}
    )
    unready = Seen(unready=700.0)
    found = [
        *(old(number) for number in range(replicas)),
        *(dataclasses.replace(fresh(number, ready=False), seen=unready) for number in range(more)),
    ]
    made, gone_old = drained(target, shown, found)
    assert made.scale_to is not None
    assert removed({"old": replicas, "new": more}, shown, made.scale_to)["old"] <= gone_old
