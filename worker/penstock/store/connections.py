"""The connections of a running process and the statements sent on them, for each part of the store.

Owns a few asyncio connections ("lanes") to one database and maps the errors of everything sent on them. Decides
nothing. A call may raise `DatabaseUnavailable` at any point, also after its commit.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import psycopg_pool

from penstock.database.source import Url

from .connect import arguments, configure_connection, resolve_url
from .errors import check_url, mapped
from .sql_files import statement


class Connections:
    """`lanes` connections to one database.

    Args:
        url: a libpq URL; never printed.
        name: application_name on the server.
        lanes: connections, 1 to 16.
        pooled: the URL leads to a pooler in transaction mode.
    """

    def __init__(self, url: Url, *, name: str, lanes: int, pooled: bool) -> None:
        check_url(url)
        self._pool = psycopg_pool.AsyncConnectionPool(
            functools.partial(resolve_url, url),
            kwargs=arguments(name, pooled=pooled),
            configure=configure_connection,
            min_size=lanes,
            max_size=lanes,
            timeout=10,
            reconnect_timeout=30,
            num_workers=1,
            name=name,
            open=False,
        )

    async def open(self) -> None:
        """Connect.

        Raises:
            DatabaseUnavailable: no connection within ten seconds.
        """
        with mapped("open the store"):
            try:
                await self._pool.open(wait=True, timeout=10)
            except BaseException:
                await self._pool.close()
                raise

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._pool.close()

    async def rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of the statement `sql/NAME.sql`, its values by position.

        Raises:
            StoreError: the database refused the statement or cannot be used.
        """
        with mapped(name.replace("_", " ")):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement(name), values)
                return await cursor.fetchall()

    async def named_rows(self, name: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """As `rows`, its values by name."""
        with mapped(name.replace("_", " ")):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement(name), values)
                return await cursor.fetchall()

    async def value(self, name: str, *values: object) -> Any:
        """The first column of the first row. Raises as `rows`."""
        return (await self.rows(name, *values))[0][0]
