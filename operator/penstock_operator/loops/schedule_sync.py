"""Keeps the schedules of the queues of one database in sync with their JobQueues, and knows their next ticks.

Owns what is known to be declared. A JobQueue's schedules are declared when its generation is new to this process, and
again when the database lists others or somebody changed one, as after a restore from a backup. The schedules of a
JobQueue that was deleted or has another database are withdrawn; those that code declares are not touched.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from penstock.errors import RejectedByDatabase, RowLocked
from penstock.jobqueue.schedule_spec import schedule_entries

from ..database.client import DatabaseClient
from ..database.process.schedules import ScheduleList
from ..log_fields import log_fields
from ..metrics import OperatorMetrics
from ..resources.queue_schedules import QueueSchedule, QueueSchedules, ScheduleFigures, ScheduleProblem
from ..resources.resource import JobQueue

logger = logging.getLogger("penstock.operator.schedule_sync")

REFRESH_SECONDS: Final = 2.0
"""Minimum time between two lists, unless a tick has passed since."""
RETRY_SECONDS: Final = 10.0
"""Until schedules that could not be declared are tried again."""


@dataclass(frozen=True, slots=True)
class _Declared:
    """What is known of one JobQueue: its generation, its queue, the names that stand, and what was refused.

    `rows` has the generations of the rows by name, as they were first listed after the declaration.
    """

    queue: str
    generation: int
    names: frozenset[str] = frozenset()
    rows: Mapping[str, int] | None = None
    problems: tuple[ScheduleProblem, ...] = ()
    overriding: tuple[str, ...] = ()
    retry_at: float | None = None


class ScheduleSync:
    """The schedules of one database.

    Args:
        metrics: of the operator.
        clock: monotonic seconds.
    """

    def __init__(self, metrics: OperatorMetrics, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics, self._clock = metrics, clock
        self._declared: dict[str, _Declared] = {}
        self._found: dict[str, QueueSchedules] = {}
        self._figures: dict[str, dict[str, ScheduleFigures]] = {}
        self._read_at = float("-inf")

    def of(self, queue: JobQueue) -> QueueSchedules | None:
        """The schedules of a JobQueue's queue; None before they were listed."""
        if queue.policy is None or self._read_at == float("-inf"):
            return None
        declared = self._declared.get(queue.uid)
        found = self._found.get(queue.policy.queue_name, QueueSchedules())
        if declared is None:
            return found
        return replace(found, problems=declared.problems, overriding=declared.overriding)

    def forget(self) -> None:
        """Forget everything: another replica leads, or another server may answer next."""
        self._declared.clear()
        self.disconnected()

    def disconnected(self) -> None:
        """Forget what was listed: another server may answer next. What was declared stays known, for `withdraw`."""
        self._found.clear()
        self._figures.clear()
        self._read_at = float("-inf")

    async def sync(self, database: DatabaseClient, queues: Sequence[JobQueue]) -> None:
        """List the schedules, and declare those that differ.

        Args:
            database: connected.
            queues: the JobQueues of this database that are served.

        Raises:
            StoreError: the database cannot be asked.
            NotLeader: another replica leads.
        """
        queues = [one for one in queues if one.policy is not None]
        if self._is_due():
            await self._read(database, queues)
        changed = [one for one in queues if self._differs(one)]
        for queue in changed:
            await self._declare(database, queue)
        if changed:
            await self._read(database, queues)
        for queue in changed:
            known = self._declared[queue.uid]
            self._declared[queue.uid] = replace(known, rows=self._standing(known.queue))

    async def withdraw(self, database: DatabaseClient, has_left: Callable[[str], bool], served: Sequence[str]) -> None:
        """Withdraw the schedules of JobQueues that were deleted, or have moved to another database.

        Args:
            database: connected.
            has_left: whether the JobQueue of a uid was deleted or has moved to another database.
            served: queues that another JobQueue has by now.

        Raises:
            StoreError: the database cannot be asked; the next call tries again.
            NotLeader: another replica leads.
        """
        for uid, declared in list(self._declared.items()):
            if not has_left(uid):
                continue
            if declared.names and declared.queue not in served:
                await database.declare_schedules(declared.queue, [])
            del self._declared[uid]

    def _is_due(self) -> bool:
        now = self._clock()
        if now - self._read_at >= REFRESH_SECONDS:
            return True
        return any(tick.at <= now for found in self._found.values() for tick in found.ticks())

    def _differs(self, queue: JobQueue) -> bool:
        assert queue.policy is not None
        name, known = queue.policy.queue_name, self._declared.get(queue.uid)
        stands = self._standing(name)
        if known is not None and known.retry_at is not None:
            return self._clock() >= known.retry_at
        if known is not None and known.generation == queue.generation:
            return stands.keys() != known.names or (known.rows is not None and stands != known.rows)
        if not stands and not queue.policy.schedules:
            self._declared[queue.uid] = _Declared(name, queue.generation)
            return False
        return True

    def _standing(self, name: str) -> dict[str, int]:
        """The generations of a queue's listed schedules by name, without those of code."""
        found = self._found.get(name, QueueSchedules()).schedules
        return {one.name: one.generation for one in found if not one.in_code}

    async def _read(self, database: DatabaseClient, queues: Sequence[JobQueue]) -> None:
        names = [one.policy.queue_name for one in queues if one.policy is not None]
        answer: ScheduleList = await database.schedules(names)
        self._read_at = now = self._clock()
        offset = answer.now - now
        found: dict[str, list[QueueSchedule]] = {}
        figures: dict[str, dict[str, ScheduleFigures]] = {}
        for one in answer.schedules:
            found.setdefault(one.queue, []).append(one.schedule)
            figures.setdefault(one.queue, {})[one.schedule.name] = one.figures
        self._found = {name: QueueSchedules(schedules=tuple(each), clock_offset=offset) for name, each in found.items()}
        self._figures = figures
        for queue in queues:
            assert queue.policy is not None
            name = queue.policy.queue_name
            self._metrics.show_schedules(queue, self._found.get(name, QueueSchedules()), figures.get(name, {}))

    async def _declare(self, database: DatabaseClient, queue: JobQueue) -> None:
        assert queue.policy is not None
        name, entries = queue.policy.queue_name, schedule_entries(queue.policy.schedules)
        known = _Declared(name, queue.generation)
        try:
            answer = await database.declare_schedules(name, entries)
        except (RejectedByDatabase, RowLocked) as error:
            logger.error("schedules not declared", extra=log_fields(queue, error))
            problem = ScheduleProblem("", "NotDeclared", f"The schedules could not be declared: {error}.")
            self._declared[queue.uid] = replace(known, problems=(problem,), retry_at=self._clock() + RETRY_SECONDS)
            return
        refused = tuple(ScheduleProblem(*one) for one in answer.refused)
        for one in refused:
            logger.warning("schedule not declared", extra=log_fields(queue) | {"reason": one.reason})
        self._declared[queue.uid] = replace(
            known, names=frozenset(answer.declared), problems=refused, overriding=tuple(answer.overriding)
        )
