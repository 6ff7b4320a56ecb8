"""Replicas for ticks: requested in time, as many as the ticks need, within every bound, and not kept afterwards."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from penstock.scaling import Bound, Decision, History, decide
from penstock.scaling.prescaling import ASSUMED_STARTUP_SECONDS, LATE_SECONDS, next_change, requested_at
from penstock.scaling.types import UpcomingTick
from tests.unit.jobqueue.examples import policy, snapshot
from tests.unit.scaling.test_decide_properties import PASTS, REPLICAS, SNAPSHOTS, deciding, lived, policies

CALM: dict[str, Any] = {"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0}}
STARTUP = 20.0
MARGIN = 5.0


def tick(at: float = 100.0, **changes: Any) -> UpcomingTick:
    return dataclasses.replace(UpcomingTick(schedule="nightly", at=at, local_time="09:00"), **changes)


def decided(now: float, *ticks: UpcomingTick, replicas: int = 0, rules: Any = None, **seen: Any) -> Decision:
    sample = snapshot(ticks=ticks, **({"startup_seconds": STARTUP, "sampled_at": now} | seen))
    return decide(sample, rules or policy(), History.starting(replicas, now=now - 1000.0), now)


def test_a_tick_wakes_a_queue_from_zero_a_startup_time_before_it():
    """Not sooner: 20 s learned and a quarter more."""
    assert decided(100.0 - STARTUP - MARGIN - 0.1, tick()).desired == 0
    made = decided(100.0 - STARTUP - MARGIN, tick())
    assert (made.desired, made.bound) == (1, Bound.SCHEDULED)
    assert made.explanation == "For the tick of nightly at 09:00 in 25 s: scaling up from zero to 1 replica."
    assert made.arithmetic == "0 jobs: 0 replicas; 0 busy + 1 tick, 5 per replica: 1 replica."


def test_a_replica_that_was_started_early_is_not_removed_and_started_again():
    """It was requested with the assumed start-up time, and taught a shorter one; no window keeps it."""
    at = 100.0 - ASSUMED_STARTUP_SECONDS
    assert decided(at, tick(), startup_seconds=None).desired == 1
    kept = decided(at + 5.0, tick(), replicas=1, rules=policy(**CALM), startup_seconds=1.0)
    assert (kept.desired, kept.bound) == (1, Bound.SCHEDULED)
    assert decided(at + 5.0, tick(), rules=policy(**CALM), startup_seconds=1.0).desired == 0
    several = decided(at + 5.0, tick(), replicas=4, rules=policy(**CALM), startup_seconds=1.0)
    assert several.desired == 1


def test_lead_seconds_request_the_replica_that_much_sooner():
    """A job that needs a warm cache, not only a pod."""
    assert decided(10.0, tick()).desired == 0
    assert decided(10.0, tick(lead_seconds=65.0)).desired == 1


def test_an_unknown_startup_time_is_assumed_long():
    """The first tick of a new JobQueue has no pod to learn from."""
    at = 100.0 - ASSUMED_STARTUP_SECONDS * 1.25
    assert decided(at - 0.1, tick(), startup_seconds=None).desired == 0
    assert decided(at, tick(), startup_seconds=None).desired == 1


def test_replicas_that_must_be_wanted_for_a_while_are_wanted_sooner():
    """The scale-up window would otherwise use up the startup time."""
    rules = policy(scaling__scaleUp={"stabilizationWindowSeconds": 30})
    seen, history, added = snapshot(ticks=(tick(),), startup_seconds=STARTUP), History.starting(0, now=0.0), []
    for now in range(101):
        made = decide(dataclasses.replace(seen, sampled_at=float(now)), rules, history, float(now))
        if made.desired > history.desired:
            added.append(now)
        history = made.history
    assert added == [75]


@pytest.mark.parametrize(("count", "replicas"), [(1, 1), (5, 1), (6, 2), (1000, 10)])
def test_ticks_at_one_time_add_up_to_the_maximum(count, replicas):
    """Five slots per replica, ten replicas at most."""
    ticks = [tick(schedule=f"s{number:04}") for number in range(count)]
    made = decided(90.0, *ticks)
    assert made.desired == replicas
    assert made.bound is (Bound.SCHEDULED if replicas < 10 else Bound.MAXIMUM)
    assert len(made.explanation) < 200


def test_several_ticks_are_counted_and_the_first_is_named():
    """The sentence does not grow with their number."""
    made = decided(90.0, tick(at=101.0, schedule="report"), tick(), replicas=0)
    assert made.explanation.startswith("For the tick of nightly at 09:00 in 10 s and 1 more tick: ")


def test_busy_slots_are_not_counted_for_the_tick():
    """Five jobs run in five slots: the tick's job needs a sixth."""
    made = decided(90.0, tick(), replicas=1, in_flight=5)
    assert (made.desired, made.bound) == (2, Bound.SCHEDULED)
    assert made.explanation == "2 replicas: for the tick of nightly at 09:00 in 10 s."


def test_a_free_slot_is_used_for_the_tick():
    """Three of five slots are busy: no replica more, and the demand keeps its own bound."""
    made = decided(90.0, tick(), replicas=1, in_flight=3)
    assert (made.desired, made.bound) == (1, Bound.BACKLOG)


def test_a_deep_backlog_does_not_multiply_for_a_tick():
    """Jobs that the latency target lets wait in a row do not each need a slot because a tick comes."""
    seen: dict[str, Any] = {"ready": 40, "in_flight": 5, "mean_service_seconds": 0.1}
    without, with_one = decided(90.0, replicas=1, **seen), decided(90.0, tick(), replicas=1, **seen)
    assert with_one.desired == without.desired + 1


def test_the_job_of_the_tick_before_leaves_its_slot_to_the_next_one():
    """With overlap Skip or Queue no second slot is needed."""
    made = decided(90.0, tick(follows_previous=True), replicas=1, in_flight=5)
    assert made.desired == 1
    assert decided(90.0, tick(follows_previous=True)).desired == 0


def test_a_tick_that_does_not_fire_keeps_its_replica_for_a_while_only():
    """A new maintenance leader fires it within half a minute; a broken one must not cost a pod for ever."""
    late = decided(100.0 + LATE_SECONDS - 0.1, tick(), rules=policy(**CALM), replicas=1)
    assert (late.desired, late.explanation) == (1, "1 replica: for the tick of nightly at 09:00 now.")
    assert decided(100.0 + LATE_SECONDS, tick(), rules=policy(**CALM), replicas=1).desired == 0


def test_a_tick_that_was_skipped_leaves_the_normal_scale_down():
    """Its schedule's next tick is a day away, no job came, and the cooldown ends as ever."""
    rules, history, now, seen = policy(), History.starting(0, now=0.0), 0.0, []
    while now < 400.0:
        near = tick(at=100.0 if now < 100.0 else 86_500.0)
        made = decide(snapshot(ticks=(near,), startup_seconds=STARTUP, sampled_at=now), rules, history, now)
        history = made.history
        seen.append((now, made.desired, made.bound))
        now += 1.0
    serving = [now for now, desired, _ in seen if desired]
    assert (serving[0], serving[-1]) == (75.0, 75.0 + 120.0 - 1.0)  # the cooldown, counted from the addition
    assert {bound for now, _, bound in seen if 161.0 <= now < 195.0} == {Bound.COOLDOWN}


@pytest.mark.parametrize(
    ("changes", "replicas", "bound"),
    [
        ({"scaling__maxReplicas": 2}, 2, Bound.MAXIMUM),
        ({"scaling__connectionBudget": {"maxConnections": 12}}, 3, Bound.CONNECTION_BUDGET),
        ({"limits__maxInFlight": 20}, 4, Bound.MAX_IN_FLIGHT),
        ({"scaling__scaleUp": {"maxPods": 1, "periodSeconds": 15}}, 1, Bound.SCALE_UP_RATE),
        ({"stopPolicy": "Hold"}, 0, Bound.STOP_POLICY),
        ({"stopPolicy": "HoldAndDrain"}, 0, Bound.STOP_POLICY),
        ({"scaling__minReplicas": 7}, 7, Bound.MINIMUM),
        ({"scaling__activation": {"threshold": 100}}, 6, Bound.SCHEDULED),
        ({"scaling__steps": [{"above": 5, "change": 1}]}, 6, Bound.SCHEDULED),
    ],
)
def test_every_bound_holds_for_ticks_too(changes, replicas, bound):
    """Thirty ticks at once want six replicas. The activation threshold is about waiting jobs, so it does not apply."""
    ticks = [tick(schedule=f"s{number}") for number in range(30)]
    made = decided(90.0, *ticks, rules=policy(**changes))
    assert (made.desired, made.bound) == (replicas, bound)


def test_mode_fixed_ignores_ticks():
    """The user sets the replicas."""
    made = decided(90.0, tick(), rules=policy(scaling__mode="Fixed", replicas=0))
    assert (made.desired, made.bound) == (0, Bound.FIXED)


def test_a_missing_sample_is_no_tick():
    """An old sample says nothing about the ticks either."""
    made = decide(snapshot(ticks=(tick(),)), policy(), History.starting(3, now=0.0), 90.0)
    assert (made.desired, made.bound) == (3, Bound.SIGNAL_LOST)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_ticks_never_take_a_replica_away(seen, rules, past, replicas):
    """And they add no more than one slot each."""
    history, now = lived(past, rules, replicas)
    with_ticks = deciding(seen, rules, history, now)
    without = deciding(dataclasses.replace(seen, ticks=()), rules, history, now)
    assert with_ticks.desired >= without.desired
    assert with_ticks.wanted - without.wanted <= -(-len(seen.ticks) // rules.worker.concurrency) + 1


@given(SNAPSHOTS, policies(scaling__minReplicas=0, limits__maxInFlight=None), st.floats(1, 500), st.floats(0, 1))
def test_a_near_tick_always_has_a_replica(seen, rules, at, share):
    """From the request on, whatever the queue looks like, if no bound forbids it."""
    assume(not rules.scaling.scale_up.stabilization_window_seconds)
    near = tick(at=at)
    asked_at = requested_at(near, seen, rules)
    now = asked_at + share * (at - asked_at)
    made = deciding(dataclasses.replace(seen, ticks=(near,)), rules, History.starting(0, now=now - 1e4), now)
    assert made.desired >= 1


@given(SNAPSHOTS, policies())
def test_between_two_changes_the_ticks_decide_the_same(seen, rules):
    """A queue at rest need not be sampled before the time that `next_change` says."""
    now = 0.0
    until = next_change(seen, rules, now)
    middle = 1e9 if until is None else until / 2
    history = History.starting(0, now=-1e6)
    assert deciding(seen, rules, history, now).wanted == deciding(seen, rules, history, middle).wanted
