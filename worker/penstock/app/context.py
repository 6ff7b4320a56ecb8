"""What a task may know and do about its own attempt.

A task whose first parameter is annotated `Context` is given one; it is not an argument of the job. Owns no state but
whether cancellation was asked for: written by the worker's loop, read by the task, from any thread.
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
"""Between two reports of progress of one attempt; what is told in between is dropped."""
MOST_PROGRESS: Final = 1e300
LONGEST_NOTE: Final = 200


class Context:
    """One attempt, seen from inside.

    Attributes:
        job: the job as it was claimed.
    """

    __slots__ = ("_began", "_cancelled", "_client", "_clock", "_database", "_report", "_told_at", "job")

    def __init__(
        self, *, job: ClaimedJob, client: Client, database: Callable[[], tuple[Url, bool]] | None = None,
        report: Callable[[dict[str, Any]], None] | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.job = job
        self._client = client
        self._database = database
        self._report, self._clock = report, clock
        self._told_at = -math.inf
        self._cancelled = False
        self._began = time.perf_counter()

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1."""
        return self.job.attempt

    @property
    def cancelled(self) -> bool:
        """Whether this attempt should end early: look between steps of long work."""
        return self._cancelled

    def mark_cancelled(self) -> None:
        """For the worker's loop: `cancelled` is true from now on."""
        self._cancelled = True

    def progress(self, done: float, total: float = 1.0, note: str | None = None) -> None:
        """Tell how far this attempt is, for people: in `penstock workers` and `handle.info().progress`. Costs no query.

        Taken at most once a second, except when `done` reaches `total`; shown with the next renewal of the lease,
        five seconds. The last told counts; it ends with the attempt.

        Args:
            done: how much of `total`, 0 or more.
            total: above 0; default 1, so that `done` is a share.
            note: a line for people; its first 200 characters are kept.

        Raises:
            ValueError: a number that is not finite, or out of these bounds.
        """
        if not (0 <= done <= MOST_PROGRESS and 0 < total <= MOST_PROGRESS):  # false for a NaN as well
            raise ValueError(f"progress: done must be 0 or more and total above 0, got {done!r} of {total!r}")
        now = self._clock()
        if self._report is None or (now - self._told_at < PROGRESS_SECONDS and done < total):
            return
        self._told_at = now
        found: dict[str, Any] = {"done": _number(done), "total": _number(total)}
        if note:
            found["note"] = (
                note[:LONGEST_NOTE].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
            )
        self._report(found)

    def transaction(self) -> JobTransaction:
        """A transaction that ends with this job's success: its effects and its outcome are committed, or neither.

            async with ctx.transaction() as connection:        # `with` in a plain function
                await connection.execute("UPDATE account SET ...")

        The connection is psycopg's. Once per attempt, at its end; what the task returns is not kept then. An exception
        inside rolls back, and the attempt goes on to fail as it would.

        Raises:
            Fenced: at the end, when the claim was taken back or the job is to be cancelled; nothing is committed.
            ConfigurationError: there is no database, in `test_mode`.
            StoreError: the database cannot be used.
        """
        from ..store import JobTransaction  # noqa: PLC0415 - the driver is loaded at the first use

        if self._database is None:
            raise ConfigurationError("ctx.transaction: needs a worker and its database, there is none in test mode")
        url, pooled = self._database()
        return JobTransaction(url, self.job, started=self._began, pooled=pooled)

    def complete(self, *, connection: object) -> None:
        """As `transaction`, as the last statement on a connection of your own: SQLAlchemy, Django, psycopg.

        Commit afterwards. Raises Fenced, which must roll back.
        """
        from ..store import complete_on  # noqa: PLC0415

        complete_on(connection, self.job, self._began)

    async def complete_async(self, *, connection: object) -> None:
        """`complete`, for asynchronous connections."""
        from ..store import complete_on_async  # noqa: PLC0415

        await complete_on_async(connection, self.job, self._began)

    def enqueue(self, *jobs: NewJob) -> list[int]:
        """Enqueue in one transaction of its own, for plain functions; ids in order.

        `ctx.enqueue(send_welcome_email.job(7))`. Raises StoreError.
        """
        return self._client.enqueue(jobs)

    async def enqueue_async(self, *jobs: NewJob) -> list[int]:
        """`enqueue`, for async functions."""
        return await self._client.enqueue_async(jobs)


def _number(value: float) -> float:
    """As every encoder takes it: a Fraction, numpy's numbers and integers of any length have no JSON or MessagePack."""
    return value if type(value) is int and value < 2**53 else float(value)
