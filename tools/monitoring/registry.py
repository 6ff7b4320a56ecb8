"""Every metric of the project, read from the code that gives it out: name, kind, labels and help.

There is no second list. A metric is here because a worker, the operator or a local run exposes it, so a dashboard, a
rule or a page that is made from this registry cannot name one that nobody counts. `reading()` gives an expression's
checker the series with the labels that they have once Prometheus has scraped them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client.metrics import MetricWrapperBase

from penstock.dev.http import BOUND, GAUGES, LABELS
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock_operator.metrics import OperatorMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TARGET: Final = frozenset({"namespace", "pod", "container", "job", "endpoint", "instance"})
"""What the Prometheus operator puts on every series of a PodMonitor or ServiceMonitor."""
OF_WORKERS: Final = TARGET | {"jobqueue"}
"""`jobqueue` is put there by the workers' PodMonitor, from the pod's label: a worker does not know its JobQueue."""
OF_PROCESS: Final = ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds")
"""Gauges and counters of prometheus_client itself, of every process of ours on Linux."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as a page documents it; a counter's name ends in `_total`."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str

    def series(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Names that an expression may use, with their own labels."""
        labels = frozenset(self.labels)
        if self.kind == "histogram":
            yield f"{self.name}_bucket", labels | {"le"}
            yield from ((f"{self.name}_{part}", labels) for part in ("sum", "count"))
        else:
            yield self.name, labels


def of_workers() -> list[Metric]:
    """Metrics of a worker process."""
    known = WorkerMetrics(queue="q", tasks=["t"], version="0")
    job = ClaimedJob(
        id=1, token=1, worker=1, attempt=1, max_attempts=1, crashes=0, queue="q", priority=1, task="t", args="{}"
    )
    known.acknowledged([Finished(job=job, state=OutcomeState.FAILED)], 0.0)  # so that every family has a sample
    found = []
    for family in known.collect():
        labels = {name for sample in family.samples for name in sample.labels} - {"le"}
        ordered = sorted(labels, key=lambda name: (name != "queue", name))
        found.append(_metric(family.name, family.type, ordered, family.documentation))
    return found


def of_operator() -> list[Metric]:
    """Metrics of the operator."""
    metrics = OperatorMetrics()
    return [
        _metric(family.name, family.type, collector._labelnames, family.documentation)  # noqa: SLF001
        for collector in _collectors([*vars(metrics).values(), *vars(metrics.schedules).values()])
        for family in collector.describe()
    ]


def of_local_mode() -> list[Metric]:
    """Metrics of `penstock dev` and of the demo."""
    return [
        *(Metric(name, "gauge", LABELS, text) for name, text in GAUGES),
        Metric(BOUND[0], "gauge", (*LABELS, "bound"), BOUND[1]),
    ]


def reading() -> Mapping[str, frozenset[str]]:
    """Series by name, with every label that they have in Prometheus."""
    found: dict[str, frozenset[str]] = {"up": TARGET, **dict.fromkeys(OF_PROCESS, OF_WORKERS)}
    for metrics, target in ((of_workers(), OF_WORKERS), (of_operator(), TARGET)):
        for metric in metrics:
            for name, labels in metric.series():
                found[name] = found.get(name, frozenset()) | labels | target
    return found


def _collectors(values: Iterable[object]) -> Iterator[MetricWrapperBase]:
    for value in values:
        if isinstance(value, MetricWrapperBase):
            yield value
        elif isinstance(value, dict):
            yield from _collectors(value.values())


def _metric(name: str, kind: str, labels: Iterable[str], text: str) -> Metric:
    return Metric(f"{name}_total" if kind == "counter" else name, kind, tuple(labels), text)
