"""Every exported series moves: none can stay at zero because a name on the way to it changed."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.events import EVENTS
from penstock.job import Finished, OutcomeState
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.execution.outcomes import INCOMPATIBLE
from penstock.runtime.execution.processes.stats import EXIT_REASONS
from penstock.runtime.execution.slots import Slots
from penstock.runtime.observe.gauges import Gauges
from penstock.runtime.observe.metrics import UNKNOWN_TASK, WorkerMetrics, exposition
from penstock.runtime.observe.probes import Probes
from tests.unit.runtime.support import job, running_state

Series = tuple[str, frozenset[tuple[str, str]]]


def series(metrics: WorkerMetrics) -> dict[Series, float]:
    """Value by name and labels, of the worker's own series."""
    families = text_string_to_metric_families(exposition(metrics)()[0].decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("penstock_") and sample.name != "penstock_build_info"
    }


def probes() -> Probes:
    """The probes of a worker of which every number is different from that of a worker that has not started."""
    held_claims = HeldClaims(clock=lambda: 900.0)
    held_claims.add([job()])
    slots = Slots(concurrency=4, interrupt=lambda _: True)
    slots.add(job(), cast("Any", None))
    maintenance = SimpleNamespace(leading=True, rescued=2, poisoned=3, overdue=4, succeeded_at=950.0)
    return Probes(
        lease=cast("Any", SimpleNamespace(worker=1, age=5.0)),
        held_claims=held_claims,
        claimer=cast("Any", SimpleNamespace(pending=7)),
        consumers=cast("Any", SimpleNamespace(waiting=8, unacknowledged=9, prefetching=True)),
        slots=slots,
        maintenance=cast("Any", SimpleNamespace(stats=maintenance)),
        state=running_state(),
        max_timeout=0.0,
        clock=lambda: 1000.0,
        wall=lambda: 5000.0,
    )


def busy(metrics: WorkerMetrics) -> None:
    """Everything that a worker counts happens at least once."""
    for task in ("work", UNKNOWN_TASK):
        for state in OutcomeState:
            reason = INCOMPATIBLE if state is OutcomeState.SNOOZE else None
            outcome = Finished(job=job(task=task, wait=0.001), state=state, duration=0.001, reason=reason)
            slow = Finished(job=job(task=task, wait=9.0), state=state, duration=9.0)
            metrics.acknowledged([outcome, slow], 0.001)
        metrics.blocked(task)
    metrics.claimed(0, 0.001)
    metrics.claimed(3, 0.5)
    metrics.events["consumers"] += 1
    metrics.fenced = metrics.released = metrics.postponed = metrics.unstored = metrics.renewal_failures = 1
    metrics.loop_lag = 0.5
    metrics.hook_failures = dict.fromkeys(EVENTS, 1)
    metrics.circuits = lambda: {"work": 2}
    metrics.children.started = 1
    metrics.children.up()
    for reason in EXIT_REASONS:
        metrics.children.alive += 1
        metrics.children.down(reason)
    metrics.gauges = probes().gauges


def test_every_exported_series_moves():
    """From zero before anything happened; a series that cannot move is a renamed field or a forgotten count."""
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
    before = series(metrics)
    busy(metrics)
    after = series(metrics)
    assert before.keys() == after.keys()
    assert set(before.values()) == {0.0}
    assert [key for key in before if after[key] == before[key]] == []


@pytest.mark.parametrize("name", [field.name for field in fields(Gauges)])
def test_the_probes_read_every_gauge(name):
    """A number that the probes leave out would have its default for ever."""
    assert getattr(probes().gauges(), name) != getattr(Gauges(), name)


def test_each_gauge_is_exported_under_its_own_series():
    """Two that were exchanged would both move: each has a value of its own here."""
    values = {
        "busy_slots": ("penstock_consumers", ("state", "busy")),
        "idle_slots": ("penstock_consumers", ("state", "idle")),
        "open_demand": ("penstock_stage_demand", ("stage", "claimer")),
        "waiting_jobs": ("penstock_stage_buffered", ("stage", "consumers")),
        "unacknowledged_outcomes": ("penstock_stage_buffered", ("stage", "acknowledger")),
        "prefetching": ("penstock_prefetching", None),
        "leading": ("penstock_maintenance_leader", None),
        "rescued_lease": ("penstock_rescued_total", ("reason", "lease")),
        "rescued_poison": ("penstock_rescued_total", ("reason", "poison")),
        "rescued_deadline": ("penstock_rescued_total", ("reason", "deadline")),
        "maintenance_succeeded_at": ("penstock_maintenance_success_timestamp_seconds", None),
        "lease_renewed_at": ("penstock_lease_renewed_timestamp_seconds", None),
        "oldest_running_at": ("penstock_oldest_running_timestamp_seconds", None),
    }
    assert set(values) == {field.name for field in fields(Gauges)}
    for name, (metric, label) in values.items():
        metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
        reading = replace(Gauges(), **cast("Any", {name: 1}))
        metrics.gauges = partial(lambda value: value, reading)
        moved = [key for key, value in series(metrics).items() if value]
        assert [key[0] for key in moved] == [metric]
        assert label is None or label in moved[0][1]
