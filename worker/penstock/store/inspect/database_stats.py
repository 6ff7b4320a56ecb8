"""Statistics of a database server: dead tuples of the live jobs, connections in use and allowed.

For alerts, not for decisions. Read every half minute, over an existing connection.
"""

from __future__ import annotations

from typing import NamedTuple

from ..store import Store


class DatabaseStats(NamedTuple):
    """Estimates of the server's own statistics, about a second old.

    `dead_tuples` and `live_tuples` are of the table of live jobs; `connections` are those of all clients of the server,
    `connections_limit` is the maximum for clients that are not superusers.
    """

    dead_tuples: int
    live_tuples: int
    connections: int
    connections_limit: int


async def database_stats(store: Store) -> DatabaseStats:
    """Read the statistics; any role with usage of the schema may.

    Raises:
        StoreError: the query failed.
    """
    (row,) = await store.connections.rows("database_stats")
    return DatabaseStats(*map(int, row))
