"""The metrics of one worker process, and the worker's only import of prometheus_client.

Everything is counted per batch, not per job; `WorkerMetrics` keeps plain numbers and is read at each scrape.
Labels are bounded: outcomes and reasons are closed lists, tasks are those of the App and `unknown` for the rest.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from penstock.events import EVENTS
from penstock.job import Finished, OutcomeState

from ..execution.outcomes import INCOMPATIBLE
from ..execution.processes.stats import EXIT_REASONS, ProcessStats
from .distribution import Distribution
from .gauges import Gauges

JOB_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds, of waits and durations: 5 ms to an hour."""
CALL_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds, of calls to the database."""
SIZE_BOUNDS = (0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0)
"""Jobs in a claim."""
UNKNOWN_TASK = "unknown"
STAGES = ("claimer", "consumers", "acknowledger")
MAX_QUEUES = 200
"""Other queues that a label names: a rescue takes jobs of every queue back; beyond, they are `other`."""


class WorkerMetrics(Collector):
    """Numbers of one process.

    Args:
        queue: the queue that it serves.
        tasks: names of the App's tasks; their series exist from the start.
        aliases: other names of these, which count as their task.
        version: of penstock, for `penstock_build_info`.
    """

    def __init__(
        self,
        *,
        queue: str,
        tasks: Iterable[str],
        version: str,
        aliases: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._queue, self._version, self._clock = queue, version, clock
        self._tasks = frozenset(tasks)
        self._names = {**(aliases or {}), **{task: task for task in self._tasks}}
        names = sorted(self._tasks | {UNKNOWN_TASK})
        self._outcomes = Counter({(task, state.value): 0 for task in names for state in OutcomeState})
        self._dead = Counter({(queue, task): 0 for task in names})
        self._durations = {task: Distribution(JOB_BOUNDS) for task in names}
        self._waits = Distribution(JOB_BOUNDS)
        self._claims, self._acks = Distribution(CALL_BOUNDS), Distribution(CALL_BOUNDS)
        self._claim_sizes = Distribution(SIZE_BOUNDS)
        self._blocked = Counter(dict.fromkeys(names, 0))
        self._incompatible = 0
        self.events: Counter[str] = Counter(dict.fromkeys(STAGES, 0))
        """Events that each stage emitted, counted by the batch."""
        self.fenced = 0
        self.released = 0
        self.postponed = 0
        """Outcomes that were not stored at once because another transaction locked the job's row."""
        self.unstored = 0
        """Those of them that are not stored yet."""
        self.renewal_failures = 0
        self.loop_lag = 0.0
        self.last_job_at = 0.0
        self.hook_failures: Mapping[str, int] = {}
        """Calls of hooks that raised or were dropped, by event."""
        self.circuits: Callable[[], Mapping[str, int]] = dict
        """Read at each scrape: task -> 1 half-open, 2 open; those that are closed may be left out."""
        self.children = ProcessStats()
        """Of the child processes; read at each scrape."""
        self.gauges: Callable[[], Gauges] = Gauges
        """Read at each scrape: the slots, stages, lease and maintenance."""

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
        known = (queue, task) in self._dead or len({name for name, _ in self._dead}) < MAX_QUEUES
        self._dead[queue if known else "other", task] += 1

    def _label(self, task: str) -> str:
        return self._names.get(task, UNKNOWN_TASK)

    def collect(self) -> Iterator[Metric]:
        """The metric families, for a scrape."""
        yield from self._by_task()
        yield self._histogram("penstock_job_wait_seconds", "Seconds from ready to claimed.", self._waits)
        yield self._histogram("penstock_claim_seconds", "Duration of claims in seconds.", self._claims)
        yield self._histogram("penstock_claim_size", "Jobs in a claim.", self._claim_sizes)
        yield self._histogram("penstock_ack_seconds", "Duration of acknowledgements in seconds.", self._acks)
        yield self._counter("penstock_fenced", "Outcomes rejected because the claim was lost.", self.fenced)
        yield self._counter("penstock_released", "Claims released unstarted.", self.released)
        postponed = "Outcomes not stored at once because another transaction locked the job's row."
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
            "penstock_dead_letters",
            "Jobs that became dead letters, by an outcome or by a rescue of this process.",
            labels=["queue", "task"],
        )
        for (queue, task), count in list(self._dead.items()):
            dead.add_metric([queue, task], count)
        durations = HistogramMetricFamily(
            "penstock_job_duration_seconds", "Run time of attempts in seconds.", labels=["queue", "task"]
        )
        for task, distribution in self._durations.items():
            durations.add_metric([self._queue, task], *distribution.buckets())
        states = GaugeMetricFamily(
            "penstock_circuit_state",
            "Circuit breaker of a task: 0 closed, 1 half-open, 2 open.",
            labels=["queue", "task"],
        )
        blocked = CounterMetricFamily(
            "penstock_circuit_blocked",
            "Jobs deferred because the circuit of their task was open.",
            labels=["queue", "task"],
        )
        incompatible = CounterMetricFamily(
            "penstock_jobs_incompatible",
            "Jobs deferred because their arguments do not fit this release of the task.",
            labels=["queue"],
        )
        incompatible.add_metric([self._queue], self._incompatible)
        circuits = self.circuits()
        for task, count in list(self._blocked.items()):
            blocked.add_metric([self._queue, task], count)
            if task in self._tasks:
                states.add_metric([self._queue, task], circuits.get(task, 0))
        yield from (jobs, dead, durations, states, blocked, incompatible)

    def _of_children(self) -> Iterator[Metric]:
        stats = self.children
        yield self._gauge("penstock_children", "Child processes that are alive and ready.", stats.alive)
        yield self._counter("penstock_child_starts", "Child processes that were started.", stats.started)
        exits = CounterMetricFamily(
            "penstock_child_exits", "Child processes that exited, by reason.", labels=["queue", "reason"]
        )
        for reason in EXIT_REASONS:
            exits.add_metric([self._queue, reason], stats.exits[reason])
        yield exits

    def _from_gauges(self) -> Iterator[Metric]:
        now = self.gauges()
        consumers = GaugeMetricFamily("penstock_consumers", "Slots for jobs by state.", labels=["queue", "state"])
        consumers.add_metric([self._queue, "busy"], now.busy_slots)
        consumers.add_metric([self._queue, "idle"], now.idle_slots)
        demand = GaugeMetricFamily("penstock_stage_demand", "Open demand of a stage.", labels=["queue", "stage"])
        demand.add_metric([self._queue, "claimer"], now.open_demand)
        buffered = GaugeMetricFamily("penstock_stage_buffered", "Events that a stage holds.", labels=["queue", "stage"])
        buffered.add_metric([self._queue, "consumers"], now.waiting_jobs)
        buffered.add_metric([self._queue, "acknowledger"], now.unacknowledged_outcomes)
        events = CounterMetricFamily("penstock_stage_events", "Events that a stage emitted.", labels=["queue", "stage"])
        for stage in STAGES:
            events.add_metric([self._queue, stage], self.events[stage])
        rescued = CounterMetricFamily("penstock_rescued", "Claims that this process reclaimed.", labels=["reason"])
        rescued.add_metric(["lease"], now.rescued_lease)
        rescued.add_metric(["poison"], now.rescued_poison)
        rescued.add_metric(["deadline"], now.rescued_deadline)
        yield from (consumers, demand, buffered, events, rescued)
        yield from self._times(now)
        prefetching = "1 while jobs are short enough to be claimed ahead of free slots."
        yield self._gauge("penstock_prefetching", prefetching, now.prefetching)
        yield self._gauge("penstock_maintenance_leader", "1 while this process runs maintenance.", now.leading)

    def _times(self, now: Gauges) -> Iterator[Metric]:
        """Seconds of the Unix epoch: the reader of a time computes its age."""
        oldest = "When the oldest running attempt was claimed, by the clock of this process; 0: none runs."
        yield self._gauge("penstock_oldest_running_timestamp_seconds", oldest, now.oldest_running_at)
        renewed = "When the last renewal of the lease was confirmed; 0: never."
        yield self._gauge("penstock_lease_renewed_timestamp_seconds", renewed, now.lease_renewed_at)
        success = "When maintenance last finished without an error; 0: never led."
        yield self._gauge("penstock_maintenance_success_timestamp_seconds", success, now.maintenance_succeeded_at)

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
