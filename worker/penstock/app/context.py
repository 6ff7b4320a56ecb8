"""`Context`: what a task can read and do about its own attempt.

A task whose first parameter is annotated `Context` gets one; it is not an argument of the job. Its only state is
whether the attempt was cancelled: the worker's event loop writes it, and the task reads it from any thread.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..database.source import Url
    from ..job import ClaimedJob, NewJob
    from ..store import JobTransaction
    from .client import Client

PROGRESS_SECONDS: Final = 1.0
"""Minimum interval between two progress reports of an attempt; reports in between are dropped."""
MAX_PROGRESS: Final = 1e300
MAX_NOTE: Final = 200


class Context:
    """The attempt that the task runs in.

    Attributes:
        job: the claimed job.
    """

    __slots__ = ("_cancelled", "_client", "_clock", "_database", "_report", "_reported_at", "_started", "job")

    def __init__(
        self,
        *,
        job: ClaimedJob,
        client: Client,
        database: Callable[[], tuple[Url, bool]] | None = None,
        report: Callable[[dict[str, Any]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.job = job
        self._client = client
        self._database = database
        self._report, self._clock = report, clock
        self._reported_at = -math.inf
        self._cancelled = False
        self._started = time.perf_counter()

    @property
    def attempt(self) -> int:
        """Number of this attempt, from 1."""
        return self.job.attempt

    @property
    def cancelled(self) -> bool:
        """True if this attempt was cancelled; check it between the steps of a long task."""
        return self._cancelled

    def mark_cancelled(self) -> None:
        """Set `cancelled`; called by the worker."""
        self._cancelled = True

    def progress(self, done: float, total: float = 1.0, note: str | None = None) -> None:
        """Report the progress of this attempt, for `penstock workers` and `handle.info().progress`. Makes no query.

        At most one report a second is taken, except when `done` reaches `total`. It is published with the next lease
        renewal, within five seconds, and discarded when the attempt finishes.

        Args:
            done: part of `total` that is done, 0 or more.
            total: above 0; default 1, which makes `done` a fraction.
            note: text for people, truncated to 200 characters.

        Raises:
            ValueError: a number is not finite, or out of bounds.
        """
        if not (0 <= done <= MAX_PROGRESS and 0 < total <= MAX_PROGRESS):  # false for a NaN as well
            raise ValueError(f"progress: done must be 0 or more and total above 0, got {done!r} of {total!r}")
        now = self._clock()
        if self._report is None or (now - self._reported_at < PROGRESS_SECONDS and done < total):
            return
        self._reported_at = now
        found: dict[str, Any] = {"done": _number(done), "total": _number(total)}
        if note:
            found["note"] = (
                note[:MAX_NOTE].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
            )
        self._report(found)

    def transaction(self) -> JobTransaction:
        """A transaction that commits the task's writes together with this job's success, or neither.

            async with ctx.transaction() as connection:        # `with` in a plain function
                await connection.execute("UPDATE account SET ...")

        The connection is psycopg's. Use it once per attempt, as its last step; the task's return value is not stored.
        An exception inside the block rolls back and fails the attempt as usual.

        Raises:
            Fenced: when the block exits, if the claim was lost or the job was cancelled; nothing is committed.
            ConfigurationError: there is no database, as in `test_mode`.
            StoreError: the database cannot be used.
        """
        from ..store import JobTransaction  # noqa: PLC0415 - the driver is loaded at the first use

        if self._database is None:
            raise ConfigurationError("ctx.transaction needs a database; there is none in test mode")
        url, pooled = self._database()
        return JobTransaction(url, self.job, started=self._started, pooled=pooled)

    def complete(self, *, connection: object) -> None:
        """Like `transaction`, on the caller's connection (SQLAlchemy, Django, psycopg), as its last statement.

        The caller commits afterwards, or rolls back on Fenced.
        """
        from ..store import complete_on  # noqa: PLC0415

        complete_on(connection, self.job, self._started)

    async def complete_async(self, *, connection: object) -> None:
        """`complete`, for asynchronous connections."""
        from ..store import complete_on_async  # noqa: PLC0415

        await complete_on_async(connection, self.job, self._started)

    def enqueue(self, *jobs: NewJob) -> list[int]:
        """Enqueue jobs in a transaction of their own, for plain functions; returns their ids in order.

        `ctx.enqueue(send_welcome_email.job(7))`. Raises StoreError.
        """
        return self._client.enqueue(jobs)

    async def enqueue_async(self, *jobs: NewJob) -> list[int]:
        """`enqueue`, for async functions."""
        return await self._client.enqueue_async(jobs)


def _number(value: float) -> float:
    """A number for any encoder: fractions, numpy's numbers and large integers have no form in JSON or MessagePack."""
    return value if type(value) is int and value < 2**53 else float(value)
