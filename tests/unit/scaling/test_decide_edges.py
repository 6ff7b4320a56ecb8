"""Decisions at the edges of a rule: each test fails if one comparison, one clamp or one memory is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.scaling import Bound, Decision, History, decide
from penstock.scaling.types import ReplicaSample
from tests.unit.jobqueue.examples import policy, snapshot

STEPS: dict[str, Any] = {
    "scaling__steps": [{"below": 10, "change": -1}, {"below": 5, "change": -3}],
    "scaling__stepPeriodSeconds": 15,
    "scaling__scaleDown": {"stabilizationWindowSeconds": 60, "cooldownSeconds": 0},
}
CALM: dict[str, Any] = {"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0}}


def started(replicas: int, **changes: Any) -> History:
    return replace(History.starting(replicas, now=-1000.0), **changes)


def repeated(times: int, seen: dict[str, Any], rules: dict[str, Any], history: History) -> list[Decision]:
    """The decisions on one and the same snapshot, each with the history of the one before."""
    made: list[Decision] = []
    for _ in range(times):
        made.append(decide(snapshot(**seen), policy(**rules), made[-1].history if made else history, 0.0))
    return made


def test_a_sample_of_exactly_the_maximum_age_still_counts():
    """Only an older one is missing data."""
    assert decide(snapshot(ready=5, sampled_at=-60.0), policy(), started(1), 0.0).bound is not Bound.SIGNAL_LOST


def test_mode_fixed_does_not_count_draining_workers_of_an_old_sample():
    """They may have exited since."""
    rules = policy(
        scaling__mode="Fixed", scaling__maxReplicas=None, replicas=5, scaling__connectionBudget={"maxConnections": 20}
    )
    assert decide(snapshot(draining_workers=3, sampled_at=-61.0), rules, started(5), 0.0).desired == 5


def test_a_queue_that_leaves_mode_fixed_keeps_its_replicas_for_a_window():
    """What somebody set by hand counts as wanted until then."""
    fixed = decide(snapshot(), policy(scaling__mode="Fixed", replicas=6), started(6), 0.0)
    auto = decide(snapshot(sampled_at=1.0), policy(), fixed.history, 1.0)
    assert (auto.desired, auto.bound) == (6, Bound.STABILIZATION)


def test_a_step_that_is_not_due_yet_counts_as_wanted_already():
    """So the window starts with it, not with the moment at which it is due."""
    history = started(3, stepped_at=-5.0)
    seen = []
    for now in (0.0, 10.0, 60.0):
        made = decide(snapshot(ready=7, sampled_at=now), policy(**STEPS), history, now)
        history = made.history
        seen.append((made.desired, made.bound))
    assert seen == [(3, Bound.STEP_PERIOD), (3, Bound.STABILIZATION), (2, Bound.STEP)]


def test_a_step_that_is_not_due_yet_leaves_room_for_the_jobs():
    """The window remembers the one replica that they need, not the zero of the step."""
    made = decide(snapshot(ready=3), policy(**STEPS), started(3, stepped_at=-5.0), 0.0)
    assert made.history.highest[-1].replicas == 1


def test_a_step_removes_no_more_replicas_than_there_are():
    """And remains the reason."""
    steps = STEPS | CALM | {"scaling__steps": [{"below": 10, "change": -5}]}
    made = decide(snapshot(), policy(**steps), started(3), 0.0)
    assert (made.desired, made.bound) == (0, Bound.STEP)


def test_of_two_steps_below_the_lower_threshold_counts():
    """Depth 3 is below 5, which removes three; below 10 would remove one."""
    assert decide(snapshot(ready=3), policy(**STEPS | CALM), started(5), 0.0).desired == 2


def test_the_same_snapshot_is_evaluated_with_the_replicas_of_its_first_decision():
    """Twenty claimed jobs on one replica: five run, fifteen wait, at five per slot."""
    rules = {"worker__maxDemand": 100, "scaling__target": {"jobsPerSlot": 5}}
    made = repeated(3, {"in_flight": 20}, rules, started(1))
    assert [one.desired for one in made] == [2, 2, 2]


def test_the_same_snapshot_is_evaluated_with_the_replicas_that_were_starting_at_its_first_decision():
    """The two replicas found have long started; those added since are no part of it."""
    seen = {"ready": 200, "mean_service_seconds": 1.0, "startup_seconds": 6.0}
    made = repeated(3, seen, {"scaling__maxReplicas": 100}, started(2))
    assert len({one.desired for one in made}) == 1


def test_replicas_that_are_starting_count_with_the_rest_of_their_startup():
    """Fifty slots, available in 5 of 6 seconds, start five jobs each in the ten: twenty slots are enough."""
    seen = snapshot(ready=100, mean_service_seconds=1.0, startup_seconds=6.0)
    assert decide(seen, policy(scaling__maxReplicas=100), started(10, added_at=-1.0), 0.0).wanted == 4


def test_all_replicas_added_in_a_period_count_towards_its_limit():
    """Two, then one: three in all, and no more before the period is over."""
    rules = policy(scaling__maxReplicas=100, scaling__scaleUp={"maxPods": 3, "periodSeconds": 15})
    history, seen = started(4), []
    for now, ready in ((0.0, 30), (5.0, 500), (10.0, 500)):
        made = decide(snapshot(ready=ready, sampled_at=now), rules, history, now)
        history = made.history
        seen.append(made.desired)
    assert seen == [6, 7, 7]


def test_a_scale_up_limit_never_removes_replicas():
    """Four were added under an earlier limit; the new one allows one a period."""
    rules = policy(scaling__scaleUp={"maxPods": 1, "periodSeconds": 15})
    made = decide(snapshot(ready=500), rules, started(5, added=(ReplicaSample(-1.0, 4),)), 0.0)
    assert (made.desired, made.bound) == (5, Bound.SCALE_UP_RATE)


def test_jobs_in_flight_without_a_replica_start_one():
    """A queue at zero whose claimed jobs have no worker left."""
    assert decide(snapshot(in_flight=3), policy(), started(0), 0.0).desired == 1


def test_a_part_of_a_slot_is_a_slot():
    """Eleven jobs at two per slot need six slots, two replicas of five."""
    rules = policy(scaling__target={"jobsPerSlot": 2})
    assert decide(snapshot(ready=11), rules, started(0), 0.0).desired == 2


def test_the_last_bit_of_a_float_adds_no_replica():
    """3 x 0.1 s at 10 % utilization are three slots, though the float is a bit more."""
    rules = policy(worker__concurrency=3, scaling__target={"utilizationPercent": 10})
    seen = snapshot(in_flight=1, arrivals_per_second=3.0, mean_service_seconds=0.1)
    made = decide(seen, rules, started(1), 0.0)
    assert (made.desired, made.bound) == (1, Bound.UTILIZATION)


@pytest.mark.parametrize(
    "rules", [{"limits__maxInFlight": 12}, {"scaling__scaleUp": {"stabilizationWindowSeconds": 10}}]
)
def test_the_minimum_takes_effect_at_once(rules: dict[str, Any]):
    """Whatever maxInFlight can keep busy, and however long scale-ups wait."""
    made = decide(snapshot(), policy(scaling__minReplicas=5, **rules), started(1), 0.0)
    assert made.desired == 5


def test_a_scale_up_window_never_removes_replicas():
    """Fewer were wanted within it; those in force stay."""
    rules = policy(scaling__scaleUp={"stabilizationWindowSeconds": 10})
    made = decide(snapshot(ready=25), rules, started(3, lowest=(ReplicaSample(-1.0, 1),)), 0.0)
    assert (made.desired, made.bound) == (3, Bound.STABILIZATION)
