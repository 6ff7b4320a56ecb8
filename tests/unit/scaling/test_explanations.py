"""The two texts of a decision: an explanation that starts with the result, and its arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from penstock.scaling import Bound, Decision, History, decide
from penstock.scaling.types import ReplicaSample, UpcomingTick
from tests.unit.jobqueue.examples import policy, snapshot

STEPS: dict[str, Any] = {
    "scaling__steps": [{"above": 100, "change": 1}, {"below": 10, "change": -1}],
    "scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0},
}
CALM: dict[str, Any] = {"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0}}

NIGHTLY = UpcomingTick(schedule="nightly", at=24.0, local_time="09:00")


class Case(NamedTuple):
    bound: Bound
    explanation: str
    arithmetic: str
    seen: Mapping[str, Any] = MappingProxyType({})
    rules: Mapping[str, Any] = MappingProxyType({})
    replicas: int = 0
    history: Mapping[str, Any] = MappingProxyType({})


CASES = (
    Case(Bound.IDLE, "0 replicas: no jobs waiting or running.", "0 jobs: 0 replicas.", rules=CALM, replicas=4),
    Case(
        Bound.ACTIVATION,
        "0 replicas: 5 jobs waiting, not above activation.threshold 5.",
        "5 waiting <= 5: 0 replicas.",
        seen={"ready": 5},
        rules={"scaling__activation": {"threshold": 5}},
    ),
    Case(
        Bound.BACKLOG,
        "1 job waiting: scaling up from zero to 1 replica.",
        "0 running + 1 waiting at 1 per slot: 1 slot, 5 per replica: 1 replica.",
        seen={"ready": 1},
    ),
    Case(
        Bound.BACKLOG,
        "3 replicas: 3 jobs running, 12 waiting (target: 1 job per slot until run times are known).",
        "3 running + 12 waiting at 1 per slot: 15 slots, 5 per replica: 3 replicas.",
        seen={"ready": 12, "in_flight": 3},
        replicas=1,
    ),
    Case(
        Bound.LATENCY,
        "1 replica: 1 job running, none waiting (target: start within 10 s).",
        "1 running + 0 waiting of 0.19 s each to start within 10 s at 80 % utilization: "
        "1 slot, 5 per replica: 1 replica.",
        seen={"in_flight": 1, "mean_service_seconds": 0.19},
        rules=CALM,
        replicas=1,
    ),
    Case(
        Bound.UTILIZATION,
        "3 replicas: 20 jobs/s arriving, 0.5 s each (target: 80 % utilization).",
        "20 arrivals/s of 0.5 s each at 80 % utilization: 13 slots, 5 per replica: 3 replicas.",
        seen={"ready": 1, "in_flight": 9, "arrivals_per_second": 20.0, "mean_service_seconds": 0.5},
        replicas=3,
    ),
    Case(
        Bound.UTILIZATION,
        "2 replicas: 20 jobs/s arriving, 0.5 s each (target: 80 % utilization).",
        "20 arrivals/s of 0.5 s each at 80 % utilization, full replicas only: 2 replicas.",
        seen={"arrivals_per_second": 20.0, "mean_service_seconds": 0.5},
        rules=CALM,
        replicas=3,
    ),
    Case(
        Bound.IN_FLIGHT,
        "2 replicas: 6 jobs in flight.",
        "depth 0 is below 10: 2 -1 = 1 replica; 6 in flight: 2 replicas.",
        seen={"in_flight": 6},
        rules=STEPS | {"worker__concurrency": 3, "worker__maxDemand": 3},
        replicas=2,
    ),
    Case(
        Bound.BACKLOG,
        "1 replica: 1 job waiting.",
        "depth 1 is below 10: 1 -1 = 0 replicas; 1 waiting: 1 replica.",
        seen={"ready": 1},
        rules=STEPS,
        replicas=1,
    ),
    Case(
        Bound.STEP,
        "3 replicas: 101 jobs ready, above 100: step of +1 from 2.",
        "depth 101 is above 100: 2 +1 = 3 replicas.",
        seen={"ready": 101},
        rules=STEPS,
        replicas=2,
    ),
    Case(
        Bound.STEP,
        "2 replicas: 100 jobs ready, which matches no step.",
        "depth 100 matches no step: 2 replicas.",
        seen={"ready": 100},
        rules=STEPS,
        replicas=2,
    ),
    Case(
        Bound.STEP_PERIOD,
        "2 replicas kept: 101 jobs ready, above 100, but the last step was less than 60 s ago.",
        "depth 101 is above 100: 2 +1, not within 60 s of a step: 2 replicas.",
        seen={"ready": 101},
        rules=STEPS | {"scaling__stepPeriodSeconds": 60},
        replicas=2,
        history={"stepped_at": -59.0},
    ),
    Case(
        Bound.ACTIVATION,
        "50 jobs waiting: scaling up from zero to 1 replica.",
        "50 waiting at zero replicas: 1 replica.",
        seen={"ready": 50},
        rules=STEPS,
    ),
    Case(
        Bound.FIXED,
        "3 replicas: set by spec.replicas (mode Fixed).",
        "spec.replicas 3: 3 replicas.",
        rules={"scaling__mode": "Fixed", "replicas": 3},
    ),
    Case(
        Bound.MAX_IN_FLIGHT,
        "3 replicas: maxInFlight 12 can keep only 3 busy (180 wanted).",
        "0 running + 900 waiting at 1 per slot: 900 slots, 5 per replica: 180 replicas; maxInFlight 12: 3 replicas.",
        seen={"ready": 900},
        rules={"limits__maxInFlight": 12},
    ),
    Case(
        Bound.CONNECTION_BUDGET,
        "7 replicas: connectionBudget allows 7 (100 wanted).",
        "0 running + 500 waiting at 1 per slot: 500 slots, 5 per replica: 100 replicas; "
        "connectionBudget 7: 7 replicas.",
        seen={"ready": 500},
        rules={"scaling__connectionBudget": {"maxConnections": 30}},
    ),
    Case(
        Bound.MINIMUM,
        "2 replicas: minReplicas is 2 (0 wanted).",
        "0 jobs: 0 replicas; minReplicas 2: 2 replicas.",
        rules={"scaling__minReplicas": 2, **CALM},
        replicas=4,
    ),
    Case(
        Bound.MAXIMUM,
        "7 replicas: maxReplicas is 7 (80 wanted).",
        "0 running + 400 waiting at 1 per slot: 400 slots, 5 per replica: 80 replicas; maxReplicas 7: 7 replicas.",
        seen={"ready": 400},
        rules={"scaling__maxReplicas": 7},
    ),
    Case(
        Bound.MAXIMUM,
        "1 replica: maxReplicas 2 allows 1 while 1 worker drains (2 wanted).",
        "0 running (and 1 on draining workers) + 10 waiting at 1 per slot: 10 slots, 5 per replica: 2 replicas; "
        "maxReplicas 2 while 1 worker drains: 1 replica.",
        seen={"ready": 10, "in_flight": 1, "draining_workers": 1, "draining_in_flight": 1},
        rules={"scaling__maxReplicas": 2},
    ),
    Case(
        Bound.SCALE_UP_RATE,
        "6 replicas: scaleUp allows up to 6 within 15 s (10 wanted).",
        "0 running + 50 waiting at 1 per slot: 50 slots, 5 per replica: 10 replicas; scaleUp within 15 s: 6 replicas.",
        seen={"ready": 50},
        rules={"scaling__scaleUp": {"maxPods": 2, "periodSeconds": 15}},
        replicas=4,
    ),
    Case(
        Bound.STABILIZATION,
        "4 replicas kept: scale-down waits, up to 4 wanted in the last 60 s (0 wanted now).",
        "0 jobs: 0 replicas; highest wanted in 60 s: 4 replicas.",
        rules={"scaling__scaleDown": {"stabilizationWindowSeconds": 60, "cooldownSeconds": 0}},
        replicas=4,
        history={"highest": (ReplicaSample(-1.0, 4),)},
    ),
    Case(
        Bound.STABILIZATION,
        "1 replica kept: scale-up waits, as few as 1 wanted in the last 10 s (4 wanted now).",
        "0 running + 20 waiting at 1 per slot: 20 slots, 5 per replica: 4 replicas; lowest wanted in 10 s: 1 replica.",
        seen={"ready": 20},
        rules={"scaling__scaleUp": {"stabilizationWindowSeconds": 10}},
        replicas=1,
    ),
    Case(
        Bound.COOLDOWN,
        "4 replicas kept: scale-down waits, replicas were added in the last 120 s (0 wanted).",
        "0 jobs: 0 replicas; cooldown of 120 s: 4 replicas.",
        rules={"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 120}},
        replicas=4,
        history={"added_at": -119.0},
    ),
    Case(
        Bound.STOP_POLICY,
        "4 replicas kept: stopPolicy Hold.",
        "0 running + 99 waiting at 1 per slot: 99 slots, 5 per replica: 20 replicas; maxReplicas 10: 10 replicas; "
        "stopPolicy Hold: 4 replicas.",
        seen={"ready": 99},
        rules={"stopPolicy": "Hold"},
        replicas=4,
    ),
    Case(
        Bound.STOP_POLICY,
        "0 replicas: stopPolicy HoldAndDrain, no jobs in flight.",
        "0 jobs: 0 replicas; stopPolicy HoldAndDrain with 0 in flight: 0 replicas.",
        rules={"stopPolicy": "HoldAndDrain", **CALM},
        replicas=4,
    ),
    Case(
        Bound.SCHEDULED,
        "For the tick of nightly at 09:00 in 24 s: scaling up from zero to 1 replica.",
        "0 jobs: 0 replicas; 0 busy + 1 tick, 5 per replica: 1 replica.",
        seen={"ticks": (NIGHTLY,), "startup_seconds": 20.0},
    ),
    Case(
        Bound.SCHEDULED,
        "2 replicas: for the tick of hourly now and 1 more tick.",
        "5 running + 0 waiting at 1 per slot: 5 slots, 5 per replica: 1 replica; "
        "5 busy + 2 ticks, 5 per replica: 2 replicas.",
        seen={"ticks": (NIGHTLY, UpcomingTick(schedule="hourly", at=-1.0)), "startup_seconds": 20.0, "in_flight": 5},
        replicas=1,
    ),
)


def decided(case: Case) -> Decision:
    start = History.starting(case.replicas, now=-1000.0)
    history = History(**({name: getattr(start, name) for name in start.__slots__} | dict(case.history)))
    return decide(snapshot(**case.seen), policy(**case.rules), history, 0.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.explanation)
def test_a_decision_states_its_result_its_reason_and_its_arithmetic(case):
    """One case for each bound, and for each form that its explanation takes."""
    made = decided(case)
    assert (made.bound, made.explanation, made.arithmetic) == (case.bound, case.explanation, case.arithmetic)


def test_every_bound_has_an_explanation_here():
    """A bound that is added needs a sentence."""
    assert {case.bound for case in CASES} | {Bound.SIGNAL_LOST} == set(Bound)


@pytest.mark.parametrize(
    ("sampled_at", "explanation"),
    [
        (None, "3 replicas kept: the queue could not be sampled."),
        (-60.1, "3 replicas kept: the last sample of the queue is older than 60 s."),
    ],
)
def test_missing_data_is_explained_without_arithmetic(sampled_at, explanation):
    """Nothing was computed, so nothing is shown."""
    seen = None if sampled_at is None else snapshot(sampled_at=sampled_at)
    made = decide(seen, policy(), History.starting(3, now=-1000.0), 0.0)
    assert (made.explanation, made.arithmetic) == (explanation, "")
