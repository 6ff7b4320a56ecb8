"""Pre-scaling over time: what happens between the request for a tick's pod and the scale-down after it.

Each trace evaluates `decide` once a second, with the history that the evaluation before left, as the operator does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from penstock.jobqueue.policy import QueuePolicy
from penstock.scaling import Bound, Decision, History, QueueSnapshot, decide
from penstock.scaling.prescaling import LATE_SECONDS
from penstock.scaling.types import UpcomingTick
from tests.unit.jobqueue.examples import policy, snapshot

CALM: dict[str, Any] = {"scaling__scaleDown": {"stabilizationWindowSeconds": 0, "cooldownSeconds": 0}}
ONE_SLOT: dict[str, Any] = CALM | {"worker__concurrency": 1}
STARTUP = 20.0
REQUESTED = 25.0
"""Seconds before a tick: the startup time, and a quarter more."""
KEPT = 37.5
"""Seconds before a tick from which on nothing is removed."""
COOLDOWN = 120
"""Of the defaults, counted from the last addition."""

Seen = Callable[[float], QueueSnapshot]


def tick(at: float, **changes: Any) -> UpcomingTick:
    return dataclasses.replace(UpcomingTick(schedule="nightly", at=at, local_time="09:00"), **changes)


def sample(*ticks: UpcomingTick, **changes: Any) -> QueueSnapshot:
    return snapshot(**({"startup_seconds": STARTUP, "ticks": ticks} | changes))


def trace(seen: Seen, until: int, rules: QueuePolicy, *, replicas: int = 0, since: int = 0) -> list[Decision]:
    """A decision for each second from `since`; the history starts with `replicas` that are old."""
    history, made = History.starting(replicas, now=since - 1000.0), list[Decision]()
    for second in range(since, until):
        now = float(second)
        made.append(decide(dataclasses.replace(seen(now), sampled_at=now), rules, history, now))
        history = made[-1].history
    return made


def counts(decisions: list[Decision]) -> list[int]:
    return [one.desired for one in decisions]


def changes(decisions: list[Decision]) -> int:
    return sum(before != after for before, after in pairwise(counts(decisions)))


def test_two_schedules_at_one_minute_need_two_slots():
    """One pod with five slots, two pods with one each; the sentence names the first and counts the other."""
    both = (tick(100.0, schedule="a"), tick(100.0, schedule="b"))
    assert max(counts(trace(lambda _: sample(*both), 100, policy(**CALM)))) == 1
    alone = trace(lambda _: sample(*both), 100, policy(**ONE_SLOT))
    assert counts(alone)[int(100 - REQUESTED)] == 2
    assert alone[-1].explanation == "2 replicas: for the tick of a at 09:00 in 1 s and 1 more tick."


def test_two_ticks_half_a_minute_apart_share_one_start():
    """The pod of the first is there for the second: it is not removed and started again between them."""

    def seen(now: float) -> QueueSnapshot:
        second = tick(130.0 if now < 130.0 else 86_400.0, schedule="b")
        return sample(tick(100.0 if now < 100.0 else 86_400.0), second)

    made = trace(seen, 200, policy(**ONE_SLOT))
    assert counts(made)[100:130] == [1] * 30
    assert counts(made)[130:] == [0] * 70
    assert max(counts(made)) == 1
    assert changes(made) == 2


def test_a_tick_that_is_declared_seconds_before_it_is_requested_at_once():
    """Its pod comes late, by as little as possible; the sentence says how soon the tick is."""
    made = trace(lambda now: sample(*((tick(100.0),) if now >= 97.0 else ())), 100, policy())
    assert counts(made)[96:98] == [0, 1]
    assert made[97].explanation == "For the tick of nightly at 09:00 in 3 s: scaling up from zero to 1 replica."


@pytest.mark.parametrize("rules", [policy(**CALM), policy()])
def test_a_schedule_that_is_paused_or_removed_before_its_tick_keeps_nothing(rules):
    """Its pod exists already: it goes as any other, at once or after the cooldown."""
    made = trace(lambda now: sample(*((tick(100.0),) if now < 90.0 else ())), 300, rules)
    asked = int(100 - REQUESTED)
    assert counts(made)[asked : asked + 15] == [1] * 15
    window = rules.scaling.scale_down.cooldown_seconds
    gone = max(90, asked + window)
    assert counts(made)[gone - 1 : gone + 1] == [1, 0]
    assert set(counts(made)[gone:]) == {0}


def test_an_edit_that_moves_a_tick_away_moves_its_request():
    """From 09:00 to an hour later, five seconds after the pod was requested."""
    made = trace(lambda now: sample(tick(100.0 if now < 80.0 else 3700.0)), 3700, policy(**CALM))
    assert [second for second, desired in enumerate(counts(made)) if desired] == [
        *range(int(100 - REQUESTED), 80),
        *range(int(3700 - REQUESTED), 3700),
    ]


def test_replicas_that_a_minimum_keeps_are_enough_for_ticks_that_fit():
    """No replica more for five ticks, and one more for six."""
    for number, replicas in ((5, 1), (6, 2)):
        ticks = [tick(100.0, schedule=f"s{n}") for n in range(number)]
        made = trace(lambda _, ticks=ticks: sample(*ticks), 100, policy(scaling__minReplicas=1), replicas=1)  # type: ignore[misc]
        assert (made[-1].desired, made[-1].bound) == (replicas, Bound.SCHEDULED)
        assert set(counts(made)[: int(100 - REQUESTED)]) == {1}


def test_a_busy_queue_at_its_maximum_gets_no_pod_for_a_tick_and_says_so():
    """Fifty slots are busy: the job of the tick waits for one of them."""
    made = trace(lambda _: sample(tick(100.0), in_flight=50, ready=200), 100, policy(), replicas=10)
    assert set(counts(made)) == {10}
    assert made[-1].bound is Bound.MAXIMUM


@pytest.mark.parametrize("stop", ["Hold", "HoldAndDrain"])
def test_a_queue_that_is_stopped_between_request_and_tick_starts_no_pod(stop):
    """HoldAndDrain also removes the one that was requested; with the stop ended in time, the tick has one again."""
    rules = {True: policy(**CALM), False: policy(stopPolicy=stop, **CALM)}
    history, made = History.starting(0, now=-1000.0), list[Decision]()
    for second in range(100):
        seen = dataclasses.replace(sample(tick(100.0)), sampled_at=float(second))
        made.append(decide(seen, rules[not 80 <= second < 90], history, float(second)))
        history = made[-1].history
    assert counts(made)[79] == 1
    assert set(counts(made)[80:90]) == {0 if stop == "HoldAndDrain" else 1}
    assert {one.bound for one in made[80:90]} == {Bound.STOP_POLICY}
    assert set(counts(made)[90:]) == {1}


def test_a_job_that_runs_over_the_next_tick_keeps_its_slot_with_overlap_allow():
    """Each tick of a minute adds a job of three minutes: three run, and each tick finds a fourth slot."""

    def seen(now: float) -> QueueSnapshot:
        running = min(3, int(now // 60))
        return sample(tick(60.0 * (now // 60 + 1)), in_flight=running)

    made = trace(seen, 600, policy(**ONE_SLOT))
    assert all(desired >= min(3, second // 60) + 1 for second, desired in enumerate(counts(made)) if second % 60 > 35)
    assert max(counts(made)) == 4


def test_ticks_that_come_faster_than_a_pod_starts_keep_one_and_do_not_add_up():
    """Every ten seconds, a job of a second: one pod from the first request on, without a change."""

    def seen(now: float) -> QueueSnapshot:
        return sample(tick(max(100.0, 10.0 * (now // 10 + 1))), in_flight=int(now >= 100.0 and now % 10 < 1.0))

    made = trace(seen, 600, policy(**CALM))
    assert set(counts(made)[int(100 - REQUESTED) :]) == {1}
    assert changes(made) == 1


def test_a_tick_each_five_minutes_starts_and_stops_one_pod_each_time():
    """No hysteresis keeps it: it is there from the request until its job, of ten seconds, has ended."""

    def seen(now: float) -> QueueSnapshot:
        since = now % 300.0
        return sample(tick(now - since + 300.0), in_flight=int(now >= 300.0 and since < 10.0))

    made = trace(seen, 1500, policy(**CALM))
    for start in (300, 600, 900, 1200):
        assert set(counts(made)[int(start - REQUESTED) : start + 10]) == {1}
        assert set(counts(made)[start + 10 : int(start + 300 - REQUESTED)]) <= {0}
    assert changes(made) == 9


def test_the_cooldown_of_a_pod_that_was_requested_for_a_tick_counts_from_its_request():
    """With the defaults, an idle pod is gone two minutes after it was requested, not after the tick."""
    made = trace(lambda now: sample(tick(100.0 if now < 100.0 else 86_400.0)), 400, policy())
    assert [second for second, desired in enumerate(counts(made)) if desired] == list(
        range(int(100 - REQUESTED), int(100 - REQUESTED) + COOLDOWN)
    )


@pytest.mark.parametrize("startup", [STARTUP, None])
def test_an_operator_that_restarts_between_request_and_tick_keeps_the_pod(startup):
    """It has no history, and may have forgotten the startup time."""
    made = trace(lambda _: sample(tick(100.0), startup_seconds=startup), 100, policy(**CALM), replicas=1, since=85)
    assert set(counts(made)) == {1}


def test_an_operator_that_restarts_after_the_tick_removes_the_pod_within_its_windows():
    """The found replica counts as wanted until the restart."""
    later = trace(lambda _: sample(tick(86_400.0)), 700, policy(), replicas=1, since=150)
    assert counts(later)[-1] == 0
    assert changes(later) == 1


def test_a_startup_time_that_turns_out_longer_requests_the_pod_of_a_later_tick_sooner():
    """Learned 20 s until second 30, then 60 s: the tick at 100 is near at once."""
    made = trace(lambda now: sample(tick(100.0), startup_seconds=20.0 if now < 30.0 else 60.0), 100, policy(**CALM))
    assert counts(made)[29:31] == [0, 1]
    assert set(counts(made)[30:]) == {1}


def test_a_lead_longer_than_the_interval_keeps_a_pod_for_good():
    """Ready an hour before each tick of an hour: that is what was asked for."""
    made = trace(lambda now: sample(tick(3600.0 * (now // 3600 + 1), lead_seconds=3600.0)), 9000, policy(**CALM))
    assert set(counts(made)) == {1}


def test_a_tick_that_nobody_fires_stops_costing_a_pod():
    """Maintenance is gone: half a minute after the tick its pod goes, and the schedule's alert takes over."""
    made = trace(lambda _: sample(tick(100.0)), 200, policy(**CALM))
    gone = int(100 + LATE_SECONDS)
    assert counts(made)[gone - 1 : gone + 1] == [1, 0]
    assert set(counts(made)[gone:]) == {0}


def test_while_the_database_is_away_a_requested_pod_stays():
    """From ten seconds before the tick until after it nothing is known, and nothing is removed or added."""
    history, made = History.starting(0, now=-1000.0), list[Decision]()
    for second in range(150):
        away = 90 <= second < 120
        seen = dataclasses.replace(sample(tick(100.0 if second < 120 else 86_400.0)), sampled_at=float(second))
        made.append(decide(None if away else seen, policy(**CALM), history, float(second)))
        history = made[-1].history
    assert set(counts(made)[90:120]) == {1}
    assert counts(made)[120:] == [0] * 30
