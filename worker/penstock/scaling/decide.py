"""How many replicas a queue should have: `decide`, pure, explained and replayable.

The demand of the queue passes a fixed row of bounds; the last one that changes the number is the decision's bound.
Reads no clock, draws no chance, keeps nothing: the same four arguments give the same decision on any machine, in the
operator, in local mode and in a simulator.

Surprising: missing data is never read as an empty queue. Without a snapshot, or with one that is too old, the replicas
in force stay, whatever else is true.
"""

from __future__ import annotations

from dataclasses import replace

from . import windows
from .bounds import DAMPERS, LIMITS, Case, Proposal, connection_budget, stop_policy, through
from .demand import Demand, counted, demand_of
from .policy import Mode, QueuePolicy, StopPolicy
from .values import Bound, Decision, History, Mark, QueueSnapshot


def decide(snapshot: QueueSnapshot | None, policy: QueuePolicy, history: History, now: float) -> Decision:
    """The replica count that this queue should have now.

    Args:
        snapshot: the latest look at the queue; None if there is none.
        policy: what the JobQueue says.
        history: of the last decision, or `History.starting`.
        now: seconds on the clock of `snapshot.sampled_at` and of the history.

    Returns:
        The decision; its `history` goes into the next call. Deciding again with it, at the same time and on the same
        snapshot, changes no replica count.
    """
    lost = _lost(snapshot, policy, now)
    by_hand = policy.scaling.mode is Mode.FIXED
    if by_hand and policy.stop_policy is StopPolicy.NONE:
        return _fixed(policy, history, now, 0 if snapshot is None or lost else snapshot.draining_workers)
    if snapshot is None or lost is not None:
        return _held(history, now, lost or "")
    case = Case(snapshot=snapshot, policy=policy, history=history, now=now)
    if by_hand:
        found = stop_policy(case, _by_hand(policy))
        return _decision(case, policy.replicas or 0, found)
    demand = demand_of(snapshot, policy, history, now)
    found = through(LIMITS, case, Proposal(demand.replicas, demand.bound, demand.text))
    case = _remembering(case, demand, found)
    return _decision(case, demand.replicas, through(DAMPERS, case, found))


def _lost(snapshot: QueueSnapshot | None, policy: QueuePolicy, now: float) -> str | None:
    after = policy.scaling.on_signal_loss.after_seconds
    if snapshot is None:
        return "The queue could not be looked at"
    if now - snapshot.sampled_at > after:
        return f"The last look at the queue is older than {after} s"
    return None


def _held(history: History, now: float, why: str) -> Decision:
    return Decision(
        desired=history.desired,
        wanted=history.desired,
        bound=Bound.SIGNAL_LOST,
        explanation=f"{why}, so the {counted(history.desired, 'replica')} in force stay.",
        computed_at=now,
        history=history,
    )


def _by_hand(policy: QueuePolicy) -> Proposal:
    replicas = policy.replicas or 0
    return Proposal(replicas, Bound.FIXED, f"mode Fixed with spec.replicas {replicas}")


def _fixed(policy: QueuePolicy, history: History, now: float, draining: int) -> Decision:
    """What somebody wrote needs no look at the queue: the drain protects the jobs in flight."""
    blind = QueueSnapshot(
        ready=0, deferred=0, due_soon=0, in_flight=0, dead=0, oldest_ready_seconds=None, sampled_at=now,
        draining_workers=draining,
    )  # fmt: skip
    case = Case(snapshot=blind, policy=policy, history=history, now=now)
    return _decision(case, policy.replicas or 0, connection_budget(case, _by_hand(policy)))


def _remembering(case: Case, demand: Demand, found: Proposal) -> Case:
    """The case with what is wanted now in its windows; a step that is not due yet counts as wanted already."""
    scaling, history = case.policy.scaling, case.history
    wanted = found.replicas if demand.verdict == demand.replicas else min(found.replicas, demand.verdict)
    down, up = scaling.scale_down.stabilization_window_seconds, scaling.scale_up.stabilization_window_seconds
    return replace(
        case,
        highest=windows.falling(history.highest, case.now, wanted, down),
        lowest=windows.rising(history.lowest, case.now, wanted, up),
    )


def _decision(case: Case, wanted: int, found: Proposal) -> Decision:
    sentence = f"{found.text[:1].upper()}{found.text[1:]}."
    return Decision(
        desired=found.replicas,
        wanted=wanted,
        bound=found.bound,
        explanation=sentence,
        computed_at=case.now,
        history=_next(case, found.replicas),
    )


def _next(case: Case, desired: int) -> History:
    history, now, scaling = case.history, case.now, case.policy.scaling
    added = windows.within(history.added, now, scaling.scale_up.period_seconds)
    changed, more = desired != history.desired, desired - history.desired
    in_force = (Mark(now, desired),)
    return History(
        desired=desired,
        found=history.met_by(case.snapshot),
        found_added_at=history.newest_met_by(case.snapshot),
        judged_at=case.snapshot.sampled_at,
        added_at=now if more > 0 else history.added_at,
        stepped_at=now if changed and scaling.steps else history.stepped_at,
        # Whoever leaves mode Fixed starts with a whole window in which the replicas found were wanted.
        highest=case.highest or in_force,
        lowest=case.lowest or in_force,
        added=(*added, Mark(now, more)) if more > 0 else added,
    )
