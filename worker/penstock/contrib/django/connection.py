"""`DjangoConnections`: finds the Django connection that an enqueue belongs to, by the transactions that are open.

    open transaction of this thread               the enqueue
    on Penstock's alias                           belongs to it
    on another alias of the same database         belongs to that one
    on an alias of another database only          is refused: it could commit without the caller's other writes
    none                                          commits at once, on Penstock's alias in autocommit

The transaction that a TestCase keeps around each test does not count as open: it is on every alias of the test. Async
callers have no connections of their own in Django; their calls run in the thread where Django runs its ORM for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

from penstock.errors import ConfigurationError

from .config import config

T = TypeVar("T")

_PLACE: Final = ("HOST", "PORT", "NAME")


class DjangoConnections:
    """A `penstock.app.connection_provider.ConnectionProvider`.

    Args:
        alias: of the database with Penstock's schema; default: DATABASE of the settings.
    """

    asynchronous = False

    def __init__(self, alias: str | None = None) -> None:
        self._alias = alias

    @property
    def alias(self) -> str:
        """The alias of the database with Penstock's schema."""
        return self._alias or config().database

    def connection(self) -> Any:
        """The connection of this thread that the call belongs to.

        Raises:
            ConfigurationError: a transaction is open on another database only.
            django.core.exceptions.SynchronousOnlyOperation: later, by Django, if an event loop runs in this thread.
        """
        ours = connections[self.alias]
        if _has_transaction(ours):
            return ours
        others = [one for one in connections.all(initialized_only=True) if one is not ours and _has_transaction(one)]
        if not others:
            return ours
        for other in others:
            if other.vendor == ours.vendor and _place(other) == _place(ours):
                return other
        raise ConfigurationError(
            f"enqueue: a transaction is open on database {others[0].alias!r}, but jobs are in {ours.alias!r} and "
            f"cannot belong to it; enqueue in transaction.atomic(using={ours.alias!r}), or after the transaction"
        )

    async def in_thread(self, call: Callable[[], T]) -> T:
        """Run a blocking call where Django runs its ORM for this async caller."""
        done: T = await sync_to_async(call, thread_sensitive=True)()
        return done


def _has_transaction(connection: Any) -> bool:
    """Return True if the application has a transaction open, by `atomic` or by `set_autocommit(False)`."""
    if connection.in_atomic_block:
        blocks = connection.atomic_blocks
        return any(not getattr(block, "_from_testcase", False) for block in blocks)
    return connection.connection is not None and not connection.autocommit


def _place(connection: Any) -> tuple[str, ...]:
    """Server and database, as the settings have them."""
    return tuple(str(connection.settings_dict.get(key) or "") for key in _PLACE)
