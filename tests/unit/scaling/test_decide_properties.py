"""What holds for every queue, policy and past."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from penstock.errors import ManifestError
from penstock.jobqueue.policy import QueuePolicy
from penstock.scaling import Bound, Decision, History, QueueSnapshot, decide
from penstock.scaling.types import UpcomingTick
from tests.unit.jobqueue.examples import policy, snapshot

SECONDS = st.integers(0, 300)


@st.composite
def policies(draw: st.DrawFn, /, **fixed: Any) -> QueuePolicy:
    steps = st.sampled_from(
        [[], [], [{"above": 1000, "change": 2}, {"above": 100, "change": 1}, {"below": 10, "change": -1}]]
    )
    concurrency = draw(st.integers(1, 20))
    changes: dict[str, Any] = {
        "worker__concurrency": concurrency,
        "worker__maxDemand": draw(st.one_of(st.none(), st.integers(concurrency, 200))),
        "limits__maxInFlight": draw(st.one_of(st.none(), st.integers(1, 500))),
        "scaling__minReplicas": draw(st.integers(0, 5)),
        "scaling__maxReplicas": draw(st.integers(1, 40)),
        "scaling__target": {
            "queueLatencySeconds": draw(st.integers(1, 600)),
            "jobsPerSlot": draw(st.integers(1, 50)),
            "utilizationPercent": draw(st.integers(1, 100)),
        },
        "scaling__steps": draw(steps),
        "scaling__stepPeriodSeconds": draw(st.integers(1, 60)),
        "scaling__scaleUp": {
            name: value
            for name, value in {
                "maxPods": draw(st.one_of(st.none(), st.integers(1, 10))),
                "maxPercent": draw(st.one_of(st.none(), st.integers(1, 300))),
                "stabilizationWindowSeconds": draw(st.sampled_from([0, 0, 30])),
            }.items()
            if value is not None
        },
        "scaling__scaleDown": {"stabilizationWindowSeconds": draw(SECONDS), "cooldownSeconds": draw(SECONDS)},
        "scaling__activation": {"threshold": draw(st.sampled_from([0, 0, 7]))},
        "scaling__connectionBudget": draw(st.one_of(st.none(), st.just({"maxConnections": 60}))),
    }
    try:
        return policy(**(changes | fixed))
    except ManifestError:
        assume(False)
        raise


TICKS = st.lists(
    st.builds(
        UpcomingTick,
        schedule=st.sampled_from(["nightly", "hourly", "report"]),
        at=st.floats(-120, 900),
        lead_seconds=st.sampled_from([0.0, 0.0, 60.0]),
        follows_previous=st.booleans(),
    ),
    max_size=4,
).map(tuple)
COUNT = st.one_of(st.integers(0, 30), st.integers(0, 5000))
RATE = st.one_of(st.none(), st.floats(0, 100))
SNAPSHOTS = st.builds(
    QueueSnapshot,
    ready=COUNT,
    deferred=COUNT,
    due_soon=st.sampled_from([0, 0, 0, 3]),
    in_flight=COUNT,
    dead=COUNT,
    oldest_ready_seconds=st.one_of(st.none(), st.floats(0, 1000)),
    sampled_at=st.just(0.0),
    arrivals_per_second=RATE,
    completions_per_second=RATE,
    mean_service_seconds=st.one_of(st.none(), st.floats(0, 1000)),
    startup_seconds=st.one_of(st.none(), st.floats(0, 300)),
    ticks=st.one_of(st.just(()), TICKS),
)
PASTS = st.lists(st.tuples(SNAPSHOTS, st.floats(0, 120)), max_size=6)
REPLICAS = st.integers(0, 40)


def lived(past: list[tuple[QueueSnapshot, float]], rules: QueuePolicy, replicas: int) -> tuple[History, float]:
    """The history after deciding on each snapshot in turn, and the time by then."""
    now = 0.0
    history = History.starting(replicas, now=now)
    for seen, pause in past:
        now += pause
        history = decide(dataclasses.replace(seen, sampled_at=now), rules, history, now).history
    return history, now


def deciding(seen: QueueSnapshot, rules: QueuePolicy, history: History, now: float) -> Decision:
    return decide(dataclasses.replace(seen, sampled_at=now), rules, history, now)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
@example(seen=snapshot(ready=1, mean_service_seconds=5e-324), rules=policy(), past=[], replicas=0)
@example(seen=snapshot(ready=1, mean_service_seconds=1e308), rules=policy(), past=[], replicas=0)
def test_a_decision_is_never_outside_its_bounds(seen, rules, past, replicas):
    """Minimum, maximum and connection budget hold whatever windows, steps and limits say; minimum within the budget."""
    history, now = lived(past, rules, replicas)
    made = deciding(seen, rules, history, now)
    assert rules.scaling.min_replicas <= made.desired <= rules.scaling.max_replicas
    if rules.scaling.connection_budget is not None:
        assert made.desired <= 60 // 4


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_a_decision_never_falls_below_what_is_in_flight(seen, rules, past, replicas):
    """As many replicas as hold the claimed jobs stay, inside the bounds."""
    history, now = lived(past, rules, replicas)
    made = deciding(seen, rules, history, now)
    holding = -(-seen.in_flight // rules.worker.holds_at_most)
    maximum = rules.scaling.max_replicas
    if rules.scaling.connection_budget is not None:
        maximum = min(maximum, 60 // 4)
    if rules.limits is not None and rules.limits.max_in_flight is not None:
        maximum = min(
            maximum, max(-(-rules.limits.max_in_flight // rules.worker.concurrency), rules.scaling.min_replicas)
        )
    assert made.desired >= min(holding, history.desired, maximum)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_zero_is_decided_only_where_nothing_is_ready_or_in_flight(seen, rules, past, replicas):
    """A queue that is at zero may wait for its threshold or its window there; none is brought there with work left."""
    history, now = lived(past, rules, replicas)
    made = deciding(seen, rules, history, now)
    if made.desired == 0 and history.desired > 0:
        assert (seen.ready, seen.due_soon, seen.in_flight) == (0, 0, 0)
    if made.desired == 0 and made.bound is not Bound.STABILIZATION:
        assert seen.in_flight == 0
        assert seen.ready + seen.due_soon <= rules.scaling.activation.threshold


@given(SNAPSHOTS, st.integers(0, 500), policies(), PASTS, REPLICAS)
def test_a_deeper_queue_never_gets_fewer_replicas(seen, more, rules, past, replicas):
    """Monotone in depth, with the same past."""
    history, now = lived(past, rules, replicas)
    deeper = dataclasses.replace(seen, ready=seen.ready + more)
    assert deciding(deeper, rules, history, now).desired >= deciding(seen, rules, history, now).desired


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_deciding_twice_decides_once(seen, rules, past, replicas):
    """The same sample at the same time changes no replica count any more."""
    history, now = lived(past, rules, replicas)
    first = deciding(seen, rules, history, now)
    second = deciding(seen, rules, first.history, now)
    assert second.desired == first.desired
    if not rules.scaling.steps:
        assert deciding(seen, rules, second.history, now).history == second.history


@given(SNAPSHOTS, policies(), PASTS, REPLICAS, st.floats(60.001, 1e6))
@example(seen=snapshot(), rules=policy(), past=[], replicas=0, age=61.0)
def test_nothing_is_inferred_from_missing_data(seen, rules, past, replicas, age):
    """No sample, or an old one: the replicas in force and the history stay, whatever the old sample showed."""
    history, now = lived(past, rules, replicas)
    for missing in (None, dataclasses.replace(seen, sampled_at=now - age)):
        made = decide(missing, rules, history, now)
        assert (made.desired, made.bound, made.history) == (history.desired, Bound.SIGNAL_LOST, history)


@given(
    st.lists(SNAPSHOTS, min_size=1, max_size=5),
    policies(scaling__steps=[], scaling__scaleUp={}, scaling__scaleDown={"stabilizationWindowSeconds": 60}),
    REPLICAS,
)
def test_noise_shorter_than_the_window_comes_to_rest(noise, rules, replicas):
    """Samples that repeat within the window, however different they are: after a while the replica count stays."""
    now, seen = 0.0, []
    history = History.starting(replicas, now=now)
    for _ in range(40):
        for sample in noise:
            now += 10.0
            made = deciding(sample, rules, history, now)
            history = made.history
            seen.append(made.desired)
    assert len(set(seen[-2 * len(noise) :])) == 1


@given(SNAPSHOTS, policies(scaling__scaleDown={"stabilizationWindowSeconds": 60}), PASTS, REPLICAS, st.floats(0, 1e5))
def test_the_first_sample_after_an_outage_removes_nothing_that_was_wanted_before_it(seen, rules, past, replicas, away):
    """Nobody knows what was wanted meanwhile, so what was wanted last counts as wanted until now."""
    history, now = lived([(snapshot(), 0.0), *past], rules, replicas)
    wanted_last = history.highest[-1].replicas
    after = now + away
    assert decide(None, rules, history, after).history == history
    made = deciding(seen, rules, history, after)
    assert made.desired >= min(wanted_last, history.desired)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_recorded_inputs_replay_to_the_same_decision(seen, rules, past, replicas):
    """What was decided on, written down as JSON and read again, gives the number and the sentence of then."""
    history, now = lived(past, rules, replicas)
    record = msgspec.json.encode([dataclasses.replace(seen, sampled_at=now), rules, history, now])
    replayed = decide(*msgspec.json.decode(record, type=tuple[QueueSnapshot, QueuePolicy, History, float]))
    assert replayed == deciding(seen, rules, history, now)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_the_same_inputs_give_the_same_decision_and_sentence(seen, rules, past, replicas):
    """Replayable: nothing but the arguments counts; and the sentence fits into a status and an event."""
    history, now = lived(past, rules, replicas)
    made = deciding(seen, rules, history, now)
    assert deciding(seen, rules, history, now) == made
    assert str(made.desired) in made.explanation
    for text in (made.explanation, made.arithmetic):
        assert text.endswith(".")
        assert len(text) <= 1024
        assert not re.search(r"\b1 (jobs|replicas|slots|workers)\b", text)


@given(SNAPSHOTS, policies(), PASTS, REPLICAS)
def test_what_is_remembered_stays_small(seen, rules, past, replicas):
    """A window keeps at maximum one mark per replica count."""
    history, _ = lived(past * 5, rules, replicas)
    for marks in (history.highest, history.lowest):
        counts = [mark.replicas for mark in marks]
        assert len(set(counts)) == len(counts)


@given(SNAPSHOTS, policies(stopPolicy="HoldAndDrain"), PASTS, REPLICAS)
def test_a_stopped_queue_never_gets_more_replicas(seen, rules, past, replicas):
    """And ends at zero once nothing is in flight."""
    history, now = lived(past, rules, replicas)
    made = deciding(seen, rules, history, now)
    assert made.desired <= history.desired
    assert (made.desired == 0) == (seen.in_flight == 0 or history.desired == 0)
