"""One sample of a database: connect if needed, sync the declarations, read the queues; or report what failed.

Owns the deadlines, the log lines about failures, and when the process of a database is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from penstock.errors import PenstockError
from penstock.store import QueueState

from ..database.client import DatabaseClient
from ..database.failure_reasons import described_timeout, failure_condition
from ..errors import NotLeader
from ..metrics import OperatorMetrics
from ..resources.resource import JobQueue
from .queue_sync import QueueSync
from .schedule_sync import ScheduleSync

logger = logging.getLogger("penstock.operator.database")

SAMPLE_SECONDS: Final = 10.0
"""A sample, or one declaration, that takes longer has failed: a dead peer may keep its connection open."""
WITHDRAW_SECONDS: Final = 3.0
"""A loop that stops waits this long for a last write: its cancellation is repeated after five seconds."""
LOG_SECONDS: Final = 60.0
"""Between two log lines about the failures of one database."""

Sampled = tuple[Mapping[str, QueueState], tuple[str, str] | None]
"""Queues by name, and reason and message of the failure; None if there was none."""


class DatabaseSampler:
    """Samples of one database.

    Args:
        sync: of the queues' declarations.
        metrics: of the operator.
        named: returns the name of the database for log lines.
        has_left: whether the JobQueue of a uid was deleted or has moved to another database.
    """

    def __init__(
        self,
        sync: QueueSync,
        metrics: OperatorMetrics,
        named: Callable[[], str],
        has_left: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._sync, self._metrics, self._named, self._has_left = sync, metrics, named, has_left
        self.schedules = ScheduleSync(metrics)
        self._logged: tuple[str, float] = ("", float("-inf"))
        self.seconds = 0.0
        """Seconds that the last snapshot took."""
        self.moved_at = time.monotonic()
        """When the database last answered something."""

    async def sample(
        self,
        database: DatabaseClient,
        ours: Callable[[], Sequence[JobQueue]],
        *,
        soon: float,
        opened: Callable[[str | None], None],
    ) -> Sampled:
        """The queues of a database, or what failed.

        Args:
            database: connected or not.
            ours: returns its JobQueues; called once the identity of the database is known.
            soon: jobs due within this many seconds count as due soon.
            opened: called with the database's identity before any other statement.
        """
        self.seconds, connected = 0.0, False
        try:
            await self._drop_failed(database)
            await database.start()
            async with asyncio.timeout(SAMPLE_SECONDS) as within:
                await database.open()
                connected = True
                opened(database.identity)
                return await self._read(database, ours(), within, soon), None
        except NotLeader as error:
            return {}, ("NotLeader", str(error))
        except TimeoutError:
            await self._drop(database, end=True)
            self._log(f"no answer within {SAMPLE_SECONDS:.0f} s")
            return {}, described_timeout(SAMPLE_SECONDS, opened=connected)
        except PenstockError as error:
            await self._drop(database)
            self._log(str(error))
            return {}, failure_condition(error)
        except Exception as error:
            await self._drop(database, end=True)
            logger.exception("sample failed", extra={"database": self._named()})
            return {}, ("Unreachable", f"Sampling failed: {type(error).__name__}.")

    async def sample_some(
        self, database: DatabaseClient, names: Sequence[str], *, soon: float
    ) -> Mapping[str, QueueState] | None:
        """Some queues of a database; None if that failed. The next sample of all queues reports why.

        Args:
            database: connected.
            names: of queues; those that were notified are added.
            soon: jobs due within this many seconds count as due soon.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(SAMPLE_SECONDS):
                with self._metrics.sample_seconds.time():
                    states = await database.sample(names, soon=soon, some=True)
        except (PenstockError, TimeoutError):
            return None
        self.moved_at = time.monotonic()
        self.seconds = self.moved_at - started
        return states

    async def _read(
        self, database: DatabaseClient, queues: Sequence[JobQueue], within: asyncio.Timeout, soon: float
    ) -> Mapping[str, QueueState]:
        """Each answer extends the deadline for the next one."""

        def moved() -> None:
            self.moved_at = time.monotonic()
            within.reschedule(asyncio.get_running_loop().time() + SAMPLE_SECONDS)

        await self._sync.sync(database, queues, moved=moved)
        names = [queue.policy.queue_name for queue in queues if queue.policy is not None]
        await self.schedules.withdraw(database, self._has_left, names)
        await self.schedules.sync(database, queues)
        moved()
        started = time.monotonic()
        with self._metrics.sample_seconds.time():
            states = await database.sample(names, soon=soon)
        self.seconds = time.monotonic() - started
        return states

    def forget(self) -> None:
        """Forget what is declared: another replica leads."""
        self._sync.forget()
        self.schedules.forget()

    async def stop(self, database: DatabaseClient | None) -> None:
        """Withdraw the schedules of JobQueues that have left, and stop the process of the database; never raises."""
        if database is None:
            return
        with contextlib.suppress(PenstockError, TimeoutError):
            async with asyncio.timeout(WITHDRAW_SECONDS):
                await self.schedules.withdraw(database, self._has_left, ())
        await database.stop()

    async def _drop_failed(self, database: DatabaseClient) -> None:
        if (ended := database.failed_task()) is not None:
            logger.error("database task stopped, reconnecting", extra={"database": self._named(), "task": ended})
            await self._drop(database)

    async def _drop(self, database: DatabaseClient, *, end: bool = False) -> None:
        """Reconnect at the next sample, which reports the cause; a pool would only retry, ever more slowly.

        Args:
            database: whose connections are closed.
            end: stop its process as well, because something in it may wait forever.
        """
        self._sync.forget()
        self.schedules.disconnected()
        await (database.stop() if end else database.close())

    def _log(self, text: str) -> None:
        """Log the details of a new failure, at most once a minute for each database."""
        before, at = self._logged
        if text != before and time.monotonic() - at >= LOG_SECONDS:
            self._logged = (text, time.monotonic())
            logger.warning("query failed", extra={"database": self._named(), "error": text})
