"""What is asked for in place of pods that serve nothing: not too soon, not too much, and with its reason."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from penstock.errors import StoreError
from penstock.store import QueueState
from penstock.store.operator_queries import LostWorker
from penstock_operator.database.client import DatabaseClient
from penstock_operator.jobqueue.observation import Observation, QueueSample
from penstock_operator.jobqueue.plan import replicas_for
from penstock_operator.jobqueue.pods.pod_history import PodHistory, Seen
from penstock_operator.jobqueue.pods.pod_view import FleetView
from penstock_operator.jobqueue.pods.worker_pods import PodRole, WorkerPod
from penstock_operator.jobqueue.replicas.replica_plan import plan_replicas
from penstock_operator.kube.cache import Cache
from penstock_operator.resources.resource import Pod
from tests.unit.operator_parts.jobqueue.pods.test_worker_pods import CRASHED, LOST, one, serving
from tests.unit.operator_parts.objects import deployment, jobqueue, pod, pod_object


def scheduled(**state: Any) -> dict[str, Any]:
    """A pod with a node, and what its container is in."""
    return {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "worker", "ready": False, "state": state}],
    }


def slow(seconds: float, **state: Any) -> WorkerPod:
    return one(f"slow-{seconds}", ready=False, status=scheduled(**state), seen=Seen(waiting=seconds, unready=seconds))


CREATING = {"waiting": {"reason": "ContainerCreating"}}
RUNNING: dict[str, Any] = {"running": {}}


@pytest.mark.parametrize(
    ("member", "starts", "extra"),
    [
        (slow(121.0, **RUNNING), None, 1),
        (slow(121.0, **RUNNING), 20.0, 1),
        (slow(121.0, **RUNNING), 90.0, 0),
        (slow(181.0, **RUNNING), 90.0, 1),
        (slow(599.0, **CREATING), None, 0),
        (slow(601.0, **CREATING), None, 1),
        (slow(601.0, **CREATING), 400.0, 0),
    ],
)
def test_a_pod_that_takes_as_long_as_others_did_or_pulls_its_image_is_not_replaced(member, starts, extra):
    """Twice the usual start, two minutes at least; an image may come until the rollout's deadline."""
    assert plan_replicas(2, deployment(2), [*serving(1), member], startup_seconds=starts).extra == extra


def test_the_deadline_for_an_image_is_the_deployments():
    """`worker.deployment.progressDeadlineSeconds`."""
    shown = deployment(2, spec={"progressDeadlineSeconds": 1200})
    assert plan_replicas(2, shown, [*serving(1), slow(601.0, **CREATING)]).extra == 0


@pytest.mark.parametrize(("limit", "extra"), [(4, 0), (5, 1), (9, 3), (3, 0)])
@pytest.mark.parametrize("name", ["max_replicas", "connections_allow"])
def test_stuck_pods_are_replaced_within_the_limits(name, limit, extra):
    """They may all serve a minute later, and hold connections."""
    limits: dict[str, Any] = {name: limit}
    assert plan_replicas(4, deployment(4), [*serving(1), *[CRASHED] * 3], **limits).extra == extra


def test_lost_pods_are_replaced_beyond_the_maximum():
    """Nothing can be had of them: a dead node is no reason to serve with less."""
    assert plan_replicas(3, deployment(3), [*serving(2), LOST], max_replicas=3).extra == 1
    assert plan_replicas(4, deployment(4), [*serving(2), LOST, CRASHED], max_replicas=5).extra == 1


def draining(seconds: float) -> WorkerPod:
    return one("leaving", state="draining", ready=False, seen=Seen(was_ready=True, unready=seconds))


@pytest.mark.parametrize(
    ("desired", "found", "allow", "extra"),
    [
        (1, [draining(9.0)], None, 0),
        (1, [draining(10.0)], None, 1),
        (3, [*serving(2), draining(1800.0)], None, 1),
        (3, [*serving(2), draining(1800.0)], 3, 0),
        (2, [*serving(2), draining(1800.0)], 3, 1),
    ],
)
def test_a_worker_that_drains_while_its_pod_stays_is_made_up_for(desired, found, allow, extra):
    """A failed stage, a liveness probe, a `kill 1`: it takes no job until its container is started again."""
    made = plan_replicas(desired, deployment(len(found)), found, connections_allow=allow)
    assert made.extra == extra


def test_a_worker_that_drains_in_place_is_not_removed():
    """It still runs its jobs."""
    assert not draining(1800.0).removable


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"status": {"phase": "Failed", "reason": "Evicted"}}, 1),
        ({"status": {"phase": "Succeeded"}}, 1),
        ({"status": {"phase": "Failed"}, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, 1),
        ({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, 0),
    ],
)
def test_a_pod_that_has_ended_takes_no_part_of_the_connection_budget(changes, extra):
    """It is listed until somebody deletes it, and holds no connection; one that still stops holds its own."""
    seen = Observation(
        queue=jobqueue(scaling__connectionBudget={"maxConnections": 4, "perWorker": 1}),
        now=0.0,
        wall_time=0.0,
        sample=QueueSample(),
        members=(*serving(2), LOST),
        ended=(Pod.read(pod_object("stops", **changes)),),
        waiting={},
    )
    assert replicas_for(seen, deployment(3), 3).extra == extra


def test_the_end_of_a_pod_that_was_being_deleted_wakes_its_queue():
    """Its connections are free then."""
    woken: list[str] = []
    cache = Cache(lambda _namespace, name: woken.append(name))
    stops = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    cache.pods.observe(pod_object("stops", version="1", metadata=stops))
    cache.pods.observe(pod_object("stops", version="2", metadata=stops, status={"phase": "Failed"}))
    assert woken == ["emails", "emails"]


def test_a_restarted_or_recalled_worker_has_to_be_seen_ready_again():
    """Before that a success of its probe may still come late."""
    history, ready, unready = PodHistory(), pod("p"), pod("p", ready=False)

    def was_ready(now: float, view: Any, worker: int, *, drained: bool = False) -> bool:
        history.observe([view], registered={"p": worker}, drained={"p"} if drained else (), now=now)
        return history.seen[view.uid].was_ready

    assert was_ready(1.0, ready, 7)
    assert was_ready(2.0, unready, 7, drained=True)
    assert not was_ready(3.0, unready, 7), "called back"
    assert was_ready(4.0, ready, 7)
    assert not was_ready(5.0, unready, 8), "its container was started again"
    assert was_ready(6.0, ready, 8)


class Database:
    """Says who is lost, or cannot be asked."""

    def __init__(self, *answers: dict[str, LostWorker] | StoreError) -> None:
        self.answers = list(answers)

    async def lost_workers(self, _number: int) -> dict[str, LostWorker]:
        answer = self.answers.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer


def test_a_lost_worker_stays_lost_while_the_database_cannot_be_asked_about_it():
    """Its pod still seems Ready: for one sample it would seem to serve."""
    view, found = FleetView(), pod("p")
    state = QueueState(1, "emails", False, True, 0, False, 0, 0, 0, 0, None, [])
    database = cast(DatabaseClient, Database({"p": LostWorker("n", 30.0)}, StoreError("gone"), {}))

    def role(now: float) -> PodRole:
        asyncio.run(view.observe([found], state, database, now))
        return view.members([found], state)[0].role

    assert [role(1.0), role(2.0), role(3.0)] == [PodRole.LOST, PodRole.LOST, PodRole.UNREGISTERED]
