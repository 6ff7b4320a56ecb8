"""Schedules in `penstock dev`: those of the manifests, declared while a session runs, and the next ticks of all.

Owns what the operator does with `spec.schedules` in a cluster. Maintenance fires the ticks, also while no worker runs.
Schedules of code are declared by the workers. A session that ends withdraws those of the manifests: they would go on
ticking in a database that others use.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence

from penstock.errors import InvalidSchedule, StoreError
from penstock.jobqueue.policy import QueuePolicy
from penstock.jobqueue.schedule_spec import schedule_entries
from penstock.scaling.types import UpcomingTick
from penstock.schedules import Schedule, local_time, parse
from penstock.store import Store
from penstock.store.schedules import ScheduleRow


def manifest_schedules(policy: QueuePolicy) -> list[Schedule]:
    """The schedules of a manifest.

    Raises:
        InvalidSchedule: an entry is wrong; its message names the schedule.
    """
    return [parse(entry, queue=policy.queue_name) for entry in schedule_entries(policy.schedules)]


@contextlib.asynccontextmanager
async def declared_schedules(
    store: Store,
    policies: Sequence[QueuePolicy],
    earlier: Container[str],
    ours: Callable[[], Awaitable[Container[str]]],
) -> AsyncIterator[None]:
    """Declare the schedules of the manifests while the block runs.

    Args:
        store: open.
        policies: of the queues that this session has declared.
        earlier: queues that an earlier session declared; if it was killed, its schedules still stand.
        ours: returns the queues whose declaration is still this session's; schedules of the others are not withdrawn.

    Raises:
        InvalidSchedule: an entry is wrong.
        StoreError: the database refused them.
    """
    manifests = {policy.queue_name: manifest_schedules(policy) for policy in policies}
    declared: list[str] = []
    try:
        for queue, schedules in manifests.items():
            if schedules:
                declared.append(queue)
            if schedules or queue in earlier:
                await store.schedules.declare(queue, "jobqueue", schedules)
        yield
    finally:
        still_ours = await ours()
        for queue in declared:
            if queue in still_ours:
                with contextlib.suppress(StoreError):  # the next session declares its own
                    await store.schedules.declare(queue, "jobqueue", [])


def ticks_by_queue(rows: Sequence[ScheduleRow], now: float) -> dict[str, tuple[UpcomingTick, ...]]:
    """The next tick of each schedule that is not paused, by queue.

    Args:
        rows: just read; their `now` is the database's clock.
        now: the autoscaler's clock at that time, in monotonic seconds.
    """
    found: dict[str, tuple[UpcomingTick, ...]] = {}
    for row in rows:
        if row.next_at is None or row.paused:
            continue
        tick = UpcomingTick(
            schedule=row.name,
            at=now + (row.next_at - row.now).total_seconds(),
            lead_seconds=float(row.lead_seconds),
            local_time=_shown(row),
            follows_previous=row.follows_previous,
        )
        found[row.queue] = (*found.get(row.queue, ()), tick)
    return found


def _shown(row: ScheduleRow) -> str:
    """The local time of the next tick; empty if this system does not know the zone."""
    try:
        return "" if row.next_at is None else local_time(row.next_at, row.zone)
    except InvalidSchedule:
        return ""
