"""`app`: the App of a Django project, and `DjangoApp`, its class. Reads Django's settings; opens no connection.

Owns what workers do around each attempt of a Django task: Django checks the age of a connection only at the start and
the end of a request, and a worker has no requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from django.db import close_old_connections, connections, reset_queries

from penstock.app.app import App
from penstock.app.collected import InlineRun
from penstock.job import NewJob

from .connection import DjangoConnections
from .database_url import database_url


class DjangoApp(App):
    """An App whose calls belong to the transaction that is open in Django.

    Args:
        alias: of the database with Penstock's schema; default: DATABASE of the settings.
    """

    def __init__(self, alias: str | None = None) -> None:
        provider = DjangoConnections(alias)
        super().__init__(lambda: database_url(provider.alias), connection=provider)
        self.attempt_scopes.add(_fresh_connections)
        self.attempt_scopes.add(_fresh_connections_async)

    def run_inline(self, *jobs: NewJob) -> list[InlineRun]:
        """As `App.run_inline`; async tasks find the connections, and with them the data, of the calling thread."""
        return async_to_sync(self.run_inline_async)(*jobs)


def _fresh_connections() -> Iterator[None]:
    """Close connections that are too old or broken, in the thread of the attempt."""
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


async def _fresh_connections_async() -> AsyncIterator[None]:
    """A thread for the ORM of this attempt, as Django's ASGI handler has one for each request; closed after it."""
    async with ThreadSensitiveContext():
        try:
            yield
        finally:
            await sync_to_async(connections.close_all, thread_sensitive=True)()


app = DjangoApp()
