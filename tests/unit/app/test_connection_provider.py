"""The client of an App with a connection provider: which connection each call is made on. The store is a recorder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.app.connection_provider import ProvidedClient

FOUND, GIVEN = object(), object()


class Recorder:
    """Takes the place of StoreClient: returns its call."""

    def __getattr__(self, name: str) -> Any:
        def call(*values: Any, connection: object, **_more: Any) -> tuple[str, object]:
            return name, connection

        async def call_async(*values: Any, connection: object, **_more: Any) -> tuple[str, object]:
            return name, connection

        return call_async if name.endswith("_async") else call


class Provider:
    """Finds FOUND, and counts how many calls ran in its thread."""

    def __init__(self, *, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self.threaded = 0

    def connection(self) -> object | None:
        return FOUND

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        self.threaded += 1
        return call()


def client(provider: Provider) -> Any:
    return ProvidedClient(Recorder(), provider)  # type: ignore[arg-type]


def test_every_sync_call_is_made_on_the_connection_that_is_found():
    """Enqueue, info and cancel: a job of this transaction is visible to no other connection."""
    calls = client(Provider(asynchronous=False))
    assert calls.enqueue([]) == ("enqueue", FOUND)
    assert calls.info(1) == ("info", FOUND)
    assert calls.cancel(1, None) == ("cancel", FOUND)


async def test_async_calls_run_in_the_providers_thread_if_it_has_no_async_connections():
    """There the sync call finds the connection."""
    provider = Provider(asynchronous=False)
    calls = client(provider)
    assert await calls.enqueue_async([]) == ("enqueue", FOUND)
    assert await calls.info_async(1) == ("info", FOUND)
    assert await calls.cancel_async(1, None) == ("cancel", FOUND)
    assert provider.threaded == 3


async def test_async_calls_use_async_connections_where_there_are_some():
    """No thread is used."""
    provider = Provider(asynchronous=True)
    calls = client(provider)
    assert await calls.enqueue_async([]) == ("enqueue_async", FOUND)
    assert await calls.info_async(1) == ("info_async", FOUND)
    assert await calls.cancel_async(1, None) == ("cancel_async", FOUND)
    assert provider.threaded == 0


async def test_a_connection_in_the_options_wins():
    """The provider is not asked."""
    for provider in (Provider(asynchronous=False), Provider(asynchronous=True)):
        calls = client(provider)
        assert calls.enqueue([], connection=GIVEN) == ("enqueue", GIVEN)
        assert await calls.enqueue_async([], connection=GIVEN) == ("enqueue_async", GIVEN)
        assert provider.threaded == 0
