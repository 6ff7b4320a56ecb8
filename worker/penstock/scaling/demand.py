"""How many replicas one queue wants, before any bound: from its target, from its steps table, or by hand.

Pure arithmetic on a snapshot. Must not look at minimum, maximum, windows or limits; those are `decide`'s.

Surprising: jobs in flight beyond the slots of the replicas in force are held by workers unstarted (demand above the
concurrency), so they count as waiting, not as running.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from .latency import Waiting
from .policy import QueuePolicy, Step
from .values import Bound, History, QueueSnapshot

SHORTEST_SERVICE_SECONDS: Final = 1e-6
"""A shorter mean run time counts as this, so that no quotient leaves the numbers."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Replicas wanted, the reason's name and its arithmetic.

    `verdict` is what the stabilisation window remembers: it differs from `replicas` only while a step is not yet due.
    """

    replicas: int
    bound: Bound
    text: str
    verdict: int


def demand_of(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    """What the queue wants in mode Auto."""
    scaling = policy.scaling
    waiting = snapshot.ready + snapshot.due_soon
    if history.desired == 0 and snapshot.kept_in_flight == 0 and waiting <= scaling.activation.threshold:
        if waiting == 0:
            return _plain(0, Bound.IDLE, "no job is ready or in flight")
        return _plain(0, Bound.ACTIVATION, f"{counted(waiting, 'job')} waiting are within activation.threshold")
    by = _by_steps if scaling.steps else _by_target
    wanted = by(snapshot, policy, history, now)
    return _kept_by_jobs(wanted, snapshot, policy)


def counted(count: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def replicas_holding(in_flight: int, policy: QueuePolicy) -> int:
    """The fewest replicas that can hold so many jobs in flight."""
    return -(-in_flight // policy.worker.holds_at_most)


def _plain(replicas: int, bound: Bound, text: str) -> Demand:
    return Demand(replicas, bound, f"{text}: {counted(replicas, 'replica')}", replicas)


def _kept_by_jobs(wanted: Demand, snapshot: QueueSnapshot, policy: QueuePolicy) -> Demand:
    waiting = snapshot.ready + snapshot.due_soon
    least = max(replicas_holding(snapshot.kept_in_flight, policy), 1 if waiting or snapshot.kept_in_flight else 0)
    if wanted.replicas >= least:
        return replace(wanted, verdict=max(wanted.verdict, least))
    bound, why = (
        (Bound.IN_FLIGHT, f"{counted(snapshot.kept_in_flight, 'job')} in flight keep")
        if snapshot.kept_in_flight
        else (Bound.BACKLOG, f"{counted(waiting, 'job')} waiting keep")
    )
    return Demand(least, bound, f"{wanted.text}; {why} {least}", least)


def _by_target(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    """Slots that run plus slots that must start, over the slots of one replica."""
    concurrency = policy.worker.concurrency
    running = min(snapshot.kept_in_flight, history.met_by(snapshot) * concurrency)
    waiting = snapshot.ready + snapshot.due_soon + snapshot.kept_in_flight - running
    service = snapshot.mean_service_seconds
    if running == 0 and waiting == 0:
        return _idle(snapshot, policy)
    if service is None or not 0 < service < math.inf:
        starting = -(-waiting // policy.scaling.target.jobs_per_slot)
        text = f"{_running(running, snapshot)} + {waiting} waiting at {policy.scaling.target.jobs_per_slot} per slot"
        return _replicas(running + starting, concurrency, Bound.BACKLOG, text)
    return _by_latency(snapshot, policy, history, now, running=running)


def _by_latency(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float, *, running: int) -> Demand:
    """Drain time for what waits, Little's law for what keeps coming; the greater counts."""
    service = max(SHORTEST_SERVICE_SECONDS, snapshot.mean_service_seconds or 0.0)
    target, concurrency = policy.scaling.target, policy.worker.concurrency
    queue = Waiting(
        jobs=snapshot.ready + snapshot.kept_in_flight - running,
        due=snapshot.due_soon,
        service=service * 100 / target.utilization_percent,
        latency=float(target.queue_latency_seconds),
        waited=snapshot.oldest_ready_seconds or 0.0,
        startup=snapshot.startup_seconds or 0.0,
    )
    starting = max(0, history.met_by(snapshot) * concurrency - running)
    added_at = history.newest_met_by(snapshot)
    drain = running + queue.slots(running, starting, since=math.inf if added_at is None else now - added_at)
    load = (snapshot.arrivals_per_second or 0.0) * service * 100 / target.utilization_percent
    if load > drain:
        return _replicas(load, concurrency, Bound.UTILIZATION, _load_text(snapshot, policy))
    waiting = queue.jobs + queue.due
    spent = f" ({queue.startup:.3g} s of it to start a replica)" if queue.startup else ""
    held = _running(running, snapshot)
    text = f"{held} + {waiting} waiting of {service:.3g} s each to start within {queue.left:.3g} s{spent}"
    return _replicas(drain, concurrency, Bound.LATENCY, f"{text} at {target.utilization_percent} % utilization")


def _idle(snapshot: QueueSnapshot, policy: QueuePolicy) -> Demand:
    """Nothing waits and nothing runs: only replicas that the arrivals keep wholly busy are worth keeping.

    Rounding up here would keep one replica for ever for one short job an hour.
    """
    load = (snapshot.arrivals_per_second or 0.0) * (snapshot.mean_service_seconds or 0.0)
    kept = math.floor(load * 100 / policy.scaling.target.utilization_percent / policy.worker.concurrency)
    if kept > 0:
        return _plain(kept, Bound.UTILIZATION, f"{_load_text(snapshot, policy)} keep whole replicas busy")
    return _plain(0, Bound.IDLE, "no job is ready or in flight")


def _running(running: int, snapshot: QueueSnapshot) -> str:
    """What keeps slots, and what does not: draining workers finish their jobs without a replica of their own."""
    draining = snapshot.draining_in_flight
    return f"{running} in flight" + (f" (beside {draining} on draining workers)" if draining else "")


def _load_text(snapshot: QueueSnapshot, policy: QueuePolicy) -> str:
    rate, service = snapshot.arrivals_per_second or 0.0, snapshot.mean_service_seconds or 0.0
    return f"{rate:.3g} arrivals/s of {service:.3g} s each at {policy.scaling.target.utilization_percent} % utilization"


def _replicas(slots: float, concurrency: int, bound: Bound, text: str) -> Demand:
    # The tiny allowance keeps a float's last bit from asking for one more replica than the arithmetic does.
    count = math.ceil(slots / concurrency - 1e-9)
    needed = math.ceil(slots - 1e-9)
    return _plain(count, bound, f"{text} need {counted(needed, 'slot')}, {concurrency} per replica")


def _by_steps(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    current = history.desired
    if current == 0:
        there = snapshot.ready + snapshot.due_soon + snapshot.kept_in_flight
        return _plain(1, Bound.ACTIVATION, f"{counted(there, 'job')} end the rest at zero")
    step = _matching(policy.scaling.steps, snapshot.ready)
    if step is None:
        return _plain(current, Bound.STEP, f"depth {snapshot.ready} matches no step")
    side = f"above {step.above}" if step.above is not None else f"below {step.below}"
    wanted = max(0, current + step.change)
    period = policy.scaling.step_period_seconds
    if history.stepped_at is not None and now < history.stepped_at + period:
        text = f"depth {snapshot.ready} is {side}, but a step was taken within {period} s"
        return replace(_plain(current, Bound.STEP_PERIOD, text), verdict=min(current, wanted))
    return _plain(wanted, Bound.STEP, f"depth {snapshot.ready} is {side}, so {step.change:+d} to {current}")


def _matching(steps: tuple[Step, ...], depth: int) -> Step | None:
    """The line that counts; the order in which lines are written does not."""
    above = [step for step in steps if step.above is not None and depth > step.above]
    below = [step for step in steps if step.below is not None and depth < step.below]
    if above:
        return max(above, key=lambda step: step.above or 0)
    return min(below, key=lambda step: step.below or 0) if below else None
