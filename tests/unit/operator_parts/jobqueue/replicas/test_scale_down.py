"""Who leaves, who is called back and who may go."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from penstock_operator.jobqueue.pods.pod_history import Seen
from penstock_operator.jobqueue.pods.worker_pods import PodRole, WorkerPod, worker_rows
from penstock_operator.jobqueue.replicas.scale_down import COST, ScaleDownPlan
from penstock_operator.resources.resource import COST_MANAGER, DELETION_COST
from tests.unit.operator_parts.jobqueue.replicas.fleets import STUCK_FOR_LONG, member, planned, row

ROLLING: dict[str, Any] = {"status": {"updatedReplicas": 0}}
BUSY = member("busy", row("busy", 1, in_flight=3))
IDLE = member("idle", row("idle", 2))
CORDONED = member("cordoned", row("cordoned", 3, state="cordoned", in_flight=1))
DRAINED_READY = member("slow", row("slow", 4, state="drained"))
DRAINED = member("drained", row("drained", 5, state="drained"), ready=False)
LAGGING = member("lagging", row("lagging", 6), ready=False, seen=Seen(unready=3.0))
STARTING = member("starting", ready=False, seen=Seen(waiting=1.0))
STUCK = member("stuck", ready=False, seen=STUCK_FOR_LONG)


def test_nothing_is_done_where_nothing_is_surplus():
    """As many as are wanted."""
    assert planned(2, BUSY, IDLE) == ScaleDownPlan()


def test_the_idlest_is_cordoned_first():
    """And nothing is scaled before it has drained."""
    assert planned(1, BUSY, IDLE) == ScaleDownPlan(cordon=(2,))


def test_of_equally_idle_workers_the_last_that_registered_leaves():
    """A worker that was lost and has come back registered last."""
    assert planned(2, IDLE, member("back", row("back", 90)), BUSY).cordon == (90,)


def test_a_drained_pod_that_is_not_ready_any_more_goes_with_its_cost():
    """By exactly its number."""
    made = planned(1, BUSY, DRAINED)
    assert (made.removable, made.scale_to) == ((DRAINED.pod,), 1)


def test_a_drained_pod_that_the_watch_still_shows_ready_is_waited_for():
    """The replica set ranks ready pods differently."""
    made = planned(1, BUSY, DRAINED_READY)
    assert (made.removable, made.scale_to, made.leaving) == ((), None, 1)


@pytest.mark.parametrize(("drained", "goes"), [(0.0, False), (3.9, False), (4.0, True)])
def test_a_drained_pod_that_was_never_ready_is_waited_for_until_no_late_success_can_come(drained, goes):
    """A period of its probe and the timeout: the kubelet may publish a result from before the drain."""
    never = member("never", row("never", 7, state="drained"), ready=False, seen=Seen(drained=drained))
    assert planned(1, BUSY, never).scale_to == (1 if goes else None)


def test_the_drained_go_while_others_still_finish():
    """A long job does not keep those that are done."""
    made = planned(0, CORDONED, DRAINED)
    assert (made.removable, made.scale_to) == ((DRAINED.pod,), 1)


def test_a_leaving_pod_is_called_back_when_needed_again():
    """The cordoned before the drained: it still works."""
    assert set(planned(2, CORDONED, DRAINED).uncordon) == {3, 5}
    assert planned(1, CORDONED, DRAINED).uncordon == (3,)


def test_a_pod_just_let_go_is_neither_called_back_nor_counted():
    """Until the watch shows it gone."""
    made = planned(1, BUSY, DRAINED, replicas=1, going=frozenset({DRAINED.pod.uid}), sizes=(1,))
    assert made == ScaleDownPlan()


@pytest.mark.parametrize(
    ("stays", "waits"),
    [
        (STARTING, "1 pod is starting"),
        (LAGGING, "pod lagging is not ready"),
        (member("leaving", row("leaving", 8, state="draining", in_flight=2), ready=False), "pod leaving is not ready"),
        (member("cut", row("cut", 9, in_flight=2), ready=False), "pod cut is not ready"),
    ],
)
def test_nobody_goes_while_a_pod_stays_and_is_not_ready(stays, waits):
    """The replica set takes it first, whatever their cost: it starts, lags, drains, or lost contact."""
    made = planned(2, BUSY, DRAINED, stays)
    assert (made.scale_to, made.waiting_for) == (None, waits)


def test_a_worker_whose_pod_does_not_become_ready_leaves_before_idle_ones():
    """Else it would keep them from leaving for ever."""
    unready = member("odd", row("odd", 1, in_flight=3), ready=False, seen=Seen(unready=61.0))
    assert planned(1, unready, IDLE).cordon == (1,)


def test_a_stuck_pod_goes_first_and_without_a_drain():
    """It holds nothing; nobody else has to leave."""
    made = planned(2, BUSY, IDLE, STUCK)
    assert (made.cordon, made.removable, made.scale_to) == ((), (STUCK.pod,), 2)


def test_a_lost_pod_goes_first_although_it_still_seems_ready():
    """A node that lost power keeps its pods Ready for almost a minute."""
    lost = dataclasses.replace(member("lost"), role=PodRole.LOST)
    assert lost.pod.ready
    made = planned(1, BUSY, lost)
    assert (made.removable, made.scale_to) == ((lost.pod,), 1)
    assert planned(1, LAGGING, lost).scale_to is None, "the pod that is not ready would be taken"


def test_a_draining_worker_is_never_called_back_or_cordoned():
    """It got SIGTERM; its container will be started again."""
    leaving = member("leaving", row("leaving", 8, state="draining"))
    assert planned(2, leaving, BUSY) == ScaleDownPlan()
    assert planned(1, leaving, BUSY).cordon == (1,)


def test_pods_that_are_not_there_yet_make_nobody_leave():
    """More were wanted a moment ago: they come first; where they are refused, the replicas follow at once."""
    made = planned(1, BUSY, replicas=3)
    assert (made.cordon, made.scale_to, made.waiting_for) == ((), None, "2 pods are about to be created")
    refused: dict[str, Any] = {
        "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]}
    }
    assert planned(1, BUSY, replicas=3, **refused) == ScaleDownPlan(scale_to=1)
    assert planned(1, BUSY, IDLE, replicas=3, **refused).scale_to == 2


def test_during_a_rollout_nobody_is_drained_unless_all_are():
    """A rollout waits for ready pods, and a drained one is not."""
    made = planned(1, BUSY, CORDONED, STARTING, replicas=2, **ROLLING)
    assert (made.cordon, made.uncordon, made.waiting_for) == ((), (3,), "a rollout is under way")
    every = planned(0, BUSY, DRAINED, STUCK, replicas=2, **ROLLING)
    assert (every.cordon, every.scale_to) == ((1,), None)
    assert planned(0, DRAINED, STUCK, replicas=1, **ROLLING).scale_to == 0


def test_a_cost_of_ours_is_taken_from_a_pod_that_stays_and_a_strangers_is_left():
    """Only what we wrote."""
    annotations = {"annotations": {DELETION_COST: str(COST)}}
    fields: dict[str, Any] = {"fieldsV1": {"f:metadata": {"f:annotations": {f"f:{DELETION_COST}": {}}}}}
    ours = member(
        "ours", row("ours", 1), metadata=annotations | {"managedFields": [{"manager": COST_MANAGER, **fields}]}
    )
    theirs = member("theirs", row("theirs", 2), metadata=annotations | {"managedFields": [{"manager": "x", **fields}]})
    assert planned(2, ours, theirs).clear_cost == (ours.pod,)
    assert theirs.pod.other_cost_manager == "x"


def test_workers_are_found_by_their_pod():
    """With the number of jobs in flight that they last reported."""
    workers = [
        {"id": 1, "pod": "a", "state": "running", "in_flight": 0},
        {"id": 2, "pod": "b", "state": "running", "in_flight": 4},
    ]
    assert worker_rows(workers) == {"a": row("a", 1), "b": row("b", 2, in_flight=4)}


def test_of_two_rows_of_one_pod_the_younger_counts():
    """Its container was restarted."""
    found = worker_rows(
        [
            {"id": 9, "pod": "a", "state": "running", "in_flight": 0},
            {"id": 3, "pod": "a", "state": "cordoned", "in_flight": 4},
            {"id": 5, "pod": None, "state": "running", "in_flight": 0},
        ]
    )
    assert found == {"a": row("a", 9)}


def unready(name: str, number: int, *, state: str = "running", **changes: Any) -> WorkerPod:
    """A worker whose pod has not been ready for ten minutes."""
    return member(name, row(name, number, state=state), ready=False, seen=Seen(drained=60.0, unready=600.0), **changes)


def test_a_fleet_of_which_no_pod_is_ready_gets_smaller():
    """A pod that stays is not taken before one that leaves: both run and are unready, and then the cost decides."""
    leaving = [unready(f"p{number}", number, state="drained") for number in range(2, 6)]
    made = planned(1, unready("p1", 1), *leaving)
    assert (made.scale_to, len(made.removable)) == (1, 4)
    assert planned(2, unready("p0", 10), unready("p1", 11), unready("p2", 2, state="drained")).scale_to == 2


def test_an_unready_pod_that_stays_is_in_the_way_of_one_that_seems_ready():
    """A lost pod is Ready for almost a minute, and the replica set takes it last."""
    lost = dataclasses.replace(member("lost"), role=PodRole.LOST)
    made = planned(1, unready("p1", 1), lost)
    assert (made.scale_to, made.waiting_for) == (None, "pod p1 is not ready")


def test_an_unready_pod_whose_deletion_cost_is_a_strangers_is_in_the_way():
    """It may be lower than that of the pods that leave."""
    theirs = {"annotations": {DELETION_COST: "-5000"}}
    made = planned(1, unready("p1", 1, metadata=theirs), unready("p2", 2, state="drained"))
    assert (made.scale_to, made.waiting_for) == (None, "pod p1 is not ready")
