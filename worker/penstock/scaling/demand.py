"""Replicas that one queue wants, before any bound: from its latency target or from its steps table.

Pure arithmetic on a snapshot. Must not read minimum, maximum, windows or limits: `decide` applies those.

Jobs in flight beyond the slots of the replicas in force are claimed but not started (maxDemand above the concurrency).
They count as waiting, not as running.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from penstock.plural import plural

from ..jobqueue.policy import QueuePolicy, Step
from .drain_time import WaitingJobs
from .types import Bound, History, QueueSnapshot

MIN_SERVICE_SECONDS: Final = 1e-6
"""Lower bound of the mean run time; it keeps quotients finite."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Replicas wanted and why.

    Args:
        replicas: wanted now.
        bound: names the rule.
        cause: the state of the queue that explains it, such as "3 jobs running, 12 waiting".
        arithmetic: the computation; ends with the replica count.
        target: what the rule aims for, in words; empty if it has no target.
        after_step: what a step that is not due yet will ask for; None otherwise.
    """

    replicas: int
    bound: Bound
    cause: str
    arithmetic: str
    target: str = ""
    after_step: int | None = None

    @property
    def reason(self) -> str:
        """Cause and target, for the explanation."""
        return f"{self.cause} (target: {self.target})" if self.target else self.cause


def demand_of(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    """The replicas that the queue wants in mode Auto."""
    scaling = policy.scaling
    waiting = snapshot.ready + snapshot.due_soon
    if history.replicas_at(snapshot) == 0 and snapshot.kept_in_flight == 0 and waiting <= scaling.activation.threshold:
        if waiting == 0:
            return _idle_demand()
        cause = f"{jobs(waiting)} waiting, not above activation.threshold {scaling.activation.threshold}"
        return Demand(0, Bound.ACTIVATION, cause, f"{waiting} waiting <= {scaling.activation.threshold}: 0 replicas")
    by = _by_steps if scaling.steps else _by_target
    return _at_least_for_jobs(by(snapshot, policy, history, now), snapshot, policy)


def jobs(count: int) -> str:
    """`no jobs`, `1 job`, `2 jobs`."""
    return plural(count, "job") if count else "no jobs"


def replicas_holding(in_flight: int, policy: QueuePolicy) -> int:
    """The minimum number of replicas that can hold so many jobs in flight."""
    return -(-in_flight // policy.worker.holds_at_most)


def _idle_demand() -> Demand:
    return Demand(0, Bound.IDLE, "no jobs waiting or running", "0 jobs: 0 replicas")


def _at_least_for_jobs(wanted: Demand, snapshot: QueueSnapshot, policy: QueuePolicy) -> Demand:
    """One replica while there is work, and as many as the claimed jobs need."""
    waiting, in_flight = snapshot.ready + snapshot.due_soon, snapshot.kept_in_flight
    needed = max(replicas_holding(in_flight, policy), 1 if waiting or in_flight else 0)
    if wanted.replicas >= needed:
        return wanted if wanted.after_step is None else replace(wanted, after_step=max(wanted.after_step, needed))
    if in_flight:
        bound, cause, why = Bound.IN_FLIGHT, f"{jobs(in_flight)} in flight", f"{in_flight} in flight"
    else:
        bound, cause, why = Bound.BACKLOG, f"{jobs(waiting)} waiting", f"{waiting} waiting"
    return Demand(needed, bound, cause, f"{wanted.arithmetic}; {why}: {plural(needed, 'replica')}")


def _by_target(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    """Slots that run plus slots that must start, divided by the slots of one replica."""
    concurrency, per_slot = policy.worker.concurrency, policy.scaling.target.jobs_per_slot
    running = min(snapshot.kept_in_flight, history.replicas_at(snapshot) * concurrency)
    waiting = snapshot.ready + snapshot.due_soon + snapshot.kept_in_flight - running
    service = snapshot.mean_service_seconds
    if running == 0 and waiting == 0:
        return _idle(snapshot, policy)
    if service is None or not 0 < service < math.inf:
        text = f"{_running(running, snapshot)} + {waiting} waiting at {per_slot} per slot"
        replicas, arithmetic = _replicas(running + -(-waiting // per_slot), concurrency, text)
        target = f"{plural(per_slot, 'job')} per slot until run times are known"
        return Demand(replicas, Bound.BACKLOG, _state(running, waiting), arithmetic, target)
    return _by_latency(snapshot, policy, history, now, running=running)


def _by_latency(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float, *, running: int) -> Demand:
    """Drain time for the jobs that wait, Little's law for those that keep arriving; the greater one counts."""
    service = max(MIN_SERVICE_SECONDS, snapshot.mean_service_seconds or 0.0)
    target, concurrency = policy.scaling.target, policy.worker.concurrency
    queue = WaitingJobs(
        ready=snapshot.ready + snapshot.kept_in_flight - running,
        due_soon=snapshot.due_soon,
        service=service * 100 / target.utilization_percent,
        target=float(target.queue_latency_seconds),
        waited=snapshot.oldest_ready_seconds or 0.0,
        startup=snapshot.startup_seconds or 0.0,
    )
    starting = max(0, history.replicas_at(snapshot) * concurrency - running)
    added_at = history.last_added_at(snapshot)
    drain = running + queue.slots_needed(running, starting, since=math.inf if added_at is None else now - added_at)
    load = (snapshot.arrivals_per_second or 0.0) * service * 100 / target.utilization_percent
    if load > drain:
        replicas, arithmetic = _replicas(load, concurrency, _load_text(snapshot, policy))
        return _by_utilization(replicas, arithmetic, snapshot, policy)
    waiting = queue.ready + queue.due_soon
    spent = f" ({queue.startup:.3g} s of it to start a replica)" if queue.startup else ""
    text = (
        f"{_running(running, snapshot)} + {waiting} waiting of {service:.3g} s each to start within "
        f"{queue.seconds_left:.3g} s{spent} at {target.utilization_percent} % utilization"
    )
    replicas, arithmetic = _replicas(drain, concurrency, text)
    goal = f"start within {target.queue_latency_seconds} s"
    return Demand(replicas, Bound.LATENCY, _state(running, waiting), arithmetic, goal)


def _idle(snapshot: QueueSnapshot, policy: QueuePolicy) -> Demand:
    """No job waits and none runs: only replicas that the arrivals keep fully busy are worth keeping.

    Rounding up here would keep one replica forever for one short job an hour.
    """
    load = (snapshot.arrivals_per_second or 0.0) * (snapshot.mean_service_seconds or 0.0)
    kept = math.floor(load * 100 / policy.scaling.target.utilization_percent / policy.worker.concurrency)
    if kept > 0:
        text = f"{_load_text(snapshot, policy)}, full replicas only: {plural(kept, 'replica')}"
        return _by_utilization(kept, text, snapshot, policy)
    return _idle_demand()


def _by_utilization(replicas: int, arithmetic: str, snapshot: QueueSnapshot, policy: QueuePolicy) -> Demand:
    rate, service = snapshot.arrivals_per_second or 0.0, snapshot.mean_service_seconds or 0.0
    cause = f"{rate:.3g} jobs/s arriving, {service:.3g} s each"
    goal = f"{policy.scaling.target.utilization_percent} % utilization"
    return Demand(replicas, Bound.UTILIZATION, cause, arithmetic, goal)


def _state(running: int, waiting: int) -> str:
    if running:
        return f"{jobs(running)} running, {f'{waiting:,}' if waiting else 'none'} waiting"
    return f"{jobs(waiting)} waiting"


def _running(running: int, snapshot: QueueSnapshot) -> str:
    """Jobs that keep slots, and those that do not: draining workers finish theirs without a replica."""
    draining = snapshot.draining_in_flight
    return f"{running} running" + (f" (and {draining} on draining workers)" if draining else "")


def _load_text(snapshot: QueueSnapshot, policy: QueuePolicy) -> str:
    rate, service = snapshot.arrivals_per_second or 0.0, snapshot.mean_service_seconds or 0.0
    return f"{rate:.3g} arrivals/s of {service:.3g} s each at {policy.scaling.target.utilization_percent} % utilization"


def _replicas(slots: float, concurrency: int, text: str) -> tuple[int, str]:
    # The tiny allowance keeps a float's last bit from asking for one more replica than the arithmetic does.
    count = math.ceil(slots / concurrency - 1e-9)
    needed = math.ceil(slots - 1e-9)
    return count, f"{text}: {plural(needed, 'slot')}, {concurrency} per replica: {plural(count, 'replica')}"


def _by_steps(snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    current = history.desired
    if current == 0:
        there = snapshot.ready + snapshot.due_soon + snapshot.kept_in_flight
        return Demand(1, Bound.ACTIVATION, f"{jobs(there)} waiting", f"{there} waiting at zero replicas: 1 replica")
    step = _matching(policy.scaling.steps, snapshot.ready)
    ready = f"{jobs(snapshot.ready)} ready"
    if step is None:
        text = f"depth {snapshot.ready} matches no step: {plural(current, 'replica')}"
        return Demand(current, Bound.STEP, f"{ready}, which matches no step", text)
    side = f"above {step.above}" if step.above is not None else f"below {step.below}"
    wanted = max(0, current + step.change)
    change = f"depth {snapshot.ready} is {side}: {current} {step.change:+d}"
    period = policy.scaling.step_period_seconds
    if history.stepped_at is not None and now < history.stepped_at + period:
        cause = f"{ready}, {side}, but the last step was less than {period} s ago"
        text = f"{change}, not within {period} s of a step: {plural(current, 'replica')}"
        return Demand(current, Bound.STEP_PERIOD, cause, text, after_step=min(current, wanted))
    cause = f"{ready}, {side}: step of {step.change:+d} from {current}"
    return Demand(wanted, Bound.STEP, cause, f"{change} = {plural(wanted, 'replica')}")


def _matching(steps: tuple[Step, ...], depth: int) -> Step | None:
    """The step that applies, whatever the order in which steps are written."""
    above = [step for step in steps if step.above is not None and depth > step.above]
    below = [step for step in steps if step.below is not None and depth < step.below]
    if above:
        return max(above, key=lambda step: step.above or 0)
    return min(below, key=lambda step: step.below or 0) if below else None
