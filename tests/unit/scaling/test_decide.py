"""One decision at a time: the number, the bound that won, and the sentence."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from penstock.scaling import Bound, History, decide
from tests.unit.jobqueue.examples import policy, snapshot

CALM = {"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0}}
TABLE: dict[str, Any] = {
    "scaling__steps": [{"above": 1000, "change": 2}, {"above": 100, "change": 1}, {"below": 10, "change": -1}],
    "scaling__stepPeriodSeconds": 15,
}


def started(replicas: int, at: float = -1000.0) -> History:
    return History.starting(replicas, now=at)


def test_one_ready_job_ends_the_rest_at_zero():
    """Backlog per slot while no rates are known."""
    made = decide(snapshot(ready=1), policy(), started(0), 0.0)
    assert (made.desired, made.bound) == (1, Bound.BACKLOG)


def test_concurrency_divides_the_slots_and_jobs_in_flight_need_theirs():
    """12 ready and 3 in flight are 15 slots, three replicas of five."""
    made = decide(snapshot(ready=12, in_flight=3), policy(), started(1), 0.0)
    assert (made.desired, made.bound) == (3, Bound.BACKLOG)


def test_claims_unstarted_wait_and_do_not_run():
    """One replica of 3 consumers that holds 100 jobs runs 3; the other 97 count by jobsPerSlot."""
    thirty = policy(worker__concurrency=3, worker__maxDemand=100, scaling__target={"jobsPerSlot": 97})
    made = decide(snapshot(in_flight=100), thirty, started(1), 0.0)
    assert made.desired == 2
    assert made.arithmetic == "3 running + 97 waiting at 97 per slot: 4 slots, 3 per replica: 2 replicas."


def test_more_jobs_than_the_maximum_can_run_end_at_the_maximum():
    """The bound is the one that changed the number last; the wish is kept as well."""
    made = decide(snapshot(ready=400), policy(scaling__maxReplicas=7), started(0), 0.0)
    assert (made.desired, made.wanted, made.bound, made.limited) == (7, 80, Bound.MAXIMUM, True)


def test_an_empty_queue_keeps_the_minimum():
    """Idle, but never below minReplicas."""
    made = decide(snapshot(), policy(scaling__minReplicas=2, **CALM), started(4), 0.0)
    assert (made.desired, made.bound) == (2, Bound.MINIMUM)


def test_an_empty_queue_ends_at_zero():
    """Nothing ready, nothing in flight, no window: zero."""
    made = decide(snapshot(), policy(**CALM), started(4), 0.0)
    assert (made.desired, made.bound) == (0, Bound.IDLE)


@pytest.mark.parametrize("left", [{"ready": 1}, {"in_flight": 1}, {"due_soon": 1}])
def test_the_last_replica_stays_for_the_last_job(left):
    """Zero needs zero ready, zero in flight and none due in a moment."""
    made = decide(snapshot(**left), policy(**CALM, **TABLE), started(1), 0.0)
    assert made.desired == 1


def test_jobs_within_the_activation_threshold_leave_a_queue_at_zero():
    """The threshold is about the way from zero, not about the way to it."""
    patient = policy(scaling__activation={"threshold": 5}, **CALM)
    assert decide(snapshot(ready=5), patient, started(0), 0.0).bound is Bound.ACTIVATION
    assert decide(snapshot(ready=5), patient, started(0), 0.0).desired == 0
    assert decide(snapshot(ready=6), patient, started(0), 0.0).desired == 2
    assert decide(snapshot(ready=5), patient, started(3), 0.0).desired == 1


@pytest.mark.parametrize(
    ("depth", "current", "expected", "bound"),
    [
        (1001, 2, 4, Bound.STEP),
        (1000, 2, 3, Bound.STEP),
        (101, 2, 3, Bound.STEP),
        (100, 2, 2, Bound.STEP),
        (10, 2, 2, Bound.STEP),
        (9, 2, 1, Bound.STEP),
        (5000, 10, 10, Bound.MAXIMUM),
        (50, 0, 1, Bound.ACTIVATION),
        (0, 1, 0, Bound.STEP),
    ],
)
def test_the_steps_table_replaces_the_target(depth, current, expected, bound):
    """Above 1000 two more, above 100 one more, below 10 one fewer, else as it is."""
    made = decide(snapshot(ready=depth), policy(**TABLE, **CALM), started(current), 0.0)
    assert (made.desired, made.bound) == (expected, bound)


def test_the_order_of_the_steps_does_not_matter():
    """The highest threshold that matches wins, wherever it stands."""
    lines = TABLE["scaling__steps"]
    for order in itertools.permutations(lines):
        made = decide(snapshot(ready=1500), policy(scaling__steps=list(order)), started(1), 0.0)
        assert made.desired == 3


def test_a_step_is_taken_once_in_its_period_however_often_the_loop_wakes():
    """Three wakes within 15 s make one step; the next period makes the next."""
    history, seen = started(1), []
    for now in (0.0, 0.2, 14.9, 15.0, 15.1, 30.0):
        made = decide(snapshot(ready=500, sampled_at=now), policy(**TABLE), history, now)
        history = made.history
        seen.append((made.desired, made.bound))
    assert [count for count, _ in seen] == [2, 2, 2, 3, 3, 4]
    assert seen[1][1] is Bound.STEP_PERIOD


def test_scale_up_is_limited_by_the_greater_of_both_allowances():
    """From 4 in one period: two pods or half of four, whichever is more; from zero at least one."""
    limited = {"scaling__maxReplicas": 100, "scaling__scaleUp": {"maxPods": 1, "maxPercent": 50, "periodSeconds": 15}}
    made = decide(snapshot(ready=1000), policy(**limited), started(4), 0.0)
    assert (made.desired, made.bound) == (6, Bound.SCALE_UP_RATE)
    later = decide(snapshot(ready=1000, sampled_at=14.0), policy(**limited), made.history, 14.0)
    assert later.desired == 6
    next_period = decide(snapshot(ready=1000, sampled_at=15.0), policy(**limited), later.history, 15.0)
    assert next_period.desired == 9
    only_percent = {"scaling__scaleUp": {"maxPercent": 100}}
    assert decide(snapshot(ready=1000), policy(**only_percent), started(0), 0.0).desired == 1


def test_scale_down_waits_until_the_whole_window_wanted_less():
    """A burst seen a moment ago holds the replicas; when it has left the window, they go."""
    calm = policy(scaling__scaleDown={"stabilizationWindowSeconds": 60, "cooldownSeconds": 0})
    busy = decide(snapshot(ready=20), calm, started(0), 0.0)
    assert busy.desired == 4
    quiet = decide(snapshot(sampled_at=30.0), calm, busy.history, 30.0)
    assert (quiet.desired, quiet.bound) == (4, Bound.STABILIZATION)
    still = decide(snapshot(sampled_at=89.0), calm, quiet.history, 89.0)
    assert still.desired == 4
    gone = decide(snapshot(sampled_at=90.0), calm, still.history, 90.0)
    assert (gone.desired, gone.bound) == (0, Bound.IDLE)


def test_scale_up_waits_until_the_whole_window_wanted_more():
    """Only with a window; without one, the first sample is enough."""
    slow = policy(scaling__scaleUp={"stabilizationWindowSeconds": 10})
    first = decide(snapshot(ready=20), slow, started(1), 0.0)
    assert (first.desired, first.bound) == (1, Bound.STABILIZATION)
    second = decide(snapshot(ready=20, sampled_at=10.0), slow, first.history, 10.0)
    assert second.desired == 4


def test_none_are_removed_for_a_while_after_some_were_added():
    """The cooldown counts from the last replica added."""
    cool = policy(scaling__scaleDown={"stabilizationWindowSeconds": 0, "cooldownSeconds": 120})
    up = decide(snapshot(ready=20), cool, started(0), 0.0)
    kept = decide(snapshot(sampled_at=119.0), cool, up.history, 119.0)
    assert (kept.desired, kept.bound) == (4, Bound.COOLDOWN)
    down = decide(snapshot(sampled_at=120.0), cool, kept.history, 120.0)
    assert down.desired == 0


def test_a_restart_removes_nothing_before_a_whole_window_has_passed():
    """A new operator does not know what was wanted."""
    made = decide(snapshot(sampled_at=1.0), policy(), History.starting(6, now=0.0), 1.0)
    assert (made.desired, made.bound) == (6, Bound.STABILIZATION)


@pytest.mark.parametrize("seen", [None, snapshot(sampled_at=-60.1)])
def test_no_sample_of_the_queue_keeps_the_replicas(seen):
    """An error is not an empty queue, and neither is an old sample."""
    made = decide(seen, policy(**CALM), started(6), 0.0)
    assert (made.desired, made.bound) == (6, Bound.SIGNAL_LOST)
    assert made.history == started(6)


def test_replicas_beyond_max_in_flight_are_of_no_use():
    """Twelve claims keep three replicas of five busy."""
    made = decide(snapshot(ready=500), policy(limits__maxInFlight=12), started(0), 0.0)
    assert (made.desired, made.bound) == (3, Bound.MAX_IN_FLIGHT)


def test_the_connection_budget_bounds_the_replicas():
    """Thirty connections at four each are seven replicas."""
    made = decide(snapshot(ready=500), policy(scaling__connectionBudget={"maxConnections": 30}), started(0), 0.0)
    assert (made.desired, made.bound) == (7, Bound.CONNECTION_BUDGET)


def test_mode_fixed_is_what_somebody_wrote_with_or_without_a_sample():
    """Up at once, and down too: the drain keeps the jobs, not the count."""
    fixed = policy(scaling__mode="Fixed", replicas=3)
    for seen in (None, snapshot(ready=1000)):
        made = decide(seen, fixed, started(5), 0.0)
        assert (made.desired, made.bound) == (3, Bound.FIXED)


@pytest.mark.parametrize("mode", [{}, {"scaling__mode": "Fixed", "replicas": 9}])
def test_hold_keeps_the_replicas_and_hold_and_drain_goes_down_with_the_jobs(mode):
    """Neither adds; zero comes when nothing is in flight, ready jobs or not."""
    hold, drain = policy(stopPolicy="Hold", **mode), policy(stopPolicy="HoldAndDrain", **mode)
    assert decide(snapshot(ready=99), hold, started(4), 0.0).desired == 4
    assert decide(snapshot(ready=99, in_flight=6), drain, started(4), 0.0).desired == 2
    assert decide(snapshot(ready=99, in_flight=600), drain, started(4), 0.0).desired == 4
    made = decide(snapshot(ready=99), drain, started(4), 0.0)
    assert (made.desired, made.bound) == (0, Bound.STOP_POLICY)
    assert decide(None, drain, started(4), 0.0).desired == 4


def test_the_latency_target_asks_for_what_must_start_in_time():
    """1000 jobs of 0.1 s in 10 s: 100 s of work, ten slots, thirteen at 80 percent."""
    seen = snapshot(ready=1000, oldest_ready_seconds=0.0, mean_service_seconds=0.1)
    made = decide(seen, policy(), started(0), 0.0)
    assert (made.desired, made.bound) == (3, Bound.LATENCY)
    assert made.arithmetic.endswith("at 80 % utilization: 13 slots, 5 per replica: 3 replicas.")


def test_what_a_replica_needs_to_start_is_not_left_for_jobs():
    """200 jobs of 1 s in 10 s, 6 s of them for the start: a slot starts 1 + 4 * 0.8 of them, so 48 slots."""
    seen = snapshot(ready=200, oldest_ready_seconds=0.0, mean_service_seconds=1.0, startup_seconds=6.0)
    made = decide(seen, policy(scaling__maxReplicas=100), started(0), 0.0)
    assert (made.desired, made.bound) == (10, Bound.LATENCY)
    assert "to start within 10 s (6 s of it to start a replica) at 80 % utilization: 48 slots" in made.arithmetic


def test_replicas_on_their_way_are_not_asked_for_again():
    """Samples during their start find less time left and older jobs, and want no more."""
    seen = snapshot(ready=200, mean_service_seconds=1.0, startup_seconds=6.0)
    rules, history = policy(scaling__maxReplicas=100), started(0)
    wanted = []
    for now in range(7):
        sample = dataclasses.replace(seen, sampled_at=float(now), oldest_ready_seconds=float(now))
        made = decide(sample, rules, history, float(now))
        history = made.history
        wanted.append(made.desired)
    assert wanted == [10] * 7


def test_jobs_that_are_due_soon_get_their_replicas_before_they_are_due():
    """By then the replicas have started, so the whole target is left: a slot starts 1 + 10 * 0.8 jobs of 1 s."""
    seen = snapshot(due_soon=180, deferred=500, mean_service_seconds=1.0, startup_seconds=6.0)
    made = decide(seen, policy(), started(0), 0.0)
    assert (made.desired, made.bound) == (4, Bound.LATENCY)


def test_free_slots_to_come_serve_the_due_jobs_too():
    """Five busy slots of jobs of 1 s start 40 in the target's time; nobody is added for 30 due ones."""
    seen = snapshot(due_soon=30, in_flight=5, mean_service_seconds=1.0)
    assert decide(seen, policy(), started(1), 0.0).desired == 1


def test_long_jobs_need_a_slot_each():
    """Jobs of ten minutes and a target of ten seconds: no slot comes free in time."""
    seen = snapshot(ready=20, oldest_ready_seconds=0.0, mean_service_seconds=600.0)
    assert decide(seen, policy(), started(0), 0.0).desired == 4


def test_a_missed_target_is_caught_up_in_a_quarter_of_it_not_in_no_time():
    """1000 jobs of 10 ms that wait too long: 10 s of work in 2.5 s at 80 percent, five slots and not a thousand."""
    seen = snapshot(ready=1000, oldest_ready_seconds=60.0, mean_service_seconds=0.01)
    made = decide(seen, policy(), started(0), 0.0)
    assert made.desired == 1
    assert "utilization: 5 slots" in made.arithmetic


def test_arrivals_keep_their_slots_with_headroom():
    """Little's law: 20 jobs/s of 0.5 s keep ten slots busy, thirteen at 80 percent."""
    seen = snapshot(ready=1, in_flight=9, arrivals_per_second=20.0, mean_service_seconds=0.5)
    made = decide(seen, policy(), started(3), 0.0)
    assert (made.desired, made.bound) == (3, Bound.UTILIZATION)
    assert made.arithmetic.startswith("20 arrivals/s of 0.5 s each at 80 % utilization: 13 slots")


def test_a_rare_short_job_does_not_keep_a_replica_for_ever():
    """An idle queue keeps only replicas that its arrivals keep wholly busy."""
    seen = snapshot(arrivals_per_second=1 / 3600, mean_service_seconds=0.1)
    assert decide(seen, policy(**CALM), started(1), 0.0).desired == 0
    steady = snapshot(arrivals_per_second=20.0, mean_service_seconds=0.5)
    assert decide(steady, policy(**CALM), started(3), 0.0).desired == 2


def test_lowering_the_maximum_takes_effect_at_once():
    """Windows and cooldown hold replicas only inside the bounds of now."""
    made = decide(snapshot(ready=500), policy(scaling__maxReplicas=3), History.starting(8, now=0.0, added_at=0.0), 0.0)
    assert (made.desired, made.bound) == (3, Bound.MAXIMUM)
