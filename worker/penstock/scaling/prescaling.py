"""Replicas for the ticks of schedules: requested before the tick, because a pod that starts at the tick is late.

Pure arithmetic on the next tick of each schedule. Must not compute ticks, know zones or read a clock. Each tick makes
one job, so each needs one free slot at its time, in addition to the slots that the demand keeps busy.

A tick counts from `startup + margin + leadSeconds` before its time until the database shows the next tick of its
schedule. Nothing here keeps replicas afterwards: stabilization and cooldown remove them as they would any others.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from penstock.plural import plural

from ..jobqueue.policy import QueuePolicy
from .demand import Demand
from .types import Bound, History, QueueSnapshot, UpcomingTick

ASSUMED_STARTUP_SECONDS: Final = 30.0
"""Startup time of a pod until one was measured. Too early costs seconds of a pod, too late delays the job."""
MARGIN: Final = 0.25
MIN_MARGIN_SECONDS: Final = 2.0
"""Added to the learned startup time, which is a mean: a quarter of it, and at least the time of a decision, a request
to the API server and the pod's creation."""
LATE_SECONDS: Final = 30.0
"""A tick that did not fire still counts for this long: a new maintenance leader needs a lease of 15 s and a chore. A
queue whose ticks do not fire at all must not keep its replicas."""


def requested_at(tick: UpcomingTick, snapshot: QueueSnapshot, policy: QueuePolicy) -> float:
    """When replicas for this tick have to be requested, on the clock of the snapshot."""
    startup = ASSUMED_STARTUP_SECONDS if snapshot.startup_seconds is None else snapshot.startup_seconds
    margin = max(MIN_MARGIN_SECONDS, startup * MARGIN)
    window = policy.scaling.scale_up.stabilization_window_seconds  # replicas are added only after it has passed
    return tick.at - startup - margin - window - tick.lead_seconds


def kept_from(tick: UpcomingTick, snapshot: QueueSnapshot, policy: QueuePolicy) -> float:
    """From when on replicas that exist are not removed before this tick, on the clock of the snapshot.

    At least as long before it as with an unknown startup time: the first pod of a queue, started early because of that,
    teaches a shorter one, and would be removed and started again. Nor is a pod removed that is needed half a minute
    later.
    """
    assumed = tick.at - ASSUMED_STARTUP_SECONDS * (1 + MARGIN) - tick.lead_seconds
    return min(assumed, requested_at(tick, snapshot, policy))


def with_ticks(demand: Demand, snapshot: QueueSnapshot, policy: QueuePolicy, history: History, now: float) -> Demand:
    """The demand with a free slot for each tick that is near.

    Ticks that are not near enough to request replicas keep those that exist.
    A tick whose previous job still exists, under `overlap` Skip or Queue, needs no slot of its own: its job is skipped,
    or starts in the slot that the previous one leaves.
    """
    ticks = _expected(snapshot, policy, now)
    near = sum(requested_at(tick, snapshot, policy) <= now for tick in ticks)
    concurrency, existing = policy.worker.concurrency, history.replicas_at(snapshot)
    jobs = snapshot.kept_in_flight + snapshot.ready + snapshot.due_soon
    busy = min(demand.replicas * concurrency, jobs)
    requested = -(-(busy + near) // concurrency) if near else 0
    kept = min(existing, -(-(busy + len(ticks)) // concurrency)) if ticks else 0
    needed = max(requested, kept)
    if demand.replicas >= needed:
        after = demand.after_step
        return demand if after is None else replace(demand, after_step=max(after, needed))
    counted = near if requested >= kept else len(ticks)
    arithmetic = f"{demand.arithmetic}; {busy} busy + {plural(counted, 'tick')}, {concurrency} per replica"
    return Demand(needed, Bound.SCHEDULED, _text(ticks[:counted], now), f"{arithmetic}: {plural(needed, 'replica')}")


def next_change(snapshot: QueueSnapshot, policy: QueuePolicy, now: float) -> float | None:
    """When the ticks alone can change the decision next, on the clock of the snapshot; None: never."""
    times = []
    for tick in snapshot.ticks:
        asked = requested_at(tick, snapshot, policy)
        times += [kept_from(tick, snapshot, policy), asked, tick.at, tick.at + LATE_SECONDS]
    return min((at for at in times if at > now), default=None)


def _expected(snapshot: QueueSnapshot, policy: QueuePolicy, now: float) -> list[UpcomingTick]:
    """The ticks that count, those that replicas are requested for first."""
    expected = [
        tick
        for tick in snapshot.ticks
        if not tick.follows_previous and kept_from(tick, snapshot, policy) <= now < tick.at + LATE_SECONDS
    ]

    def order(tick: UpcomingTick) -> tuple[bool, float, str]:
        return requested_at(tick, snapshot, policy) > now, tick.at, tick.schedule

    return sorted(expected, key=order)


def _text(ticks: list[UpcomingTick], now: float) -> str:
    """The first tick by name; the others only counted, because a thousand may come at once."""
    first, others = ticks[0], len(ticks) - 1
    left = first.at - now
    when = f" at {first.local_time}" if first.local_time else ""
    due = f"in {left:.0f} s" if left >= 0.5 else "now"
    more = f" and {plural(others, 'more tick')}" if others else ""
    return f"for the tick of {first.schedule}{when} {due}{more}"
