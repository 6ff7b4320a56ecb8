"""How a database bears up: dead tuples among the live jobs, connections in use and allowed.

For alerts, not for decisions. Asked now and then (once in half a minute), over a connection that is there already.
"""

from __future__ import annotations

from typing import NamedTuple

from ..store import Store


class DatabaseStats(NamedTuple):
    """Estimates of the server's own statistics, a second or so old.

    `dead_tuples` and `live_tuples` are of the table of live jobs; `connections` are those of all clients of the server,
    `connections_limit` is what it allows to clients that are no superusers.
    """

    dead_tuples: int
    live_tuples: int
    connections: int
    connections_limit: int


async def database_stats(store: Store) -> DatabaseStats:
    """One look; any role with usage of the schema may take it.

    Raises:
        StoreError: the database cannot be asked.
    """
    (row,) = await store.connections.rows("database_stats")
    return DatabaseStats(*map(int, row))
