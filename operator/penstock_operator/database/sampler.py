"""One sample of a database: connect if needed, declare what does not stand, read the queues; or say what failed.

Owns the deadlines, the log lines about failures, and when the process of a database is ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from penstock.errors import PenstockError
from penstock.store import QueueState

from ..database_reasons import describe, described_timeout
from ..declaring import Declaring
from ..errors import Deposed
from ..metrics import OperatorMetrics
from ..resource import JobQueue
from .client import DatabaseClient

logger = logging.getLogger("penstock.operator.database")

SAMPLE_SECONDS: Final = 10.0
"""A sample that takes longer has failed, as has one declaration: a peer that is gone may keep its connection open."""
LOG_SECONDS: Final = 60.0
"""Between two log lines about the failures of one database."""

Sampled = tuple[Mapping[str, QueueState], tuple[str, str] | None]
"""Queues by name, and the reason and sentence of what failed."""


class DatabaseSampler:
    """Samples of one database.

    Args:
        declaring: what stands in the queues' rows.
        metrics: of the operator.
        named: what log lines call the database.
    """

    def __init__(self, declaring: Declaring, metrics: OperatorMetrics, named: Callable[[], str]) -> None:
        self._declaring, self._metrics, self._named = declaring, metrics, named
        self._logged: tuple[str, float] = ("", float("-inf"))
        self.seconds = 0.0
        """How long the last snapshot took."""
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
            ours: its JobQueues, asked once it is known which database it is.
            soon: what is due within so many seconds is counted as due soon.
            opened: called with the database's identity before anything else is done with it.
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
        except Deposed as error:
            return {}, ("Deposed", str(error))
        except TimeoutError:
            await self._drop(database, end=True)
            self._log(f"no answer within {SAMPLE_SECONDS:.0f} s")
            return {}, described_timeout(SAMPLE_SECONDS, opened=connected)
        except PenstockError as error:
            await self._drop(database)
            self._log(str(error))
            return {}, describe(error)
        except Exception as error:
            await self._drop(database, end=True)
            logger.exception("%s: the sample failed", self._named())
            return {}, ("Unreachable", f"Sampling failed: {type(error).__name__}.")

    async def sample_some(
        self, database: DatabaseClient, names: Sequence[str], *, soon: float
    ) -> Mapping[str, QueueState] | None:
        """Some queues of a database; None: that failed, and a sample of all says why.

        Args:
            database: connected.
            names: of queues; those that were notified are added.
            soon: what is due within so many seconds is counted as due soon.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(SAMPLE_SECONDS):
                with self._metrics.look_seconds.time():
                    states = await database.look(names, soon=soon, some=True)
        except (PenstockError, TimeoutError):
            return None
        self.moved_at = time.monotonic()
        self.seconds = self.moved_at - began
        return states

    async def _read(
        self, database: DatabaseClient, queues: Sequence[JobQueue], within: asyncio.Timeout, soon: float
    ) -> Mapping[str, QueueState]:
        """Each answer grants the next one its time."""

        def moved() -> None:
            self.moved_at = time.monotonic()
            within.reschedule(asyncio.get_running_loop().time() + SAMPLE_SECONDS)

        await self._declaring.mirror(database, queues, moved=moved)
        names = [queue.policy.queue_name for queue in queues if queue.policy is not None]
        began = time.monotonic()
        with self._metrics.look_seconds.time():
            states = await database.look(names, soon=soon)
        self.seconds = time.monotonic() - began
        return states

    async def _drop_failed(self, database: DatabaseClient) -> None:
        if (ended := database.failed_task()) is not None:
            logger.error("%s: the task %s ended; connecting again", self._named(), ended)
            await self._drop(database)

    async def _drop(self, database: DatabaseClient, *, end: bool = False) -> None:
        """Connect again at the next sample: that says what is wrong; a pool would only retry, ever more slowly.

        Args:
            database: whose connections are closed.
            end: end its process as well, for something in it may wait for ever.
        """
        self._declaring.forget()
        await (database.stop() if end else database.close())

    def _log(self, text: str) -> None:
        """Details for the operator's own people: what is new, and at most one line a minute for each database."""
        before, at = self._logged
        if text != before and time.monotonic() - at >= LOG_SECONDS:
            self._logged = (text, time.monotonic())
            logger.warning("%s: %s", self._named(), text)
