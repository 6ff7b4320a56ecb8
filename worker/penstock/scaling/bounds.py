"""The bounds that a demand passes on its way to a decision, in a fixed order.

`LIMITS` say how many replicas are useful and allowed, `DAMPERS` how soon the count may change. Each takes a proposal
and returns it unchanged, or another one with its own bound, reason and clause of arithmetic. Must not read a clock or
keep state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from penstock.plural import plural

from ..jobqueue.policy import QueuePolicy, StopPolicy
from .demand import Demand, jobs, replicas_holding
from .stabilization import falling, rising, samples_within
from .types import Bound, History, QueueSnapshot, ReplicaSample


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionContext:
    """The inputs of one decision. `wanted` is the demand; `highest` and `lowest` include it."""

    snapshot: QueueSnapshot
    policy: QueuePolicy
    history: History
    now: float
    wanted: int
    highest: tuple[ReplicaSample, ...] = ()
    lowest: tuple[ReplicaSample, ...] = ()

    @property
    def current(self) -> int:
        """The replicas in force, clamped to what minimum, maximum and budget allow now."""
        scaling = self.policy.scaling
        limit = min(scaling.max_replicas, budgeted(self.policy) or scaling.max_replicas)
        return min(max(self.history.desired, scaling.min_replicas), self.less_draining(limit))

    def less_draining(self, limit: int) -> int:
        """Replicas that a limit on pods allows while some pods drain, but at least `minReplicas` and at least one.

        Draining workers hold connections until they exit, so they use up part of the limit. One replica is always
        allowed: a rollout during jobs that take hours must not leave the queue without a worker.
        """
        minimum = max(1, self.policy.scaling.min_replicas)
        return max(limit - self.snapshot.draining_workers, min(limit, minimum))

    @property
    def draining_text(self) -> str:
        """Clause that names the draining workers; empty if none drains."""
        draining = self.snapshot.draining_workers
        return f" while {plural(draining, 'worker drains', 'workers drain')}" if draining else ""


@dataclass(frozen=True, slots=True)
class ReplicaProposal:
    """A replica count and the rule that set it.

    Args:
        replicas: proposed so far.
        bound: names the rule.
        reason: why, for the explanation; starts in lower case.
        arithmetic: one clause for each rule so far.
        cause: the state of the queue, as long as the demand alone set the count; empty afterwards.
    """

    replicas: int
    bound: Bound
    reason: str
    arithmetic: str
    cause: str = ""

    @classmethod
    def of(cls, demand: Demand) -> ReplicaProposal:
        """The demand itself."""
        return cls(demand.replicas, demand.bound, demand.reason, demand.arithmetic, demand.cause)

    def bounded(self, replicas: int, bound: Bound, reason: str, clause: str) -> ReplicaProposal:
        """A proposal of `replicas` instead."""
        arithmetic = f"{self.arithmetic}; {clause}: {plural(replicas, 'replica')}"
        return ReplicaProposal(replicas, bound, reason, arithmetic)

    def at_most(self, limit: int, bound: Bound, reason: str, clause: str) -> ReplicaProposal:
        """This proposal, or one of `limit` if that is less."""
        return self if self.replicas <= limit else self.bounded(limit, bound, reason, clause)

    def at_least(self, limit: int, bound: Bound, reason: str, clause: str) -> ReplicaProposal:
        """This proposal, or one of `limit` if that is more."""
        return self if self.replicas >= limit else self.bounded(limit, bound, reason, clause)


BoundCheck = Callable[[DecisionContext, ReplicaProposal], ReplicaProposal]


def budgeted(policy: QueuePolicy) -> int | None:
    """Replicas that the connection budget allows, at least one; None without a budget."""
    budget = policy.scaling.connection_budget
    return None if budget is None else budget.max_connections // budget.per_worker


def max_in_flight(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """No more replicas than the limit on claims can keep busy."""
    limits = context.policy.limits
    if limits is None or limits.max_in_flight is None:
        return proposal
    useful = -(-limits.max_in_flight // context.policy.worker.concurrency)
    clause = f"maxInFlight {limits.max_in_flight}"
    reason = f"{clause} can keep only {useful} busy ({context.wanted} wanted)"
    return proposal.at_most(useful, Bound.MAX_IN_FLIGHT, reason, clause)


def connection_budget(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """No more replicas than the database has connections for."""
    allowed = budgeted(context.policy)
    if allowed is None:
        return proposal
    limit, clause = context.less_draining(allowed), f"connectionBudget {allowed}{context.draining_text}"
    reason = f"connectionBudget allows {limit}{context.draining_text} ({context.wanted} wanted)"
    return proposal.at_most(limit, Bound.CONNECTION_BUDGET, reason, clause)


def minimum(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """`minReplicas`."""
    limit = context.policy.scaling.min_replicas
    reason = f"minReplicas is {limit} ({context.wanted} wanted)"
    return proposal.at_least(limit, Bound.MINIMUM, reason, f"minReplicas {limit}")


def maximum(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """`maxReplicas`, less the draining workers."""
    allowed, draining = context.policy.scaling.max_replicas, context.draining_text
    limit = context.less_draining(allowed)
    rule = f"maxReplicas {allowed} allows {limit}{draining}" if draining else f"maxReplicas is {allowed}"
    reason = f"{rule} ({context.wanted} wanted)"
    return proposal.at_most(limit, Bound.MAXIMUM, reason, f"maxReplicas {allowed}{draining}")


def scale_up_rate(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """The greater of both allowances, added to the replicas at the start of the period; never fewer than in force."""
    up = context.policy.scaling.scale_up
    if up.max_pods is None and up.max_percent is None:
        return proposal
    added = samples_within(context.history.added, context.now, up.period_seconds)
    base = max(0, context.history.desired - sum(sample.replicas for sample in added))
    by_percent = 0 if up.max_percent is None else max(1, base * up.max_percent // 100)
    allowed = max(context.current, base + max(up.max_pods or 0, by_percent))
    clause = f"scaleUp within {up.period_seconds} s"
    reason = f"scaleUp allows up to {allowed} within {up.period_seconds} s ({context.wanted} wanted)"
    return proposal.at_most(allowed, Bound.SCALE_UP_RATE, reason, clause)


def stabilization(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """Down only to the highest, up only to the lowest count wanted throughout the window."""
    scaling = context.policy.scaling
    if proposal.replicas < context.current:
        seconds = scaling.scale_down.stabilization_window_seconds
        highest = min(context.current, context.highest[0].replicas)
        reason = f"scale-down waits, up to {highest} wanted in the last {seconds} s ({context.wanted} wanted now)"
        return proposal.at_least(highest, Bound.STABILIZATION, reason, f"highest wanted in {seconds} s")
    seconds = scaling.scale_up.stabilization_window_seconds
    lowest = max(context.current, context.lowest[0].replicas)
    reason = f"scale-up waits, as few as {lowest} wanted in the last {seconds} s ({context.wanted} wanted now)"
    return proposal.at_most(lowest, Bound.STABILIZATION, reason, f"lowest wanted in {seconds} s")


def cooldown(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """No replica is removed for a while after one was added."""
    seconds, added_at = context.policy.scaling.scale_down.cooldown_seconds, context.history.added_at
    if added_at is None or context.now >= added_at + seconds:
        return proposal
    reason = f"scale-down waits, replicas were added in the last {seconds} s ({context.wanted} wanted)"
    return proposal.at_least(context.current, Bound.COOLDOWN, reason, f"cooldown of {seconds} s")


def stop_policy(context: DecisionContext, proposal: ReplicaProposal) -> ReplicaProposal:
    """Hold keeps the replicas in force; HoldAndDrain removes them as the jobs in flight finish, and adds none."""
    stop, current = context.policy.stop_policy, context.history.desired
    if stop is StopPolicy.NONE:
        return proposal
    if stop is StopPolicy.HOLD:
        return proposal.bounded(current, Bound.STOP_POLICY, "stopPolicy Hold", "stopPolicy Hold")
    in_flight = context.snapshot.kept_in_flight
    needed = min(current, replicas_holding(in_flight, context.policy))
    reason = f"stopPolicy HoldAndDrain, {jobs(in_flight)} in flight"
    return proposal.bounded(needed, Bound.STOP_POLICY, reason, f"stopPolicy HoldAndDrain with {in_flight} in flight")


LIMITS: Final[tuple[BoundCheck, ...]] = (max_in_flight, connection_budget, minimum, maximum, scale_up_rate)
DAMPERS: Final[tuple[BoundCheck, ...]] = (stabilization, cooldown, stop_policy)


def apply_bounds(
    bounds: tuple[BoundCheck, ...], context: DecisionContext, proposal: ReplicaProposal
) -> ReplicaProposal:
    """The proposal after each bound in turn."""
    for bound in bounds:
        proposal = bound(context, proposal)
    return proposal


def with_windows(context: DecisionContext, wanted: int) -> DecisionContext:
    """The context with `wanted` added to its stabilization windows."""
    history, scaling = context.history, context.policy.scaling
    down, up = scaling.scale_down.stabilization_window_seconds, scaling.scale_up.stabilization_window_seconds
    return replace(
        context,
        highest=falling(history.highest, context.now, wanted, down),
        lowest=rising(history.lowest, context.now, wanted, up),
    )
