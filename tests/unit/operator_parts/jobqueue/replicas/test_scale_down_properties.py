"""Whatever a fleet looks like: a plan to scale it down loses no job, and following it leads to the target."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.jobqueue.pods.pod_history import Seen
from penstock_operator.jobqueue.pods.worker_pods import PodRole, WorkerPod
from penstock_operator.jobqueue.replicas.scale_down import ScaleDownPlan
from tests.unit.operator_parts.jobqueue.replicas.fleets import WAS_READY, member, planned, row

STATES = ["running", "cordoned", "drained", "draining", None]
SEEN = st.builds(
    Seen,
    waiting=st.sampled_from([0.0, 3600.0]),
    drained=st.sampled_from([0.0, 9.0]),
    unready=st.sampled_from([0.0, 90.0]),
    was_ready=st.booleans(),
)


@st.composite
def fleets(draw: st.DrawFn) -> list[WorkerPod]:
    """Pods in any state, of any phase; a worker that reported itself drained holds nothing."""
    made = []
    for number in range(draw(st.integers(0, 7))):
        name, state = f"p{number}", draw(st.sampled_from(STATES))
        in_flight = 0 if state == "drained" else draw(st.integers(0, 5))
        ready = draw(st.booleans())
        phase = "Running" if ready else draw(st.sampled_from(["Running", "Pending"]))
        status = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]}
        found = None if state is None else row(name, number, state=state, in_flight=in_flight)
        one = member(name, found, seen=draw(SEEN), status=status)
        lost = state is None and draw(st.booleans())
        made.append(dataclasses.replace(one, role=PodRole.LOST) if lost else one)
    return made


def victims(found: list[WorkerPod], made: ScaleDownPlan, count: int, rng: Any) -> list[WorkerPod]:
    """The pods that the replica set takes: pending, then not ready, then of a low cost, then as it likes."""
    costs = {one.uid for one in made.removable}

    def order(one: WorkerPod) -> tuple[bool, bool, bool]:
        pending = not one.pod.ready and one.role in {PodRole.STARTING, PodRole.STUCK}
        return not pending, one.pod.ready, one.pod.uid not in costs

    return sorted(rng.sample(found, len(found)), key=order)[:count]


@given(fleets(), st.integers(0, 8), st.randoms(use_true_random=False))
def test_the_replica_set_never_takes_a_pod_that_holds_jobs_or_is_needed(fleet, target, rng):
    """Whatever the fleet looks like, and whatever it prefers among equals: all victims had drained, or hold nothing."""
    made = planned(target, *fleet)
    assert not set(made.cordon) & set(made.uncordon)
    if made.scale_to is not None:
        assert target <= made.scale_to < len(fleet)
        for one in victims(fleet, made, len(fleet) - made.scale_to, rng):
            assert one.removable or (one.drained and one.worker is not None and one.worker.in_flight == 0)


@given(fleets(), st.integers(0, 8))
def test_following_the_plan_ends_at_what_is_wanted(fleet, target):
    """Cordon, drain, go; again and again, with jobs that end: the number is reached, and nobody is cordoned then."""
    target = min(target, len(fleet))
    for _ in range(30):
        made = planned(target, *fleet)
        gone = {one.uid for one in made.removable}
        fleet = [after(one, made) for one in fleet if one.pod.uid not in gone]
    left = [one for one in fleet if one.role is PodRole.LEAVING]
    kept = sum(one.role is PodRole.UNREGISTERED for one in fleet)
    assert len(fleet) == max(target, kept) or (target < kept and len(fleet) <= kept)
    assert not left or len(fleet) > target


def after(one: WorkerPod, made: ScaleDownPlan) -> WorkerPod:
    """What becomes of a pod until the next sample: the cordoned finish and turn unready, the others are well."""
    if one.role in {PodRole.LOST, PodRole.STUCK, PodRole.UNREGISTERED}:
        return one
    was = one.worker or row(one.pod.name, 100 + int(one.pod.name[1:]))
    leaving = one.role is PodRole.LEAVING or was.id in made.cordon
    if leaving and was.id not in made.uncordon:
        found = dataclasses.replace(was, state="drained", in_flight=0)
        return member(one.pod.name, found, ready=False, seen=Seen(drained=9.0, was_ready=True))
    return member(one.pod.name, dataclasses.replace(was, state="running"), seen=WAS_READY)
