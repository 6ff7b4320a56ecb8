"""What a pod is to the autoscaler, what is asked for in place of those that serve nothing, and what people read."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.store.operator_queries import LostWorker
from penstock_operator.jobqueue.pods.pod_history import PodHistory, Seen
from penstock_operator.jobqueue.pods.pod_view import lost_text
from penstock_operator.jobqueue.pods.worker_pods import PodRole, PodWorker, WorkerPod, members
from penstock_operator.jobqueue.replicas.replica_plan import plan_replicas
from penstock_operator.resources.conditions import ObservedState, conditions_of
from penstock_operator.resources.resource import Pod
from tests.unit.jobqueue.examples import policy
from tests.unit.operator_parts.objects import deployment, jobqueue, pod
from tests.unit.scaling.test_draining import decided

UNKNOWN = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
CRASHING = {"containerStatuses": [{"name": "worker", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}
NO_NODE = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "no node"}]}


def one(
    name: str = "p",
    *,
    state: str | None = None,
    lost: LostWorker | None = None,
    seen: Seen | None = None,
    **changes: Any,
) -> WorkerPod:
    view = pod(name, **changes)
    rows = {} if state is None else {name: PodWorker(id=1, pod=name, state=state, in_flight=0)}
    (made,) = members([view], rows, {name: lost} if lost else {}, {view.uid: seen} if seen else {})
    return made


@pytest.mark.parametrize(
    ("role", "given"),
    [
        (PodRole.SERVING, {"state": "running"}),
        (PodRole.SERVING, {"state": "running", "ready": False}),
        (PodRole.SERVING, {"state": "running", "status": UNKNOWN}),
        (PodRole.LEAVING, {"state": "cordoned"}),
        (PodRole.LEAVING, {"state": "drained", "ready": False}),
        (PodRole.DRAINING, {"state": "draining"}),
        (PodRole.STARTING, {"ready": False, "seen": Seen(waiting=29.0)}),
        (PodRole.STUCK, {"ready": False, "seen": Seen(waiting=31.0)}),
        (PodRole.STUCK, {"ready": False, "status": CRASHING | {"conditions": []}}),
        (PodRole.STUCK, {"status": NO_NODE}),
        (PodRole.LOST, {"lost": LostWorker("n", 30.0)}),
        (PodRole.LOST, {"lost": LostWorker("n", 30.0), "ready": False}),
        (PodRole.LOST, {"seen": Seen(missing=31.0), "ready": False}),
        (PodRole.UNREGISTERED, {"seen": Seen(missing=31.0)}),
        (PodRole.LOST, {"status": UNKNOWN}),
        (PodRole.UNREGISTERED, {}),
        (PodRole.UNREGISTERED, {"lost": LostWorker("n", 3.0)}),
        (PodRole.UNREGISTERED, {"seen": Seen(missing=3.0)}),
    ],
)
def test_a_pod_is_what_its_worker_says_and_readiness_alone_says_nothing(role, given):
    """A row that lives serves, on a silent node too; without one it starts, is stuck or lost."""
    assert one(**given).role is role


def serving(count: int) -> list[WorkerPod]:
    return [one(f"s{number}", state="running") for number in range(count)]


LOST = one("lost", lost=LostWorker("n", 30.0))
CRASHED = one("bad", ready=False, status=CRASHING | {"conditions": []}, seen=Seen(unready=11.0))
RESTARTING = one("again", ready=False, status=CRASHING | {"conditions": []}, seen=Seen(unready=2.0))


@pytest.mark.parametrize(
    ("desired", "found", "extra"),
    [
        (3, serving(3), 0),
        (3, [*serving(2), LOST], 1),
        (1, [LOST], 1),
        (3, [LOST] * 3, 3),
        (3, [*serving(2), CRASHED], 1),
        (3, [CRASHED] * 3, 0),
        (3, [*serving(2), RESTARTING], 0),
        (3, [*serving(2), one("no", status=NO_NODE, seen=Seen(unready=99.0))], 0),
        (3, [*serving(2), one("slow", ready=False, seen=Seen(waiting=100.0))], 0),
        (3, [*serving(2), one("slow", ready=False, seen=Seen(waiting=121.0))], 1),
        (0, [LOST], 0),
    ],
)
def test_what_serves_nothing_is_made_up_for_where_another_pod_can_do_better(desired, found, extra):
    """Not where none serves and all are stuck, where no node has room, or where an image may be on its way."""
    made = plan_replicas(desired, deployment(max(1, len(found))), found)
    assert (made.target, made.extra) == (desired + extra, extra)
    assert ("extra replica" in made.explained("Why.")) == bool(extra)


def test_at_most_as_many_again_are_asked_for():
    """What is wrong with one pod may be wrong with its replacement."""
    found = [*serving(1), *[CRASHED] * 9]
    assert plan_replicas(3, deployment(10), found).target == 6


def test_replacements_that_are_on_their_way_are_not_asked_for_again():
    """The Deployment's controller has not made them yet."""
    assert plan_replicas(3, deployment(4, sizes=(3,)), [*serving(2), LOST]).target == 4


@pytest.mark.parametrize(
    ("found", "allow", "extra"), [([*serving(2), LOST], 3, 0), ([*serving(2), LOST], 4, 1), ([LOST], 1, 1)]
)
def test_a_lost_worker_may_still_hold_its_connections(found, allow, extra):
    """So within the budget, but for the first that serves at all."""
    assert plan_replicas(len(found), deployment(len(found)), found, connections_allow=allow).extra == extra


def test_lost_pods_are_named_with_node_and_seconds_and_ready_is_false_while_none_serves():
    """And what happens with their jobs."""
    text = lost_text([LOST, *serving(1)])
    assert text.startswith("Pod lost on node n has not renewed its lease for 30 s.")
    facts: dict[str, Any] = {"policy": jobqueue().policy, "connected": True, "lost": text, "existing": 2}
    wanted = decided(policy(scaling__minReplicas=1))
    none, some = (conditions_of(ObservedState(**facts, ready=ready, decision=wanted)) for ready in (0, 1))
    assert [none["WorkersAvailable"].status, none["WorkersAvailable"].reason] == ["False", "WorkersLost"]
    assert none["Ready"].status == "False"
    assert [some["WorkersAvailable"].status, some["WorkersAvailable"].reason] == ["True", "WorkersLost"]
    assert some["Ready"].status == "True"
    assert lost_text(serving(2)) == ""
    assert lost_text([LOST] * 5).count("pod lost") + 1 == 3


def test_a_history_knows_since_when_a_pod_is_what_it_is():
    """It starts, registers before it is ready, drains, loses its worker; another pod's times are its own."""
    history, found = PodHistory(), pod("p", ready=False)

    def seen(now: float, view: Pod, *, registered: bool = False, drained: bool = False) -> Seen:
        names = {view.name: 1}
        history.observe([view], registered=names if registered else {}, drained=names if drained else (), now=now)
        return history.seen[view.uid]

    assert seen(100.0, found) == Seen()
    assert seen(107.0, found) == Seen(waiting=7.0, unready=7.0)
    assert not history.may_be_lost((), [found])
    assert seen(108.0, found, registered=True) == Seen(unready=8.0)
    assert seen(110.0, pod("p"), registered=True) == Seen(was_ready=True)
    assert seen(120.0, found, registered=True, drained=True) == Seen(was_ready=True)
    assert seen(125.0, found, registered=True, drained=True) == Seen(was_ready=True, drained=5.0, unready=5.0)
    assert seen(130.0, found) == Seen(was_ready=True, unready=10.0)
    assert seen(140.0, found) == Seen(was_ready=True, unready=20.0, missing=10.0)
    assert history.may_be_lost((), [found])
    assert seen(150.0, pod("q", ready=False)) == Seen()
    assert seen(161.0, pod("q", ready=False)) == Seen(waiting=11.0, unready=11.0)
    assert history.may_be_lost((), [pod("q", ready=False)])
