"""What a rollout does with a change of the replicas, and how far they can be lowered meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.jobqueue.pods.pod_history import Seen
from penstock_operator.jobqueue.pods.worker_pods import PodRole, PodWorker, WorkerPod, members
from penstock_operator.jobqueue.replicas.replica_plan import ReplicaPlan, plan_replicas
from penstock_operator.jobqueue.replicas.rollout import RolloutPhase, added, removed, rollout_phase, surge
from penstock_operator.jobqueue.replicas.scale_down import ScaleDownPlan, plan_scale_down
from penstock_operator.resources.resource import Deployment
from tests.unit.operator_parts.objects import deployment, pod

IMAGE = {"containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "ErrImagePull", "message": "no"}}}]}


def one(
    name: str, owner: str, age: int, *, state: str | None = "running", in_flight: int = 0, **changes: Any
) -> WorkerPod:
    """A pod of the replica set `owner`, the greater `age` the younger; without a state its worker never came."""
    metadata = {
        "ownerReferences": [{"uid": owner, "controller": True}],
        "creationTimestamp": f"2026-01-01T00:00:{age:02}Z",
    }
    view = pod(name, metadata=metadata, **changes)
    rows = {} if state is None else {name: PodWorker(id=age, pod=name, state=state, in_flight=in_flight)}
    (made,) = members([view], rows, {}, {view.uid: Seen(was_ready=True, unready=11.0 if state is None else 0.0)})
    return made


def old(number: int, **changes: Any) -> WorkerPod:
    return one(f"old-{number}", "old", number, **changes)


def bad(number: int) -> WorkerPod:
    """A pod of the new template whose image does not exist."""
    return one(f"new-{number}", "new", 40 + number % 20, state=None, ready=False, status=IMAGE)


def fresh(number: int, **changes: Any) -> WorkerPod:
    return one(f"new-{number}", "new", 40 + number, **changes)


def gone(number: int) -> WorkerPod:
    """A drained pod of the old template."""
    return old(number, state="drained", ready=False)


def plan(target: int, shown: Deployment, found: list[WorkerPod], *, extra: int = 0) -> ScaleDownPlan:
    return plan_scale_down(ReplicaPlan(target=target, extra=extra), deployment=shown, members=found, going=frozenset())


STARTING = one("new-0", "new", 40, state=None, ready=False)


@pytest.mark.parametrize(
    ("status", "found", "phase"),
    [
        ({"updatedReplicas": 5}, [old(0)], RolloutPhase.COMPLETE),
        ({}, [old(0), STARTING], RolloutPhase.ADVANCING),
        ({}, [old(0), fresh(0)], RolloutPhase.ADVANCING),
        ({}, [old(0), bad(0)], RolloutPhase.STALLED),
        ({}, [old(0), bad(0), STARTING], RolloutPhase.ADVANCING),
        ({"observedGeneration": 0}, [old(0), bad(0)], RolloutPhase.ADVANCING),
        ({"conditions": [{"type": "Progressing", "status": "False"}]}, [old(0)], RolloutPhase.STALLED),
        (
            {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]},
            [old(0)],
            RolloutPhase.STALLED,
        ),
    ],
)
def test_a_rollout_advances_stalls_or_is_complete(status, found, phase):
    """By its pods, its deadline, what the API server refuses; never judged before its controller has seen it."""
    assert rollout_phase(deployment(4, sizes=(4, 1), status=status), found) is phase


def test_a_paused_rollout_goes_on_when_somebody_resumes_it():
    """Until then nothing of it is waited for."""
    assert rollout_phase(deployment(4, sizes=(4, 1), spec={"paused": True}), [old(0)]) is RolloutPhase.STALLED


@pytest.mark.parametrize(
    ("strategy", "replicas", "pods"),
    [
        ({}, 5, 2),
        ({"rollingUpdate": {"maxSurge": 3}}, 5, 3),
        ({"rollingUpdate": {"maxSurge": "10%"}}, 30, 3),
        ({"type": "Recreate"}, 5, 0),
        ({}, 0, 0),
        ({"rollingUpdate": {"maxSurge": "odd"}}, 5, 0),
    ],
)
def test_the_surge_is_the_deployments(strategy, replicas, pods):
    """A number, or a percentage that is rounded up."""
    assert surge(deployment(5, spec={"strategy": strategy}), replicas) == pods


@pytest.mark.parametrize(
    ("sizes", "replicas", "after", "lost"),
    [
        ({"old": 5, "new": 2}, 5, 1, {"old": 4, "new": 1}),
        ({"old": 5, "new": 2}, 5, 3, {"old": 2, "new": 1}),
        ({"old": 5, "new": 2}, 5, 4, {"old": 1, "new": 1}),
        ({"old": 4, "new": 1}, 5, 4, {"old": 0, "new": 0}),
        ({"old": 6, "new": 7}, 10, 4, {"old": 4, "new": 4}),
        ({"a": 3, "b": 3}, 5, 4, {"a": 1, "b": 1}),
    ],
)
def test_a_decrease_is_shared_out_as_the_controller_does_it(sizes, replicas, after, lost):
    """In proportion, the rest to the biggest; of two equal ones either may have to."""
    shown = deployment(replicas, sizes=tuple(sizes.values()))
    assert removed(sizes, shown, after) == lost


def test_a_rollout_that_cannot_finish_keeps_nobody_from_leaving():
    """Five serve, two of a bad image are stuck, one is wanted: the four idlest drain, and go together."""
    shown, busy = deployment(5, sizes=(5, 2)), old(4, in_flight=3)
    first = plan(1, shown, [old(0), old(1), old(2), old(3), busy, bad(0), bad(1)])
    assert (sorted(first.cordon), first.scale_to) == ([0, 1, 2, 3], None)
    then = plan(1, shown, [gone(0), gone(1), gone(2), gone(3), busy, bad(0), bad(1)])
    assert then.scale_to == 1
    assert {each.name for each in then.removable} == {"old-0", "old-1", "old-2", "old-3", "new-0"}


def test_stuck_pods_that_are_not_needed_go_while_those_that_serve_stay():
    """One more than the controller's arithmetic needs to keep the old one."""
    shown = deployment(2, sizes=(1, 2))
    assert plan(1, shown, [old(0), bad(0), bad(1)]).scale_to == 1


def test_two_of_each_template_do_not_keep_a_stalled_rollout_from_getting_smaller():
    """Which of them gives a pod up cannot be seen, so one that serves drains first."""
    shown = deployment(3, sizes=(2, 2))
    first = plan(2, shown, [old(0), old(1), bad(0), bad(1)], extra=1)
    assert (first.cordon, first.scale_to) == ((1,), None)
    assert plan(2, shown, [old(0), gone(1), bad(0), bad(1)], extra=1).scale_to == 2


def test_the_drained_of_a_stalled_rollout_go_while_others_still_finish():
    """As many as the decrease takes from their replica set."""
    leaving = [old(number, state="cordoned", in_flight=1) for number in (2, 3)]
    made = plan(1, deployment(5, sizes=(5, 2)), [gone(0), gone(1), *leaving, old(4, in_flight=3), bad(0), bad(1)])
    assert made.scale_to == 3
    assert made.leaving == 4


def test_a_stalled_rollout_whose_shares_are_unknown_is_waited_for_with_the_reason():
    """What is seen does not agree with the Deployment's account yet."""
    made = plan(1, deployment(5, sizes=(5, 2)), [old(0), old(1), bad(0)])
    assert (made.cordon, made.scale_to) == ((), None)
    assert made.waiting_for == "the Deployment's controller has not caught up"


def test_a_rollout_that_advances_is_made_smaller_but_loses_no_pod_for_it():
    """Three old and two new of five, two drain: four replicas allow these five pods, so none is removed at once."""
    found = [old(0), old(1), old(2), fresh(0), fresh(1)]
    made = plan(3, deployment(5, sizes=(3, 2)), found)
    assert (made.scale_to, made.cordon, made.removable) == (4, (), ())
    assert plan(1, deployment(5, sizes=(5, 2)), [*(old(n) for n in range(5)), fresh(0), fresh(1)]).scale_to is None
    assert plan(1, deployment(3, sizes=(0, 3)), [fresh(n) for n in range(3)]).scale_to is None, "complete: it drains"


@pytest.mark.parametrize(
    ("desired", "replicas", "sizes", "target"),
    [
        (4, 4, (2, 3), 7),
        (4, 7, (4, 5), 4),
        (10, 10, (6, 7), 17),
        (4, 8, (4, 6), 4),
        (4, 5, (5, 2), 4),
        (1, 1, (1, 1), 1),
        (4, 8, (3, 7), 8),
    ],
)
def test_stuck_pods_of_a_rollout_are_made_up_for_so_that_enough_serve(desired, replicas, sizes, target):
    """The controller shares an increase out, so what brings enough is asked for at once; at most as many again."""
    found = [*(old(n) for n in range(sizes[0])), *(bad(n) for n in range(sizes[1]))]
    assert plan_replicas(desired, deployment(replicas, sizes=sizes), found).target == target


@given(st.integers(1, 30), st.integers(1, 20))
def test_a_bad_rollout_never_costs_workers_whatever_is_scaled(desired, serving):
    """With the controller's own arithmetic, and its worst choices: enough serve, or it is twice."""
    replicas = serving
    sizes = (serving, surge(deployment(serving), serving))
    for _ in range(10):
        shown = deployment(replicas, sizes=sizes)
        found = [*(old(n) for n in range(sizes[0])), *(bad(n) for n in range(sizes[1]))]
        wanted = plan_replicas(desired, shown, found).target
        if wanted <= replicas:
            break
        more = added({"old": sizes[0], "new": sizes[1]}, shown, wanted)
        allowed = max(sum(sizes), wanted + surge(shown, wanted))
        sizes = (sizes[0] + more["old"], allowed - sizes[0] - more["old"])
        replicas = wanted
    assert sizes[0] >= desired or replicas >= 2 * desired


@given(st.data())
def test_no_rollout_makes_a_scale_down_take_a_worker_that_is_needed(data):
    """For any shape of a stalled rollout: each replica set gives up only pods that have drained or hold nothing."""
    count, stuck = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 4))
    replicas = max(1, count + stuck - data.draw(st.integers(0, 3)))
    states = [data.draw(st.sampled_from(["running", "cordoned", "drained"])) for _ in range(count)]
    olds = [gone(n) if state == "drained" else old(n, state=state, in_flight=1) for n, state in enumerate(states)]
    found = [*olds, *(bad(n) for n in range(stuck))]
    shown = deployment(replicas, sizes=(count, stuck))
    target = data.draw(st.integers(1, replicas))
    made = plan(target, shown, found)
    if made.scale_to is None:
        return
    shares = removed({"old": count, "new": stuck}, shown, made.scale_to)
    assert shares["old"] <= sum(each.drained for each in olds)
    left = count - shares["old"]
    assert left >= target
    assert sum(each.role is PodRole.SERVING for each in olds) <= made.scale_to, (
        "the rollout would go on with working pods"
    )
