"""Who leaves, who is called back and who may go."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.drain import COST, Plan, WorkerRow, plan, rows
from penstock_operator.resource import COST_MANAGER, DELETION_COST, Pod
from tests.unit.operator_parts.objects import pod

WAITING = {"uid-starting": 1.0, "uid-stuck": 3600.0}
"""For how long pods of these tests have been seen not to serve."""


def row(name: str, number: int, *, state: str = "running", in_flight: int = 0) -> WorkerRow:
    return WorkerRow(id=number, pod=name, state=state, in_flight=in_flight)


def planned(desired: int, *found: tuple[Pod, WorkerRow | None], **changes: Any) -> Plan:
    """The plan for these pods with their workers; `replicas` is their number unless given."""
    given_ = {"replicas": len(found), "going": frozenset(), "rolling": False, "waiting": WAITING, **changes}
    workers = {one.pod: one for _, one in found if one is not None}
    return plan(desired=desired, pods=[each for each, _ in found], workers=workers, **given_)


BUSY = (pod("busy"), row("busy", 1, in_flight=3))
IDLE = (pod("idle"), row("idle", 2))
CORDONED = (pod("cordoned"), row("cordoned", 3, state="cordoned", in_flight=1))
DRAINED_READY = (pod("slow"), row("slow", 4, state="drained"))
DRAINED = (pod("drained", ready=False), row("drained", 5, state="drained"))
STARTING = (pod("starting", ready=False), None)
STUCK = (pod("stuck", ready=False), None)


def test_nothing_is_done_where_nothing_is_surplus():
    """As many as are desired."""
    assert planned(2, BUSY, IDLE) == Plan()


def test_the_idlest_is_cordoned_first():
    """And nothing is scaled before it has drained."""
    assert planned(1, BUSY, IDLE) == Plan(cordon=(2,))


def test_a_drained_pod_that_is_not_ready_any_more_goes_with_its_cost():
    """By exactly its number."""
    made = planned(1, BUSY, DRAINED)
    assert (made.go, made.scale_to) == ((DRAINED[0],), 1)


def test_a_drained_pod_that_the_watch_still_shows_ready_is_waited_for():
    """The replica set ranks ready pods differently."""
    made = planned(1, BUSY, DRAINED_READY)
    assert (made.go, made.scale_to, made.leaving) == ((), None, 1)


def test_the_drained_go_while_others_still_finish():
    """A long job does not keep those that are done."""
    made = planned(0, CORDONED, DRAINED)
    assert (made.go, made.scale_to) == ((DRAINED[0],), 1)


def test_whoever_leaves_is_called_back_when_needed_again():
    """The cordoned before the drained, for it is at work."""
    assert planned(2, CORDONED, DRAINED).call_back == (5, 3) or planned(2, CORDONED, DRAINED).call_back == (3, 5)
    assert planned(1, CORDONED, DRAINED).call_back == (3,)


def test_a_pod_just_let_go_is_neither_called_back_nor_counted():
    """Until the watch shows it gone."""
    made = planned(1, BUSY, DRAINED, replicas=1, going={DRAINED[0].uid})
    assert made == Plan()


def test_with_a_pod_starting_nobody_goes():
    """A pod that is not ready yet ranks before a drained one."""
    made = planned(2, BUSY, DRAINED, STARTING)
    assert (made.scale_to, made.waiting_for) == (None, "1 pods are starting")


def test_a_stuck_pod_goes_first_and_without_a_drain():
    """It holds nothing; nobody else has to leave."""
    made = planned(2, BUSY, IDLE, STUCK)
    assert (made.cordon, made.go, made.scale_to) == ((), (STUCK[0],), 2)


def test_during_a_rollout_nobody_is_drained_unless_all_are():
    """A rollout waits for ready pods, and a drained one is not."""
    made = planned(1, BUSY, CORDONED, rolling=True)
    assert (made.cordon, made.call_back, made.waiting_for) == ((), (3,), "a rollout is under way")
    every = planned(0, BUSY, DRAINED, STUCK, replicas=2, rolling=True)
    assert (every.cordon, every.scale_to) == ((1,), None)
    assert planned(0, DRAINED, STUCK, replicas=1, rolling=True).scale_to == 0


def test_a_cost_of_ours_is_taken_from_whoever_stays_and_a_strangers_is_left():
    """Only what we wrote."""
    annotations = {"annotations": {DELETION_COST: str(COST)}}
    fields: dict[str, Any] = {"fieldsV1": {"f:metadata": {"f:annotations": {f"f:{DELETION_COST}": {}}}}}
    ours = pod("ours", metadata=annotations | {"managedFields": [{"manager": COST_MANAGER, **fields}]})
    theirs = pod("theirs", metadata=annotations | {"managedFields": [{"manager": "karpenter", **fields}]})
    made = planned(2, (ours, row("ours", 1)), (theirs, row("theirs", 2)))
    assert made.uncost == (ours,)
    assert theirs.foreign_cost == "karpenter"
    assert not ours.foreign_cost


def test_what_workers_hold_by_the_database_counts_before_what_they_report():
    """Reports lag by a third of a lease; whoever the count does not name holds nothing."""
    workers = [
        {"id": 1, "pod": "a", "state": "running", "in_flight": 0},
        {"id": 2, "pod": "b", "state": "running", "in_flight": 4},
    ]
    assert rows(workers, {1: 3}) == {"a": row("a", 1, in_flight=3), "b": row("b", 2)}
    assert rows(workers) == {"a": row("a", 1), "b": row("b", 2, in_flight=4)}


def test_of_two_rows_of_one_pod_the_younger_counts():
    """Its container was restarted."""
    found = rows(
        [
            {"id": 9, "pod": "a", "state": "running", "in_flight": 0},
            {"id": 3, "pod": "a", "state": "cordoned", "in_flight": 4},
            {"id": 5, "pod": None, "state": "running", "in_flight": 0},
        ]
    )
    assert found == {"a": row("a", 9)}


@st.composite
def fleets(draw: st.DrawFn) -> list[tuple[Pod, WorkerRow | None]]:
    made: list[tuple[Pod, WorkerRow | None]] = []
    for number in range(draw(st.integers(0, 8))):
        name = f"p{number}"
        state = draw(st.sampled_from(["running", "cordoned", "drained", None]))
        in_flight = 0 if state == "drained" else draw(st.integers(0, 5))
        age = draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:59:59Z"]))
        view = pod(name, ready=draw(st.booleans()), metadata={"creationTimestamp": age})
        made.append((view, None if state is None else row(name, number, state=state, in_flight=in_flight)))
    return made


@given(fleets(), st.integers(0, 10), st.integers(0, 10), st.booleans())
def test_only_pods_that_hold_nothing_go_and_never_more_than_are_surplus(fleet, desired, replicas, rolling):
    """Whatever the fleet looks like."""
    made = planned(desired, *fleet, replicas=replicas, rolling=rolling)
    workers = {each.uid: found for each, found in fleet}
    for each in made.go:
        assert not each.ready
        found = workers[each.uid]
        assert found is None or (found.state == "drained" and found.in_flight == 0)
    if made.scale_to is not None:
        assert desired <= made.scale_to < replicas
        assert len(made.go) >= replicas - made.scale_to
    assert not set(made.cordon) & set(made.call_back)


@given(fleets(), st.integers(0, 10))
def test_following_the_plan_ends_at_what_is_desired(fleet, desired):
    """Cordon, drain, go; again and again, with jobs that end: the number is reached, and nobody is cordoned then."""
    desired = min(desired, len(fleet))
    for _ in range(20):
        made = planned(desired, *fleet, waiting={each.uid: 3600.0 for each, _ in fleet})
        gone = {each.uid for each in made.go}
        fleet = [_after(each, found, made) for each, found in fleet if each.uid not in gone]
    left = [found for _, found in fleet if found is not None and found.leaving]
    assert len(fleet) == desired or not _could_shrink(fleet)
    assert not left or len(fleet) > desired


def _after(each: Pod, found: WorkerRow | None, made: Plan) -> tuple[Pod, WorkerRow | None]:
    """What becomes of a pod until the next look: the cordoned end their jobs and turn unready."""
    if found is None:
        return each, None
    if found.id in made.cordon or (found.leaving and found.id not in made.call_back):
        return dataclasses.replace(each, ready=False), dataclasses.replace(found, state="drained", in_flight=0)
    state = "running" if found.id in made.call_back else found.state
    return (dataclasses.replace(each, ready=True), dataclasses.replace(found, state=state))


def _could_shrink(fleet: list[tuple[Pod, WorkerRow | None]]) -> bool:
    """A ready pod whose worker the database does not know cannot be drained, so it stays."""
    return any(found is not None or not each.ready for each, found in fleet)
