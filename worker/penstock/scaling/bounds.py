"""The bounds that a demand passes on its way to a decision, in their fixed order.

`LIMITS` say how many replicas are of use and allowed, `DAMPERS` how soon. Each takes a proposal and gives back it, or
another one with its own name and a clause of the explanation. Must not read a clock or remember anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import windows
from .demand import counted, replicas_holding
from .policy import QueuePolicy, StopPolicy
from .values import Bound, History, Mark, QueueSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one decision is about. `highest` and `lowest` include what is wanted now."""

    snapshot: QueueSnapshot
    policy: QueuePolicy
    history: History
    now: float
    highest: tuple[Mark, ...] = ()
    lowest: tuple[Mark, ...] = ()

    @property
    def held(self) -> int:
        """The replicas in force, as far as minimum, maximum and budget allow them still."""
        scaling = self.policy.scaling
        most = min(scaling.max_replicas, budgeted(self.policy) or scaling.max_replicas)
        return min(max(self.history.desired, scaling.min_replicas), self.beside_draining(most))

    def beside_draining(self, limit: int) -> int:
        """Replicas that a limit on pods leaves while some drain, but `minReplicas` and one in any case.

        Draining workers run and hold connections until they exit, so they take part of the limit. One replica is
        always left: a rollout beside jobs that take hours is not to leave the queue without a worker.
        """
        least = max(1, self.policy.scaling.min_replicas)
        return max(limit - self.snapshot.draining_workers, min(limit, least))

    def draining_text(self) -> str:
        """The clause that says so, for an explanation; empty while none drains."""
        draining = self.snapshot.draining_workers
        return f" beside {counted(draining, 'draining worker')}" if draining else ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A replica count, the rule that made it, and the sentence so far."""

    replicas: int
    bound: Bound
    text: str

    def at_most(self, limit: int, bound: Bound, why: str) -> Proposal:
        """This, or `limit` if that is less."""
        return self if self.replicas <= limit else Proposal(limit, bound, f"{self.text}; {why} {limit}")

    def at_least(self, limit: int, bound: Bound, why: str) -> Proposal:
        """This, or `limit` if that is more."""
        return self if self.replicas >= limit else Proposal(limit, bound, f"{self.text}; {why} {limit}")


BoundCheck = Callable[[Case, Proposal], Proposal]


def budgeted(policy: QueuePolicy) -> int | None:
    """Replicas that the connection budget allows, at least one; None without a budget."""
    budget = policy.scaling.connection_budget
    return None if budget is None else budget.max_connections // budget.per_worker


def max_in_flight(case: Case, found: Proposal) -> Proposal:
    """Replicas beyond the limit on claims could never claim."""
    limits = case.policy.limits
    if limits is None or limits.max_in_flight is None:
        return found
    useful = -(-limits.max_in_flight // case.policy.worker.concurrency)
    return found.at_most(useful, Bound.MAX_IN_FLIGHT, f"maxInFlight {limits.max_in_flight} keeps busy")


def connection_budget(case: Case, found: Proposal) -> Proposal:
    """The database is not to refuse connections."""
    limit = budgeted(case.policy)
    if limit is None:
        return found
    why = f"connectionBudget allows{case.draining_text()}"
    return found.at_most(case.beside_draining(limit), Bound.CONNECTION_BUDGET, why)


def minimum(case: Case, found: Proposal) -> Proposal:
    """`minReplicas`."""
    return found.at_least(case.policy.scaling.min_replicas, Bound.MINIMUM, "minReplicas is")


def maximum(case: Case, found: Proposal) -> Proposal:
    """`maxReplicas`, less what drains."""
    limit, draining = case.policy.scaling.max_replicas, case.draining_text()
    why = f"maxReplicas {limit} allows{draining}" if draining else "maxReplicas is"
    return found.at_most(case.beside_draining(limit), Bound.MAXIMUM, why)


def scale_up_rate(case: Case, found: Proposal) -> Proposal:
    """The greater of both allowances on top of the replicas at the period's begin; never fewer than are in force."""
    up = case.policy.scaling.scale_up
    if up.max_pods is None and up.max_percent is None:
        return found
    added = windows.within(case.history.added, case.now, up.period_seconds)
    base = max(0, case.history.desired - sum(mark.replicas for mark in added))
    by_percent = 0 if up.max_percent is None else max(1, base * up.max_percent // 100)
    allowed = max(case.held, base + max(up.max_pods or 0, by_percent))
    return found.at_most(allowed, Bound.SCALE_UP_RATE, f"scaleUp allows within {up.period_seconds} s")


def stabilization(case: Case, found: Proposal) -> Proposal:
    """Down only to the highest, up only to the lowest of what was wanted throughout the window."""
    scaling = case.policy.scaling
    if found.replicas < case.held:
        seconds = scaling.scale_down.stabilization_window_seconds
        highest = min(case.held, case.highest[0].replicas)
        return found.at_least(highest, Bound.STABILIZATION, f"the most wanted in the last {seconds} s was")
    seconds = scaling.scale_up.stabilization_window_seconds
    lowest = max(case.held, case.lowest[0].replicas)
    return found.at_most(lowest, Bound.STABILIZATION, f"the least wanted in the last {seconds} s was")


def cooldown(case: Case, found: Proposal) -> Proposal:
    """None are removed for a while after some were added."""
    seconds, added_at = case.policy.scaling.scale_down.cooldown_seconds, case.history.added_at
    if added_at is None or case.now >= added_at + seconds:
        return found
    return found.at_least(case.held, Bound.COOLDOWN, f"some were added within {seconds} s, so there stay")


def stop_policy(case: Case, found: Proposal) -> Proposal:
    """Hold keeps what is there; HoldAndDrain goes down with the jobs in flight, and never up."""
    stop, current = case.policy.stop_policy, case.history.desired
    if stop is StopPolicy.NONE:
        return found
    if stop is StopPolicy.HOLD:
        return Proposal(current, Bound.STOP_POLICY, f"{found.text}; stopPolicy Hold keeps {current}")
    kept = min(current, replicas_holding(case.snapshot.kept_in_flight, case.policy))
    why = f"stopPolicy HoldAndDrain keeps those that hold the {case.snapshot.kept_in_flight} in flight"
    return Proposal(kept, Bound.STOP_POLICY, f"{found.text}; {why}, {kept}")


LIMITS: Final[tuple[BoundCheck, ...]] = (max_in_flight, connection_budget, minimum, maximum, scale_up_rate)
DAMPERS: Final[tuple[BoundCheck, ...]] = (stabilization, cooldown, stop_policy)


def through(row: tuple[BoundCheck, ...], case: Case, found: Proposal) -> Proposal:
    """The proposal after each bound of the row in turn."""
    for bound in row:
        found = bound(case, found)
    return found
