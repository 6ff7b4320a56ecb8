"""Workers that got their SIGTERM: their jobs need no replica, but they take part of every limit on pods."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.jobqueue.policy import QueuePolicy
from penstock.scaling import Decision, History, decide
from penstock.scaling.sampler import Sampler
from tests.unit.jobqueue.examples import policy, snapshot
from tests.unit.jobqueue.queue_samples import queue_state
from tests.unit.scaling.test_decide_properties import PASTS, REPLICAS, SNAPSHOTS, deciding, lived, policies


def decided(rules: QueuePolicy, replicas: int = 0, **seen: Any) -> Decision:
    return decide(snapshot(**seen), rules, History.starting(replicas, now=-1000.0), 0.0)


def test_jobs_of_draining_workers_hold_no_replica():
    """Eight run, all on pods of the last rollout: nothing is wanted, and the sentence of what is says so."""
    rules = policy(worker__concurrency=5)
    assert decided(rules, 2, in_flight=8, draining_workers=2, draining_in_flight=8).wanted == 0
    some = decided(rules, 2, in_flight=8, ready=1, draining_workers=1, draining_in_flight=5)
    assert some.wanted == 1
    assert some.arithmetic.startswith("3 running (and 5 on draining workers) + 1 waiting")


@pytest.mark.parametrize(
    ("field", "limit", "bound"),
    [
        ("scaling__maxReplicas", 6, "Maximum"),
        ("scaling__connectionBudget", {"maxConnections": 24, "perWorker": 4}, "ConnectionBudget"),
    ],
)
def test_a_limit_on_pods_is_less_by_what_drains(field, limit, bound):
    """Six in all: four next to two that drain; one is left next to any number: a rollout stops no queue."""
    rules = policy(**{field: limit})
    for draining, left in ((0, 6), (2, 4), (6, 1), (60, 1)):
        made = decided(rules, 6, ready=500, in_flight=draining, draining_workers=draining, draining_in_flight=draining)
        assert (made.desired, made.bound) == (left, bound)
        assert (f"while {draining} workers drain" in made.explanation) == (draining > 0)


def test_a_number_set_by_hand_keeps_to_the_connection_budget_too():
    """Next to what drains; without a snapshot nothing is known of that."""
    rules = policy(
        scaling__mode="Fixed", scaling__maxReplicas=None, replicas=5, scaling__connectionBudget={"maxConnections": 20}
    )
    assert decided(rules, 5).desired == 5
    made = decided(rules, 5, draining_workers=3)
    assert (made.desired, made.bound) == (2, "ConnectionBudget")
    assert decide(None, rules, History.starting(5, now=0.0), 0.0).desired == 5


def test_the_minimum_stays_with_draining_workers():
    """Somebody asked for so many at any time."""
    rules = policy(scaling__minReplicas=3, scaling__maxReplicas=6)
    assert decided(rules, 6, ready=500, draining_workers=6).desired == 3


def test_a_queue_that_holds_and_drains_goes_down_with_the_jobs_of_those_that_stay():
    """Those of workers that exit anyway are nobody's reason."""
    rules = policy(stopPolicy="HoldAndDrain")
    assert decided(rules, 4, in_flight=5, draining_workers=1, draining_in_flight=5).desired == 0


@given(SNAPSHOTS, policies(), PASTS, REPLICAS, st.integers(0, 50))
def test_all_pods_together_keep_to_the_limits_but_for_the_least_that_is_left(seen, rules, past, replicas, draining):
    """Whatever windows and steps say."""
    history, now = lived(past, rules, replicas)
    made = deciding(dataclasses.replace(seen, draining_workers=draining), rules, history, now)
    least = max(1, rules.scaling.min_replicas)
    limits = [rules.scaling.max_replicas]
    if (budget := rules.scaling.connection_budget) is not None:
        limits.append(budget.max_connections // budget.per_worker)
    assert made.desired <= least or made.desired + draining <= min(limits)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS, st.integers(0, 5000))
def test_more_jobs_on_draining_workers_never_add_replicas(seen, rules, past, replicas, kept):
    """They finish where they are."""
    history, now = lived(past, rules, replicas)
    draining = dataclasses.replace(seen, draining_in_flight=kept)
    if not rules.scaling.steps:
        assert deciding(draining, rules, history, now).desired <= deciding(seen, rules, history, now).desired


def test_a_worker_drains_by_its_own_word_or_by_its_pods():
    """Workers too old to say so have a pod that is being deleted; what they report is never more than there is."""
    workers: list[dict[str, Any]] = [
        {"id": 1, "pod": "says", "state": "draining", "concurrency": 5, "in_flight": 3, "done": 0},
        {"id": 2, "pod": "old", "state": "running", "concurrency": 5, "in_flight": 4, "done": 0},
        {"id": 3, "pod": "stays", "state": "running", "concurrency": 5, "in_flight": 2, "done": 0},
        {"id": 4, "concurrency": 5, "in_flight": 0, "done": 0},
    ]
    state = queue_state(in_flight=9, workers=workers)
    seen = Sampler().add(state, 0.0, stopping={"old"})
    assert (seen.draining_workers, seen.draining_in_flight, seen.kept_in_flight) == (2, 7, 2)
    few = Sampler().add(state._replace(in_flight=5), 0.0, stopping={"old"})
    assert (few.draining_in_flight, few.kept_in_flight) == (5, 0)
