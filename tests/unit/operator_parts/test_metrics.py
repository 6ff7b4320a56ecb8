"""The operator's series: what they count, and that none outlives its JobQueue."""

from __future__ import annotations

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from penstock.scaling import History, QueueSnapshot, decide
from penstock_operator.metrics import OperatorMetrics, ReconcileResult
from penstock_operator.resources.conditions import ObservedState
from penstock_operator.resources.queue_schedules import QueueSchedule, QueueSchedules, ScheduleFigures
from penstock_operator.schedule_metrics import MAX_SCHEDULES
from tests.unit.operator_parts.objects import jobqueue

QUEUE = jobqueue()
NIGHTLY = QueueSchedule("nightly", False, "at 09:00, UTC", "09:00 UTC", 86_400.0, [], 0, False, False, None)


def series(metrics: OperatorMetrics) -> dict[str, float]:
    """Name and labels beyond the JobQueue's -> value."""
    found = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            more = "".join(f" {v}" for k, v in sorted(sample.labels.items()) if k not in {"jobqueue", "namespace"})
            found[sample.name + more] = sample.value
    return found


def facts() -> ObservedState:
    """A queue that was seen and decided about."""
    assert QUEUE.policy is not None
    seen = QueueSnapshot(
        ready=3, deferred=1, due_soon=0, in_flight=2, dead=0, oldest_ready_seconds=1.5, sampled_at=100.0
    )
    decision = decide(seen, QUEUE.policy, History.starting(0, now=100.0), 100.0)
    return ObservedState(policy=QUEUE.policy, connected=True, snapshot=seen, decision=decision, existing=1, ready=1)


def test_decisions_are_counted_by_the_rule_that_won():
    """Each decision once, under its bound; the gauge shows the last one."""
    metrics, found = OperatorMetrics(), facts()
    assert found.decision is not None
    for _ in range(3):
        metrics.observe(QUEUE, found)
    reported = series(metrics)
    assert reported[f"penstock_queue_decisions_total {found.decision.bound.value}"] == 3
    assert sum(value for name, value in reported.items() if name.startswith("penstock_queue_decisions_total")) == 3
    assert reported[f"penstock_queue_decision_bound {found.decision.bound.value}"] == 1


def test_the_age_of_the_last_sample_grows_until_the_next_one():
    """It is read when it is scraped; a queue that was never seen has none."""
    now = 50.0
    metrics = OperatorMetrics(clock=lambda: now)
    metrics.observe(QUEUE, ObservedState(policy=QUEUE.policy))
    assert "penstock_queue_sample_age_seconds" not in series(metrics)
    metrics.seen(QUEUE)
    now += 7
    assert series(metrics)["penstock_queue_sample_age_seconds"] == 7
    metrics.seen(QUEUE)
    assert series(metrics)["penstock_queue_sample_age_seconds"] == 0


def test_treatments_are_counted_by_how_they_ended():
    """Every result is there from the start, so that a rate can be taken of the first failure."""
    metrics = OperatorMetrics()
    metrics.reconciled(ReconcileResult.DONE, 0.01)
    metrics.reconciled(ReconcileResult.FAILED, 0.5)
    reported = series(metrics)
    results = {one: reported[f"penstock_operator_reconciles_total {one.value}"] for one in ReconcileResult}
    assert results == dict.fromkeys(ReconcileResult, 0) | {ReconcileResult.DONE: 1, ReconcileResult.FAILED: 1}
    assert reported["penstock_operator_reconcile_seconds_count"] == 2


def test_a_jobqueue_that_is_gone_leaves_no_series():
    """Whatever was reported of it; the number of series is bounded by the objects of the cluster."""
    metrics = OperatorMetrics()
    before = series(metrics).keys()
    metrics.seen(QUEUE)
    metrics.observe(QUEUE, facts(), paused=True)
    metrics.scaled(QUEUE, 0, 1)
    assert len(series(metrics)) > len(before)
    metrics.forget(QUEUE)
    assert series(metrics).keys() == before
    metrics.forget(QUEUE)


def test_schedules_have_their_next_tick_their_last_success_and_how_late_they_are():
    """Jobs of ticks are counted from when the operator first saw the schedule; a schedule that is removed has none."""
    metrics, found = OperatorMetrics(), QueueSchedules(schedules=(NIGHTLY,))
    metrics.show_schedules(QUEUE, found, {"nightly": ScheduleFigures(7, None, None)})
    metrics.show_schedules(QUEUE, found, {"nightly": ScheduleFigures(9, 12.5, 100.0)})
    reported = series(metrics)
    assert reported["penstock_schedule_next_timestamp_seconds nightly"] == 86_400
    assert reported["penstock_schedule_last_success_timestamp_seconds nightly"] == 100
    assert reported["penstock_schedule_late_seconds nightly"] == 12.5
    assert reported["penstock_schedule_fired_total nightly"] == 2
    metrics.show_schedules(QUEUE, QueueSchedules(), {})
    assert not [name for name in series(metrics) if name.startswith("penstock_schedule_")]


def test_ticks_without_a_job_are_counted():
    """A tick that made a job, one that waits for one and a job that waited are none; one that was skipped is."""
    metrics, found = OperatorMetrics(), QueueSchedules(schedules=(NIGHTLY,))
    steps = [
        (7, 0, 60.0, 0),  # first seen
        (8, 0, 120.0, 0),  # a job
        (8, 0, 180.0, 1),  # skipped
        (8, 0, 180.0, 1),  # nothing new
        (8, 1, 240.0, 1),  # waits
        (9, 0, 240.0, 1),  # the one that waited has its job
        (9, 0, 300.0, 2),  # skipped
    ]
    for fired, waiting, last_tick, skipped in steps:
        metrics.show_schedules(QUEUE, found, {"nightly": ScheduleFigures(fired, None, None, waiting, last_tick)})
        assert series(metrics)["penstock_schedule_skipped_total nightly"] == skipped


def test_late_schedules_keep_their_series_whatever_their_number():
    """A hundred per JobQueue, and none after it."""
    names = [f"s{number:04}" for number in range(1000)]
    found = QueueSchedules(schedules=tuple(replace(NIGHTLY, name=name) for name in names))
    figures = {name: ScheduleFigures(0, 5.0 if name == "s0999" else None, None) for name in names}
    metrics = OperatorMetrics()
    metrics.show_schedules(QUEUE, found, figures)
    late = {name: value for name, value in series(metrics).items() if name.startswith("penstock_schedule_late")}
    assert (len(late), late["penstock_schedule_late_seconds s0999"]) == (MAX_SCHEDULES, 5.0)
    metrics.forget(QUEUE)
    assert not [name for name in series(metrics) if name.startswith("penstock_schedule_")]
