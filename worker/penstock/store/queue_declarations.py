"""The declarations of queues that the database already has, for a declarer of many queues.

A new leader of the operator finds hundreds of queues as its predecessor declared them. Declaring each again would be
two statements and two commits; comparing all of them is one statement and no write. The whole declaration is
compared, not only its generation: an upgraded operator may derive another one from the same JobQueue.
"""

from __future__ import annotations

from penstock.jobqueue.declaration import QueueDeclaration

from .store import Store


async def declarations(store: Store) -> dict[str, QueueDeclaration]:
    """The declarations by queue name; undeclared queues are left out.

    Raises:
        StoreError: the query failed.
    """
    rows = await store.connections.rows("declarations")
    return {name: QueueDeclaration(*columns) for name, *columns in rows}
