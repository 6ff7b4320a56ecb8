"""Frozen values of the autoscaler: what it sees, what it remembers, what it answers.

No behaviour beyond construction. All times are seconds on one clock of the caller's choice, monotonic or epoch; nothing
here reads a clock. A history is never changed: each decision carries the next one.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Bound(enum.StrEnum):
    """The rule that won a decision; the words of `status.decision.bound` and of the metric label."""

    IDLE = "Idle"
    """Nothing waits, nothing runs."""
    BACKLOG = "Backlog"
    """Waiting jobs per slot, while no rates are measured."""
    LATENCY = "Latency"
    """What must start now to meet the latency target."""
    UTILIZATION = "Utilization"
    """What the measured arrivals keep busy, with headroom (Little's law)."""
    IN_FLIGHT = "InFlight"
    """Replicas that hold jobs stay."""
    ACTIVATION = "Activation"
    """The way from zero: too few jobs to start, or enough."""
    STEP = "Step"
    """A line of the steps table."""
    STEP_PERIOD = "StepPeriod"
    """A step was taken a moment ago."""
    FIXED = "Fixed"
    """Somebody decided by hand."""
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
    """The queue cannot be looked at; nothing is inferred from that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSnapshot:
    """One look at one queue.

    Counts may be capped where more would decide nothing. `due_soon` are deferred jobs that will be ready within about a
    pod's start; `in_flight` are claimed jobs, started or not. A rate or a mean that is not measured is None, never 0.
    `startup_seconds` is the time from wanting a replica to its first claim, as learnt from those before; None, not
    learnt yet, counts as none.

    `draining_workers` got their SIGTERM: they finish the `draining_in_flight` jobs that they hold and take no more, so
    those jobs need no replica, but the workers keep their connections until they exit.
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

    @property
    def kept_in_flight(self) -> int:
        """Jobs held by workers that can be kept; what draining workers report may lag behind the count."""
        return max(0, self.in_flight - self.draining_in_flight)


@dataclass(frozen=True, slots=True)
class Mark:
    """A replica count at a time."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What decisions must remember of those before.

    `desired` is the replica count in force; steps and limits are relative to it. `highest` and `lowest` are what the
    stabilisation windows look back on, kept as short as they can be: their replicas fall, or rise, with time. `added`
    are the replicas added in the current rate period. `found` is the replica count that the snapshot sampled at
    `judged_at` met, and `found_added_at` when the last of them had been added, so that the same snapshot, judged again,
    is judged alike.
    """

    desired: int
    found: int = 0
    found_added_at: float | None = None
    judged_at: float | None = None
    added_at: float | None = None
    stepped_at: float | None = None
    highest: tuple[Mark, ...] = ()
    lowest: tuple[Mark, ...] = ()
    added: tuple[Mark, ...] = ()

    def met_by(self, snapshot: QueueSnapshot) -> int:
        """The replicas in force when this snapshot was first judged."""
        return self.found if snapshot.sampled_at == self.judged_at else self.desired

    def newest_met_by(self, snapshot: QueueSnapshot) -> float | None:
        """When the newest of those replicas had been added; None if that is not known."""
        return self.found_added_at if snapshot.sampled_at == self.judged_at else self.added_at

    @classmethod
    def starting(cls, replicas: int, *, now: float, added_at: float | None = None) -> History:
        """The history of somebody who has just come and finds `replicas`.

        The replicas found count as wanted until now, so a restart removes nothing before a whole stabilisation window
        has passed. `added_at` is when replicas were last added, if that is known, for the cooldown.
        """
        mark = (Mark(now, replicas),)
        return cls(desired=replicas, added_at=added_at, highest=mark, lowest=mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas, and why.

    `wanted` is what the queue alone would have, before bounds. `explanation` is one sentence with the arithmetic; the
    same inputs give the same sentence. `history` is what the next decision takes.
    """

    desired: int
    wanted: int
    bound: Bound
    explanation: str
    computed_at: float
    history: History

    @property
    def limited(self) -> bool:
        """Whether a bound keeps the replicas below what the queue wants."""
        return self.desired < self.wanted
