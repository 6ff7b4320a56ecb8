"""What is reported of a JobQueue: conditions, status, when it is worth a write, and what is news."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.scaling import History, decide
from penstock_operator.jobqueue.status import LastScale, status_of, worth_writing
from penstock_operator.jobqueue.status_writer import transitions
from penstock_operator.resources.conditions import TYPES, ObservedState, api_conditions, conditions_of
from tests.unit.jobqueue.examples import policy, snapshot
from tests.unit.operator_parts.objects import jobqueue


def facts(rules: Any = None, seen: Any = None, **changes: Any) -> ObservedState:
    """Of a queue that is well: one job ready, one worker wanted and there."""
    rules = rules or policy()
    seen = seen or snapshot(ready=1, oldest_ready_seconds=2.0)
    decision = decide(seen, rules, History.starting(1, now=-1000.0), 0.0)
    well = {"policy": rules, "connected": True, "listening": True, "existing": 1, "ready": 1, "decision": decision}
    return ObservedState(**(well | {"snapshot": seen} | changes))


def reported(found: ObservedState) -> dict[str, tuple[str, str]]:
    return {kind: (one.status, one.reason) for kind, one in conditions_of(found).items()}


def test_every_condition_is_there_from_the_first_status_on():
    """Even where next to nothing is known."""
    assert tuple(conditions_of(ObservedState(policy=None))) == TYPES
    assert reported(ObservedState(policy=policy()))["DatabaseReachable"] == ("Unknown", "Connecting")
    assert reported(ObservedState(policy=policy()))["Ready"] == ("Unknown", "DatabaseUnreachable")


def test_a_queue_that_is_well_says_so_in_every_layer():
    """Ready sums the others up."""
    assert reported(facts()) == {
        "Ready": ("True", "Ready"),
        "DatabaseReachable": ("True", "Connected"),
        "Listening": ("True", "Subscribed"),
        "WorkersAvailable": ("True", "AllReady"),
        "ScalingActive": ("True", "Scaling"),
        "ScalingLimited": ("False", "NotLimited"),
        "LatencyTargetMet": ("True", "Met"),
        "Draining": ("False", "None"),
        "SchedulesValid": ("Unknown", "NotListed"),
    }


@pytest.mark.parametrize(
    ("found", "condition", "expected"),
    [
        (facts(refusal=("DuplicateQueue", "…")), "Ready", ("False", "DuplicateQueue")),
        (facts(refusal=("InvalidSpec", "…")), "ScalingActive", ("False", "InvalidSpec")),
        (facts(database=("AuthFailed", "…")), "DatabaseReachable", ("False", "AuthFailed")),
        (facts(database=("AuthFailed", "…")), "Ready", ("False", "DatabaseUnreachable")),
        (facts(listening=False), "Listening", ("False", "PollingOnly")),
        (facts(listening=False), "Ready", ("True", "Ready")),
        (facts(workers=("ImagePull", "…")), "WorkersAvailable", ("False", "ImagePull")),
        (facts(workers=("ImagePull", "…")), "Ready", ("False", "WorkersUnavailable")),
        (facts(ready=0), "WorkersAvailable", ("True", "Starting")),
        (facts(policy(scaling__minReplicas=1), ready=0), "WorkersAvailable", ("False", "Starting")),
        (facts(policy(stopPolicy="Hold")), "Ready", ("False", "Stopped")),
        (facts(policy(stopPolicy="Hold")), "ScalingActive", ("False", "Stopped")),
        (facts(policy(scaling__mode="Fixed", replicas=1)), "ScalingActive", ("True", "Fixed")),
        (facts(policy(scaling__mode="Fixed", replicas=1)), "LatencyTargetMet", ("Unknown", "NoTarget")),
        (facts(seen=snapshot(sampled_at=-100.0)), "ScalingActive", ("False", "SignalLost")),
        (facts(seen=snapshot(ready=900)), "ScalingLimited", ("True", "Maximum")),
        (facts(seen=snapshot(ready=1, oldest_ready_seconds=11.0)), "LatencyTargetMet", ("False", "Violated")),
        (facts(snapshot=None), "LatencyTargetMet", ("Unknown", "NoSignal")),
        (facts(draining=2), "Draining", ("True", "PodsDraining")),
        (facts(draining=2, drain_waits_for="a rollout is under way"), "Draining", ("True", "Waiting")),
    ],
)
def test_each_failure_has_its_condition_and_reason(found, condition, expected):
    """One layer each."""
    assert reported(found)[condition] == expected


def test_a_transition_time_moves_only_with_the_status():
    """A new reason or sentence alone does not move it."""
    first = api_conditions(facts(), generation=1, now="T1", before=[])
    same = api_conditions(facts(ready=0), generation=2, now="T2", before=first)
    workers = next(one for one in same if one["type"] == "WorkersAvailable")
    assert (workers["reason"], workers["lastTransitionTime"], workers["observedGeneration"]) == ("Starting", "T1", 2)
    lost = api_conditions(facts(database=("Timeout", "…")), generation=2, now="T3", before=same)
    assert next(one for one in lost if one["type"] == "Ready")["lastTransitionTime"] == "T3"


def test_the_status_holds_only_what_was_seen():
    """Without a sample the last one stays, with its own time; without a decision there is none."""
    blank = status_of(jobqueue(), ObservedState(policy=policy()), now=0.0, busy=0, scaled=None)
    assert not {"queue", "decision", "desiredReplicas", "lastScale", "throughput"} & blank.keys()
    full = status_of(
        jobqueue(),
        facts(seen=snapshot(ready=1, arrivals_per_second=0.5, mean_service_seconds=0.25)),
        now=0.0,
        busy=1,
        scaled=LastScale(time="T", before=0, after=1, reason="Backlog"),
    )
    assert full["queue"]["ready"] == 1
    assert full["throughput"] == {"arrivalsPerMinute": 30, "meanServiceMilliseconds": 250}
    assert full["lastScale"] == {"time": "T", "from": 0, "to": 1, "reason": "Backlog"}
    later = status_of(jobqueue(status=full), ObservedState(policy=policy()), now=99.0, busy=0, scaled=None)
    assert later["queue"] == full["queue"]
    assert later["lastScale"] == full["lastScale"]


def test_times_alone_are_never_worth_a_write():
    """At rest nothing is written."""
    first = status_of(jobqueue(), facts(), now=0.0, busy=0, scaled=None)
    later = status_of(jobqueue(status=first), facts(), now=3600.0, busy=0, scaled=None)
    assert later["queue"]["sampledAt"] != first["queue"]["sampledAt"]
    assert not worth_writing(later, first, since=3600.0)


def test_counts_are_written_every_ten_seconds_and_turns_at_once():
    """One more ready job can wait; a condition, a replica or a decision cannot."""
    first = status_of(jobqueue(), facts(), now=0.0, busy=0, scaled=None)
    more = status_of(jobqueue(status=first), facts(seen=snapshot(ready=2)), now=1.0, busy=1, scaled=None)
    assert not worth_writing(more, first, since=9.9)
    assert worth_writing(more, first, since=10.0)
    turned = status_of(jobqueue(status=first), facts(listening=False), now=1.0, busy=0, scaled=None)
    assert worth_writing(turned, first, since=0.0)
    grown = status_of(jobqueue(status=first), facts(seen=snapshot(ready=9)), now=1.0, busy=0, scaled=None)
    assert worth_writing(grown, first, since=0.0)
    assert worth_writing(first, {}, since=0.0)


def test_a_turn_is_news_once_and_coming_into_being_only_if_it_is_bad():
    """An event for each turn, none for a start that goes well."""
    well = api_conditions(facts(), generation=1, now="T", before=[])
    assert transitions([], well) == []
    lost = api_conditions(facts(database=("Timeout", "gone")), generation=1, now="T", before=well)
    assert transitions(well, lost) == [("SignalLost", "gone", True)]
    assert transitions(lost, lost) == []
    assert [reason for reason, _, _ in transitions(lost, well)] == ["SignalRestored"]
    assert [reason for reason, _, _ in transitions([], lost)] == ["SignalLost"]
    refused = api_conditions(facts(refusal=("DuplicateQueue", "elder")), generation=1, now="T", before=well)
    assert ("DuplicateQueue", "elder", True) in transitions(well, refused)


def test_another_manager_of_the_deletion_cost_is_reported_once_by_name():
    """Where nobody drains; while somebody does, the drain is the news."""
    found = conditions_of(facts(other_cost_manager="karpenter"))["Draining"]
    assert (found.status, found.reason) == ("False", "ForeignDeletionCost")
    assert "karpenter" in found.message
    assert reported(facts(other_cost_manager="karpenter", draining=1))["Draining"] == ("True", "PodsDraining")
    none = api_conditions(facts(), generation=1, now="t", before=())
    some = api_conditions(facts(other_cost_manager="karpenter"), generation=1, now="t", before=none)
    assert [(reason, warning) for reason, _, warning in transitions(none, some)] == [("ForeignDeletionCost", True)]
    assert transitions(some, some) == []


def test_the_wait_that_95_of_100_had_is_shown_in_whole_milliseconds_with_the_rates():
    """And without them, where attempts ended in the last minute but none does now."""
    moving = facts(seen=snapshot(ready=1, arrivals_per_second=2.0, completions_per_second=2.0), waited=0.1234)
    made = status_of(jobqueue(), moving, now=0.0, busy=0, scaled=None)
    assert made["throughput"]["p95WaitMilliseconds"] == 123
    still = status_of(jobqueue(), facts(waited=0.5), now=0.0, busy=0, scaled=None)
    assert still["throughput"] == {"p95WaitMilliseconds": 500}
    assert "throughput" not in status_of(jobqueue(), facts(), now=0.0, busy=0, scaled=None)
