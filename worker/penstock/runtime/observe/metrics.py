"""The metrics of one worker process, and the only place of the worker that knows prometheus_client.

Everything is counted per batch, not per job; `WorkerMetrics` keeps plain numbers and is read when somebody scrapes.
Labels are bounded: outcomes and reasons are closed lists, tasks are those of the App and `unknown` for the rest.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from penstock.events import EVENTS
from penstock.job import Finished, OutcomeState

from ..execution.outcomes import INCOMPATIBLE
from ..execution.processes.stats import ENDS, Tally

JOB_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds, of waits and durations: 5 ms to an hour."""
CALL_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds, of calls to the database."""
SIZE_BOUNDS = (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)
"""Jobs in a claim."""
UNKNOWN_TASK = "unknown"
STAGES = ("claimer", "consumers", "acknowledger")
MOST_QUEUES = 200
"""Other queues that a label names: a rescue takes jobs of every queue back; beyond, they are `other`."""

_TIMES = {
    "oldest_running": "When the oldest attempt under way was claimed, by this process's clock; 0: none runs.",
    "lease_renewed": "When the last renewal of the lease was confirmed; 0: never.",
    "maintenance_success": "When the upkeep last went through without an error; 0: never led.",
}
"""Times of the Unix epoch: an age is worked out by whoever asks, at the time of asking."""

Gauges = Callable[[], Mapping[str, float]]


class Distribution:
    """Counts by upper bound; one addition per value."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_all(self, values: list[float]) -> None:
        """Count many values; sorts the list. One search per bound, not one per value."""
        values.sort()
        below = 0
        for place, bound in enumerate(self._bounds):
            upto = bisect_right(values, bound, below)
            self._counts[place] += upto - below
            below = upto
        self._counts[-1] += len(values) - below
        self._sum += sum(values)

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by bound, as the exposition wants them, and the sum."""
        total, cumulative = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            cumulative.append((bound, float(total)))
        return cumulative, self._sum


class WorkerMetrics(Collector):
    """Numbers of one process.

    Args:
        queue: the queue that it serves.
        tasks: names of the App's tasks; their series exist from the start.
        aliases: other names of these, which count as their task.
        version: of penstock, for `penstock_build_info`.
    """

    def __init__(
        self, *, queue: str, tasks: Iterable[str], version: str, aliases: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._queue, self._version, self._clock = queue, version, clock
        self._tasks = frozenset(tasks)
        self._names = {**(aliases or {}), **{task: task for task in self._tasks}}
        names = sorted(self._tasks | {UNKNOWN_TASK})
        self._outcomes: Counter[tuple[str, str]] = Counter(
            {(task, state.value): 0 for task in names for state in OutcomeState}
        )
        self._dead: Counter[tuple[str, str]] = Counter({(queue, task): 0 for task in names})
        self._durations = {task: Distribution(JOB_BOUNDS) for task in names}
        self._waits = Distribution(JOB_BOUNDS)
        self._claims, self._claim_sizes, self._acks = (
            Distribution(CALL_BOUNDS), Distribution(SIZE_BOUNDS), Distribution(CALL_BOUNDS),
        )  # fmt: skip
        self._blocked: Counter[str] = Counter(dict.fromkeys(names, 0))
        self._incompatible = 0
        self.events: Counter[str] = Counter(dict.fromkeys(STAGES, 0))
        """What each stage handed on, counted by the batch."""
        self.fenced = 0
        self.released = 0
        self.postponed = 0
        """Outcomes that were not stored at once because another transaction held the job's row."""
        self.unstored = 0
        """Those of them that are not stored yet."""
        self.renewal_failures = 0
        self.loop_lag = 0.0
        self.last_job_at = 0.0
        self.hook_failures: Mapping[str, int] = {}
        """Calls of hooks that raised or were dropped, by event."""
        self.circuits: Callable[[], Mapping[str, int]] = dict
        """Read at each scrape: task -> 1 half-open, 2 open; those that are closed may be left out."""
        self.children = Tally()
        """Of the child processes; read at each scrape."""
        self.gauges: Gauges = dict
        """Read at each scrape: name -> value for the consumers, stages, lease and upkeep."""

    def claimed(self, jobs: int, seconds: float) -> None:
        """A claim was answered."""
        self._claims.add(seconds)
        self._claim_sizes.add(jobs)
        self.events["claimer"] += jobs

    def acknowledged(self, outcomes: Sequence[Finished], seconds: float) -> None:
        """A batch was accepted."""
        self._acks.add(seconds)
        self.events["acknowledger"] += len(outcomes)
        self.last_job_at = self._clock()
        self._waits.add_all([outcome.job.wait for outcome in outcomes])
        durations: defaultdict[str, list[float]] = defaultdict(list)
        for (name, state), count in Counter([(outcome.job.task, outcome.state) for outcome in outcomes]).items():
            task = self._label(name)
            self._outcomes[task, state] += count
            if state is OutcomeState.FAILED:
                self._dead[self._queue, task] += count
            elif state is OutcomeState.SNOOZE:
                self._incompatible += sum(
                    outcome.job.task == name and outcome.reason == INCOMPATIBLE for outcome in outcomes
                )
        for outcome in outcomes:
            durations[outcome.job.task].append(outcome.duration)
        for name, values in durations.items():
            self._durations[self._label(name)].add_all(values)

    def blocked(self, task: str, count: int = 1) -> None:
        """Jobs of a task were deferred because its circuit is open."""
        self._blocked[self._label(task)] += count

    def buried(self, queue: str, task: str) -> None:
        """A rescue by this process made a dead letter, of whichever queue."""
        task = self._label(task)
        known = (queue, task) in self._dead or len({name for name, _ in self._dead}) < MOST_QUEUES
        self._dead[queue if known else "other", task] += 1

    def _label(self, task: str) -> str:
        return self._names.get(task, UNKNOWN_TASK)

    def collect(self) -> Iterator[Metric]:
        """The metric families, for a scrape."""
        yield from self._by_task()
        yield self._histogram("penstock_job_wait_seconds", "From ready to claimed.", self._waits)
        yield self._histogram("penstock_claim_seconds", "Duration of claims.", self._claims)
        yield self._histogram("penstock_claim_size", "Jobs that a claim brought.", self._claim_sizes)
        yield self._histogram("penstock_ack_seconds", "Duration of acknowledgements.", self._acks)
        yield self._counter("penstock_fenced", "Outcomes refused because the claim had been taken back.", self.fenced)
        yield self._counter("penstock_released", "Claims handed back unstarted.", self.released)
        postponed = "Outcomes not stored at once because another transaction held the job's row."
        yield self._counter("penstock_outcomes_postponed", postponed, self.postponed)
        yield self._gauge("penstock_outcomes_unstored", "Postponed outcomes that are not stored yet.", self.unstored)
        yield self._counter("penstock_lease_renewal_failures", "Renewals that failed.", self.renewal_failures)
        yield self._gauge(
            "penstock_event_loop_lag_seconds", "Lateness of the last tick of the event loop.", self.loop_lag
        )
        yield self._gauge(
            "penstock_last_job_timestamp_seconds", "When outcomes were last accepted; 0: never.", self.last_job_at
        )
        yield from self._from_gauges()
        yield from self._of_children()
        hooks = CounterMetricFamily(
            "penstock_hook_failures", "Calls of hooks that raised or were dropped.", labels=["event"]
        )
        for event in EVENTS:
            hooks.add_metric([event], self.hook_failures.get(event, 0))
        yield hooks
        build = GaugeMetricFamily("penstock_build_info", "Version of penstock.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build

    def _by_task(self) -> Iterator[Metric]:
        jobs = CounterMetricFamily("penstock_jobs", "Attempts acknowledged.", labels=["queue", "task", "outcome"])
        for (task, state), count in list(self._outcomes.items()):
            jobs.add_metric([self._queue, task, state], count)
        dead = CounterMetricFamily(
            "penstock_dead_letters", "Jobs that became dead letters, by an outcome or by a rescue of this process.",
            labels=["queue", "task"],
        )  # fmt: skip
        for (queue, task), count in list(self._dead.items()):
            dead.add_metric([queue, task], count)
        durations = HistogramMetricFamily(
            "penstock_job_duration_seconds", "Run time of attempts.", labels=["queue", "task"]
        )
        for task, distribution in self._durations.items():
            durations.add_metric([self._queue, task], *distribution.buckets())
        states = GaugeMetricFamily(
            "penstock_circuit_state", "Circuit breaker of a task: 0 closed, 1 half-open, 2 open.",
            labels=["queue", "task"],
        )  # fmt: skip
        blocked = CounterMetricFamily(
            "penstock_circuit_blocked", "Jobs deferred because the circuit of their task was open.",
            labels=["queue", "task"],
        )  # fmt: skip
        incompatible = CounterMetricFamily(
            "penstock_jobs_incompatible", "Jobs deferred because their arguments do not fit this release of the task.",
            labels=["queue"],
        )  # fmt: skip
        incompatible.add_metric([self._queue], self._incompatible)
        circuits = self.circuits()
        for task, count in list(self._blocked.items()):
            blocked.add_metric([self._queue, task], count)
            if task in self._tasks:
                states.add_metric([self._queue, task], circuits.get(task, 0))
        yield from (jobs, dead, durations, states, blocked, incompatible)

    def _of_children(self) -> Iterator[Metric]:
        tally = self.children
        yield self._gauge("penstock_children", "Child processes that have come up and not ended.", tally.alive)
        yield self._counter("penstock_children_started", "Child processes that were started.", tally.started)
        ended = CounterMetricFamily(
            "penstock_children_ended", "Child processes that ended, by why.", labels=["queue", "reason"]
        )
        for reason in ENDS:
            ended.add_metric([self._queue, reason], tally.ended[reason])
        yield ended

    def _from_gauges(self) -> Iterator[Metric]:
        values = self.gauges()
        consumers = GaugeMetricFamily("penstock_consumers", "Consumers by state.", labels=["queue", "state"])
        for state in ("busy", "idle"):
            consumers.add_metric([self._queue, state], values.get(f"consumers_{state}", 0))
        demand = GaugeMetricFamily("penstock_stage_demand", "Open demand of a stage.", labels=["queue", "stage"])
        buffered = GaugeMetricFamily("penstock_stage_buffered", "Events a stage holds.", labels=["queue", "stage"])
        demand.add_metric([self._queue, "claimer"], values.get("demand_claimer", 0))
        for stage in ("consumers", "acknowledger"):
            buffered.add_metric([self._queue, stage], values.get(f"buffered_{stage}", 0))
        events = CounterMetricFamily("penstock_stage_events", "Events a stage handed on.", labels=["queue", "stage"])
        for stage in STAGES:
            events.add_metric([self._queue, stage], self.events[stage])
        rescued = CounterMetricFamily("penstock_rescued", "Claims this process took back.", labels=["reason"])
        for reason in ("lease", "poison", "deadline"):
            rescued.add_metric([reason], values.get(f"rescued_{reason}", 0))
        yield from (consumers, demand, buffered, events, rescued)
        for name, text in _TIMES.items():
            yield self._gauge(f"penstock_{name}_timestamp_seconds", text, values.get(name, 0))
        yield self._gauge(
            "penstock_prefetching", "1 while demand beyond free slots is honoured.", values.get("prefetching", 0)
        )
        yield self._gauge(
            "penstock_maintenance_leader", "1 while this process does the upkeep.", values.get("leading", 0)
        )

    def _histogram(self, name: str, text: str, distribution: Distribution) -> Metric:
        family = HistogramMetricFamily(name, text, labels=["queue"])
        family.add_metric([self._queue], *distribution.buckets())
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(name, text, labels=["queue"])
        family.add_metric([self._queue], value)
        return family

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, text, labels=["queue"])
        family.add_metric([self._queue], value)
        return family


def exposition(metrics: WorkerMetrics) -> Callable[[], tuple[bytes, str]]:
    """A function that renders a scrape: the body and its content type. Safe from any thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(metrics)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return lambda: (generate_latest(registry), CONTENT_TYPE_LATEST)
