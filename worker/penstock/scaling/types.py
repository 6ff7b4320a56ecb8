"""Frozen values of the autoscaler: the snapshot it reads, the history it carries, the decision it returns.

No behavior beyond construction. All times are seconds on one clock of the caller's choice, monotonic or epoch; nothing
here reads a clock. A history is immutable: each decision carries the next one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Bound(enum.StrEnum):
    """The rule that set the replica count; the values of `status.decision.bound` and of the metric label."""

    IDLE = "Idle"
    """No job waits and none runs."""
    BACKLOG = "Backlog"
    """Waiting jobs per slot, used until run times are measured."""
    LATENCY = "Latency"
    """Slots needed to start the waiting jobs within the latency target."""
    UTILIZATION = "Utilization"
    """Slots that the measured arrivals keep busy, with headroom (Little's law)."""
    IN_FLIGHT = "InFlight"
    """Replicas needed for the jobs in flight."""
    ACTIVATION = "Activation"
    """A queue at zero: too few jobs to start a replica, or the first replica of a steps table."""
    STEP = "Step"
    """A step of the steps table applies, or none does."""
    STEP_PERIOD = "StepPeriod"
    """A step applies, but the last one was taken within the step period."""
    SCHEDULED = "Scheduled"
    """Free slots for the jobs of ticks that are near: their pods start before them."""
    FIXED = "Fixed"
    """Mode Fixed: `spec.replicas`."""
    MAX_IN_FLIGHT = "MaxInFlight"
    """More replicas could not claim more jobs."""
    CONNECTION_BUDGET = "ConnectionBudget"
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"
    SCALE_UP_RATE = "ScaleUpRate"
    STABILIZATION = "Stabilization"
    COOLDOWN = "Cooldown"
    STOP_POLICY = "StopPolicy"
    SIGNAL_LOST = "SignalLost"
    """The queue could not be sampled; nothing is inferred from that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpcomingTick:
    """The next tick of one schedule of the queue; it makes one job.

    Args:
        schedule: name of the schedule.
        at: when the job is enqueued, jitter included, on the clock of the snapshot; past if it has not fired yet.
        lead_seconds: how much sooner than necessary the pods have to be ready.
        local_time: the tick in the schedule's zone, for the explanation, such as "09:00"; may be empty.
        follows_previous: whether the job of the tick before still exists, and `overlap` is Skip or Queue.
    """

    schedule: str
    at: float
    lead_seconds: float = 0.0
    local_time: str = ""
    follows_previous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSnapshot:
    """One sample of one queue.

    Counts may be capped where a higher one would not change the decision. `due_soon` counts deferred jobs that become
    ready within about a pod's startup time; `in_flight` counts claimed jobs, started or not. A rate or a mean that is
    not measured is None, never 0. `startup_seconds` is the time from requesting a replica to its first claim, learned
    from earlier pods; None (not learned yet) counts as zero.

    `draining_workers` received SIGTERM: they finish the `draining_in_flight` jobs they hold and claim no more. Those
    jobs need no replica, but the workers keep their connections until they exit.

    `ticks` has the next tick of each schedule that is neither paused nor over.
    """

    ready: int
    deferred: int
    due_soon: int
    in_flight: int
    dead: int
    oldest_ready_seconds: float | None
    sampled_at: float
    arrivals_per_second: float | None = None
    completions_per_second: float | None = None
    mean_service_seconds: float | None = None
    startup_seconds: float | None = None
    draining_workers: int = 0
    draining_in_flight: int = 0
    ticks: tuple[UpcomingTick, ...] = ()

    @property
    def kept_in_flight(self) -> int:
        """Jobs in flight on workers that are not draining; at least 0, because reports of workers lag."""
        return max(0, self.in_flight - self.draining_in_flight)


@dataclass(frozen=True, slots=True)
class ReplicaSample:
    """A replica count at a time."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The facts about earlier decisions that a decision needs.

    Args:
        desired: the replica count in force; steps and rate limits are relative to it.
        sampled_at: when the last snapshot was sampled; None before the first.
        replicas_before_sample: the replica count in force when that snapshot was first evaluated. Evaluating the same
            snapshot again uses it instead of `desired`, and so gives the same result.
        added_before_sample: when replicas had last been added by then; None if that is not known.
        added_at: when replicas were last added; None if that is not known.
        stepped_at: when the last step was taken.
        highest: the counts that scale-down stabilization still has to consider; the first is the highest.
        lowest: the same for scale-up; the first is the lowest.
        added: the replicas added in the current rate period.
    """

    desired: int
    sampled_at: float | None = None
    replicas_before_sample: int = 0
    added_before_sample: float | None = None
    added_at: float | None = None
    stepped_at: float | None = None
    highest: tuple[ReplicaSample, ...] = ()
    lowest: tuple[ReplicaSample, ...] = ()
    added: tuple[ReplicaSample, ...] = ()

    def replicas_at(self, snapshot: QueueSnapshot) -> int:
        """The replica count in force when this snapshot was first evaluated."""
        return self.replicas_before_sample if snapshot.sampled_at == self.sampled_at else self.desired

    def last_added_at(self, snapshot: QueueSnapshot) -> float | None:
        """When the newest of those replicas was added; None if that is not known."""
        return self.added_before_sample if snapshot.sampled_at == self.sampled_at else self.added_at

    @classmethod
    def starting(cls, replicas: int, *, now: float, added_at: float | None = None) -> History:
        """The history of an operator that has just started and finds `replicas`.

        The replicas found count as wanted until now. A restart therefore removes none before a full stabilization
        window has passed. `added_at` is when replicas were last added, if known, for the cooldown.
        """
        current = (ReplicaSample(now, replicas),)
        return cls(desired=replicas, added_at=added_at, highest=current, lowest=current)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The replica count and the reason for it.

    Args:
        desired: replicas the queue should have now.
        wanted: replicas the queue would have without any bound.
        bound: the rule that set `desired`.
        explanation: one sentence that starts with the result.
        arithmetic: how the result was computed, one clause for each bound that changed it; empty if nothing was.
        computed_at: seconds on the clock of the snapshot.
        history: argument of the next decision.

    The same inputs give the same two texts.
    """

    desired: int
    wanted: int
    bound: Bound
    explanation: str
    computed_at: float
    history: History
    arithmetic: str = ""

    @property
    def limited(self) -> bool:
        """True if a bound keeps the replicas below what the queue wants."""
        return self.desired < self.wanted
