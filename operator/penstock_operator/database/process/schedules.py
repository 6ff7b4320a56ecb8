"""Schedules in the process of one database: declares a JobQueue's, and lists those of its queues.

Expressions come from tenants, so they are parsed here: what one costs is bounded by the limits of this process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from penstock.errors import InvalidSchedule
from penstock.schedules import describe, local_time, parse, ticks_after
from penstock.schedules.zones import zone_of
from penstock.store import QueueState, Store
from penstock.store.schedules import ScheduleRow
from penstock.task_digests import has_task

from ...resources.queue_schedules import MAX_SHOWN, SHOWN_TICKS, QueueSchedule, ScheduleFigures, Sentence

MAX_SCHEDULES: Final = 10_000
"""Schedules of all queues in one answer; the rest is left out."""
MAX_DIGESTS: Final = 1000
"""Characters of one worker's digests that are read; of a worker with more of them no task is known."""
MAX_VERSIONS: Final = 50
"""Different sets of tasks of one queue's workers that are read; of a queue with more of them no task is known."""
_INSTANT: Final = timedelta(microseconds=1)

ListedName = Annotated[str, Meta(max_length=200)]


class ListedSchedule(msgspec.Struct, array_like=True, frozen=True):
    """A schedule with the name of its queue."""

    queue: ListedName
    schedule: QueueSchedule
    figures: ScheduleFigures


class ScheduleList(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `schedules`; `now` is the database's clock, in seconds since the epoch, 0 without schedules."""

    now: Annotated[float, Meta(ge=0, le=1e12)]
    schedules: Annotated[list[ListedSchedule], Meta(max_length=MAX_SCHEDULES)]


class DeclaredSchedules(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `declare_schedules`: the names that stand, refused ones with reason and sentence."""

    declared: Annotated[list[ListedName], Meta(max_length=1000)]
    refused: Annotated[list[tuple[ListedName, ListedName, Sentence]], Meta(max_length=1000)]
    overriding: Annotated[list[ListedName], Meta(max_length=1000)]


@dataclass(slots=True)
class _Published:
    """Tasks of one queue's workers: their digests, the highest worker id, and what it was at the last declaration."""

    digests: Sequence[str] = ()
    newest: int = 0
    newest_declared: int = 0


class ScheduleService:
    """Answers requests about schedules; remembers the ticks that it computed, because most do not change."""

    def __init__(self) -> None:
        self._computed: dict[tuple[int, int, Any], tuple[str, str, list[float]]] = {}
        self._tasks: dict[str, _Published] = {}

    def sampled(self, states: Mapping[str, QueueState]) -> None:
        """Remember which tasks the workers of each queue have; once all have gone, those since its declaration."""
        for name, state in states.items():
            known = self._tasks.setdefault(name, _Published())
            if state.workers:
                known.digests = _published(state.workers)
                known.newest = max(known.newest, *(int(worker["id"]) for worker in state.workers))
            elif known.newest <= known.newest_declared:
                known.digests = ()

    def redeclared(self, queue: str) -> None:
        """The queue is declared again, perhaps with another image: workers that have gone say nothing of it."""
        known = self._tasks.setdefault(queue, _Published())
        known.digests, known.newest_declared = (), known.newest

    async def declare(self, store: Store, queue: str, entries: Sequence[Mapping[str, Any]]) -> DeclaredSchedules:
        """Declare the valid ones of a JobQueue's `spec.schedules`; the others do not tick.

        Args:
            store: of the database.
            queue: the queue's name.
            entries: all entries of the JobQueue; none withdraws its schedules.
        """
        valid, refused = [], []
        for entry in entries:
            try:
                valid.append(parse(entry, queue=queue))
            except InvalidSchedule as error:
                refused.append((str(entry.get("name")), _reason(entry), f"{error}"[:1000]))
        in_code = {row.name for row in await store.schedules.list([queue]) if row.source == "code"} if valid else set()
        verdicts = await store.schedules.declare(queue, "jobqueue", valid)
        stands = sorted(name for name, verdict in verdicts.items() if verdict != "removed")
        return DeclaredSchedules(stands, refused, sorted(in_code & set(stands)))

    async def list(self, store: Store, queues: Sequence[str]) -> ScheduleList:
        """The schedules of these queues."""
        rows = (await store.schedules.list(queues))[:MAX_SCHEDULES]
        listed, computed = [], {}
        for row, shown in _with_shown(rows):
            key = (row.id, row.generation, row.next_at if shown else None)
            computed[key] = texts = self._computed.get(key) or _texts(row, shown=shown)
            recurrence, local_time, upcoming = texts
            schedule = QueueSchedule(
                name=row.name,
                in_code=row.source == "code",
                recurrence=recurrence,
                local_time=local_time if row.next_at is not None else "",
                next_at=_instant(row.next_at),
                upcoming=upcoming,
                lead_seconds=row.lead_seconds,
                paused=row.paused,
                follows_previous=row.follows_previous,
                last_error=row.last_error,
                unknown_task=row.task if self._is_unknown(row) else "",
                generation=row.generation,
            )
            figures = ScheduleFigures(
                row.fired, row.late, _instant(row.last_success_at), row.waiting, _instant(row.last_tick)
            )
            listed.append(ListedSchedule(row.queue, schedule, figures))
        self._computed = computed
        self._tasks = {name: self._tasks[name] for name in queues if name in self._tasks}
        return ScheduleList(rows[0].now.timestamp() if rows else 0.0, listed)

    def _is_unknown(self, row: ScheduleRow) -> bool:
        """Whether workers of the queue are known, and none of them has the task."""
        known = self._tasks.get(row.queue, _Published()).digests
        return bool(known) and not any(has_task(one, row.task) for one in known)


def _instant(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _published(workers: Sequence[Mapping[str, Any]]) -> list[str]:
    """The digests of each worker's tasks; none if one publishes none, or over a bound: the rest may have any task."""
    found = set()
    for worker in workers:
        info = worker.get("info")
        digests = info.get("tasks") if isinstance(info, Mapping) else None
        if not isinstance(digests, str) or len(digests) > MAX_DIGESTS:
            return []
        found.add(digests)
    return sorted(found) if len(found) <= MAX_VERSIONS else []


def _with_shown(rows: Sequence[ScheduleRow]) -> list[tuple[ScheduleRow, bool]]:
    """Each row, and whether its upcoming ticks are shown: those of the ten of its queue that tick next."""
    ticking = [row for row in rows if row.next_at is not None and not row.paused]
    shown: dict[str, int] = {}
    wanted = set()
    for row in sorted(ticking, key=lambda one: (one.next_at, one.name)):
        shown[row.queue] = shown.get(row.queue, 0) + 1
        if shown[row.queue] <= MAX_SHOWN:
            wanted.add(row.id)
    return [(row, row.id in wanted) for row in rows]


def _texts(row: ScheduleRow, *, shown: bool) -> tuple[str, str, list[float]]:
    """Recurrence, local time of the next tick, and upcoming ticks; empty where they are not shown."""
    if not shown or row.next_at is None:
        return "", "", []
    try:
        schedule = row.schedule
        upcoming = ticks_after(schedule, row.next_at - _INSTANT, SHOWN_TICKS)
        local = local_time(row.next_at, schedule.time_zone)
    except (InvalidSchedule, ArithmeticError, ValueError, OSError):  # of another release, or of nobody's
        return "", "", [row.next_at.timestamp()]
    return describe(schedule)[:256], local, [tick.timestamp() for tick in upcoming]


def _reason(entry: Mapping[str, Any]) -> str:
    """The part of an entry that is to blame; dates, the task's name and what else is left are InvalidSchedule."""
    try:
        zone_of(str(entry.get("timeZone") or "UTC"), of="")
    except InvalidSchedule:
        return "UnknownTimeZone"
    if entry.get("cron") is not None and not _is_valid({name: entry.get(name) for name in ("cron", "timeZone")}):
        return "InvalidExpression"
    return "InvalidArguments" if _is_valid({**entry, "args": {}}) else "InvalidSchedule"


def _is_valid(entry: Mapping[str, Any]) -> bool:
    try:
        parse({"name": "any", "task": "any", **entry})
    except InvalidSchedule:
        return False
    return True
