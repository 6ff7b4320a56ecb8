"""The latest failures, for a live view. Reads only; decides nothing.

Uses a separate connection, because a query for people must never delay a claim.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import psycopg

from ..connect import connect_async
from ..errors import mapped
from ..sql_files import statement


class FailedAttempt(NamedTuple):
    """A job whose last attempt failed. `seconds` since it died; negative: until its next attempt."""

    id: int
    queue: str
    task: str
    attempt: int
    max_attempts: int
    dead: bool
    seconds: float
    kind: str | None
    message: str | None


class Failures:
    """Reads the latest failures over one connection, opened at first use and again after a loss."""

    def __init__(self, url: str, *, name: str = "penstock failures") -> None:
        self._url, self._name = url, name
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def recent(self, limit: int = 10) -> list[FailedAttempt]:
        """The latest `limit` failures of all queues, those that wait for their next attempt first.

        Raises:
            StoreError: the database refused or cannot be used.
        """
        if self._connection is None or self._connection.closed:
            self._connection = await connect_async(self._url, name=self._name)
        with mapped("recent failures"):
            try:
                cursor = await self._connection.execute(statement("recent_failures"), {"limit": limit})
                return [FailedAttempt(*row) for row in await cursor.fetchall()]  # type: ignore[arg-type]
            except psycopg.OperationalError:
                await self.close()
                raise

    async def close(self) -> None:
        """Close the connection; idempotent."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
