"""`decide` computes how many replicas a queue should have: pure, explained and replayable.

The demand of the queue passes a fixed sequence of bounds; the last one that changes the number is the decision's bound.
Reads no clock, uses no random numbers and keeps no state: the same four arguments give the same decision on any
machine, in the operator, in local mode and in a simulator.

Missing data is never read as an empty queue. Without a snapshot, or with one that is too old, the replicas in force
stay, whatever else is true.
"""

from __future__ import annotations

from typing import Final

from penstock.plural import plural

from ..jobqueue.policy import Mode, QueuePolicy, StopPolicy
from . import stabilization
from .bounds import (
    DAMPERS,
    LIMITS,
    DecisionContext,
    ReplicaProposal,
    apply_bounds,
    connection_budget,
    stop_policy,
    with_windows,
)
from .demand import demand_of
from .prescaling import with_ticks
from .types import Bound, Decision, History, QueueSnapshot, ReplicaSample

_KEEPING: Final = frozenset({Bound.STEP_PERIOD, Bound.STABILIZATION, Bound.COOLDOWN, Bound.STOP_POLICY})
"""Bounds that say "kept" if the replica count does not change."""


def decide(snapshot: QueueSnapshot | None, policy: QueuePolicy, history: History, now: float) -> Decision:
    """The replica count that this queue should have now.

    Args:
        snapshot: the latest sample of the queue; None if there is none.
        policy: the JobQueue's spec.
        history: of the last decision, or `History.starting`.
        now: seconds on the clock of `snapshot.sampled_at` and of the history.

    Returns:
        The decision; its `history` is the argument of the next call. Deciding again with it, at the same time and on
        the same snapshot, changes no replica count.
    """
    missing = _missing(snapshot, policy, now)
    fixed = policy.scaling.mode is Mode.FIXED
    if fixed and policy.stop_policy is StopPolicy.NONE:
        return _fixed(policy, history, now, 0 if snapshot is None or missing else snapshot.draining_workers)
    if snapshot is None or missing is not None:
        return _kept(history, now, missing or "")
    if fixed:
        context = DecisionContext(
            snapshot=snapshot, policy=policy, history=history, now=now, wanted=policy.replicas or 0
        )
        return _decision(context, stop_policy(context, _fixed_proposal(policy)))
    demand = with_ticks(demand_of(snapshot, policy, history, now), snapshot, policy, history, now)
    context = DecisionContext(snapshot=snapshot, policy=policy, history=history, now=now, wanted=demand.replicas)
    proposal = apply_bounds(LIMITS, context, ReplicaProposal.of(demand))
    after_step = demand.after_step  # a step that is not due yet counts as wanted already
    context = with_windows(context, proposal.replicas if after_step is None else min(proposal.replicas, after_step))
    return _decision(context, apply_bounds(DAMPERS, context, proposal))


def _missing(snapshot: QueueSnapshot | None, policy: QueuePolicy, now: float) -> str | None:
    after = policy.scaling.on_signal_loss.after_seconds
    if snapshot is None:
        return "the queue could not be sampled"
    if now - snapshot.sampled_at > after:
        return f"the last sample of the queue is older than {after} s"
    return None


def _kept(history: History, now: float, why: str) -> Decision:
    return Decision(
        desired=history.desired,
        wanted=history.desired,
        bound=Bound.SIGNAL_LOST,
        explanation=f"{plural(history.desired, 'replica')} kept: {why}.",
        computed_at=now,
        history=history,
    )


def _fixed_proposal(policy: QueuePolicy) -> ReplicaProposal:
    replicas = policy.replicas or 0
    arithmetic = f"spec.replicas {replicas}: {plural(replicas, 'replica')}"
    return ReplicaProposal(replicas, Bound.FIXED, "set by spec.replicas (mode Fixed)", arithmetic)


def _fixed(policy: QueuePolicy, history: History, now: float, draining: int) -> Decision:
    """Mode Fixed needs no sample of the queue: the drain protects the jobs in flight."""
    empty = QueueSnapshot(
        ready=0,
        deferred=0,
        due_soon=0,
        in_flight=0,
        dead=0,
        oldest_ready_seconds=None,
        sampled_at=now,
        draining_workers=draining,
    )
    context = DecisionContext(snapshot=empty, policy=policy, history=history, now=now, wanted=policy.replicas or 0)
    return _decision(context, connection_budget(context, _fixed_proposal(policy)))


def _decision(context: DecisionContext, proposal: ReplicaProposal) -> Decision:
    return Decision(
        desired=proposal.replicas,
        wanted=context.wanted,
        bound=proposal.bound,
        explanation=_explanation(proposal, context.history.desired),
        arithmetic=f"{proposal.arithmetic}.",
        computed_at=context.now,
        history=_next(context, proposal.replicas),
    )


def _explanation(proposal: ReplicaProposal, current: int) -> str:
    """One sentence that starts with the result, or with the jobs that start a queue from zero."""
    replicas = plural(proposal.replicas, "replica")
    if proposal.cause and current == 0 and proposal.replicas > 0:
        return f"{proposal.cause[:1].upper()}{proposal.cause[1:]}: scaling up from zero to {replicas}."
    kept = " kept" if proposal.bound in _KEEPING and proposal.replicas == current else ""
    return f"{replicas}{kept}: {proposal.reason}."


def _next(context: DecisionContext, desired: int) -> History:
    history, now, scaling = context.history, context.now, context.policy.scaling
    added = stabilization.samples_within(history.added, now, scaling.scale_up.period_seconds)
    changed, more = desired != history.desired, desired - history.desired
    current = (ReplicaSample(now, desired),)
    return History(
        desired=desired,
        sampled_at=context.snapshot.sampled_at,
        replicas_before_sample=history.replicas_at(context.snapshot),
        added_before_sample=history.last_added_at(context.snapshot),
        added_at=now if more > 0 else history.added_at,
        stepped_at=now if changed and scaling.steps else history.stepped_at,
        # A queue that leaves mode Fixed starts with a full window in which the replicas found were wanted.
        highest=context.highest or current,
        lowest=context.lowest or current,
        added=(*added, ReplicaSample(now, more)) if more > 0 else added,
    )
