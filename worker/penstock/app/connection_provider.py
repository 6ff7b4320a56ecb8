"""`ConnectionProvider`: how a framework says on which connection an enqueue happens when the caller names none.

`App(connection=provider)` makes every call of the App, handles included, on the connection that the provider finds: in
the transaction that the application has open there, or in autocommit. Options with `connection=` win. Must not know a
framework: the providers are in `penstock.contrib`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from ..job import JobInfo, NewJob
    from .client import StoreClient

T = TypeVar("T")


class ConnectionProvider(Protocol):
    """Finds the application's connection.

    Attributes:
        asynchronous: whether async callers have asynchronous connections. If not, their calls run by `in_thread`.
    """

    @property
    def asynchronous(self) -> bool:
        """See above."""

    def connection(self) -> object | None:
        """The connection of the caller, of any kind that `connection=` accepts; None: a connection of the App's pool.

        Raises:
            ConfigurationError: the call cannot belong to the transaction that the caller has open.
        """

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call for an async caller, in the thread that has the connections of this caller."""


class ProvidedClient:
    """The client of an App whose provider finds the connections.

    Args:
        own: makes the calls; with its own pool if the provider finds no connection.
        provider: finds the connections.
    """

    def __init__(self, own: StoreClient, provider: ConnectionProvider) -> None:
        self._own, self._provider = own, provider

    async def _async(self, use: Callable[[object | None], T], use_async: Callable[[object | None], Awaitable[T]]) -> T:
        if self._provider.asynchronous:
            return await use_async(self._provider.connection())
        return await self._provider.in_thread(lambda: use(self._provider.connection()))

    def enqueue(self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True) -> list[int]:
        """Enqueue on the caller's connection, else on the one that the provider finds. Raises StoreError."""
        found = self._provider.connection() if connection is None else connection
        return self._own.enqueue(jobs, connection=found, wake=wake)

    async def enqueue_async(
        self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """`enqueue`, for async callers."""
        if connection is not None:
            return await self._own.enqueue_async(jobs, connection=connection, wake=wake)
        return await self._async(
            lambda found: self._own.enqueue(jobs, connection=found, wake=wake),
            lambda found: self._own.enqueue_async(jobs, connection=found, wake=wake),
        )

    def info(self, job_id: int) -> JobInfo | None:
        """The job as this connection sees it: one that its transaction enqueued too. Raises StoreError."""
        return self._own.info(job_id, connection=self._provider.connection())

    async def info_async(self, job_id: int) -> JobInfo | None:
        """`info`, for async callers."""
        return await self._async(
            lambda found: self._own.info(job_id, connection=found),
            lambda found: self._own.info_async(job_id, connection=found),
        )

    def cancel(self, job_id: int, reason: str | None) -> str | None:
        """Cancel the job; in a transaction, when it commits. Raises StoreError."""
        return self._own.cancel(job_id, reason, connection=self._provider.connection())

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        """`cancel`, for async callers."""
        return await self._async(
            lambda found: self._own.cancel(job_id, reason, connection=found),
            lambda found: self._own.cancel_async(job_id, reason, connection=found),
        )

    def close(self) -> None:
        """Close the App's own connections; those of the application are the application's."""
        self._own.close()

    async def close_async(self) -> None:
        """`close`, for async callers."""
        await self._own.close_async()
