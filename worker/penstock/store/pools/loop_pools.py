"""Maps each event loop to its pool, and closes the connections of loops that the application owns.

    how a loop ends                                        its connections are closed
    asyncio.run, asyncio.Runner, anyio, pytest-asyncio     with it: they call loop.shutdown_asyncgens()
    loop.close() alone                                     when another loop of the process first uses the App, or with
                                                           the loop's memory
    never closed, only dropped                             with the loop's memory
    its thread or process ends                             as above; at the latest with the process

An async generator that waits at its only yield notices that a loop stops, because asyncio then closes it. It references
the loop, so only the loop references it: a table here would keep both forever.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Final

from penstock.errors import ConfigurationError

from .async_pool import LoopPool

_ATTRIBUTE: Final = "_penstock_end"


class LoopPools:
    """A pool for each running event loop of this process, made at its first use.

    Args:
        make: a new pool.
    """

    def __init__(self, make: Callable[[], LoopPool]) -> None:
        self._make = make
        self._lock = threading.RLock()
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPool] = weakref.WeakKeyDictionary()
        self._inherited: list[LoopPool] = []
        """Pools of the parent process of a fork: neither used nor closed."""

    def here(self) -> LoopPool:
        """The pool of the running loop.

        Raises:
            ConfigurationError: there is none, for example under Trio.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "async calls of an App need a running asyncio event loop, and none runs here; under Trio or Curio call "
                "the sync method in a thread, as trio.to_thread.run_sync(task.enqueue, ...)"
            ) from None
        pool = self._by_loop.get(loop)
        if pool is None or pool.pid != os.getpid():
            pool = self._open(loop)
        return pool

    def _open(self, loop: asyncio.AbstractEventLoop) -> LoopPool:
        with self._lock:
            for other, pool in list(self._by_loop.items()):
                if other.is_closed():
                    pool.finish(checked_out=True)
                    del self._by_loop[other]
            if loop in self._by_loop:
                self._inherited.append(self._by_loop[loop])
            made = self._by_loop[loop] = self._make()
        _at_end(loop).add(made)
        return made

    def finish(self) -> None:
        """Close the connections of every loop: idle ones now, others when their call ends."""
        with self._lock:
            pools = [(pool, loop.is_closed()) for loop, pool in self._by_loop.items()]
        for pool, closed in pools:
            pool.finish(checked_out=closed)


class _End:
    """The part that a loop references: the generator that it closes when it stops, and its pools."""

    def __init__(self) -> None:
        self.pools: weakref.WeakSet[LoopPool] = weakref.WeakSet()
        self.generator = _wait_for_end(self.pools)
        with suppress(StopIteration):  # runs to the yield at once; the running loop registers it
            self.generator.__anext__().send(None)


async def _wait_for_end(pools: weakref.WeakSet[LoopPool]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        for pool in list(pools):
            pool.finish()


def _at_end(loop: asyncio.AbstractEventLoop) -> weakref.WeakSet[LoopPool]:
    """The pools that are closed with this loop."""
    end: _End | None = getattr(loop, _ATTRIBUTE, None)
    if end is None:
        end = _End()
        with suppress(AttributeError, TypeError):  # a loop without attributes; its pool is closed later
            setattr(loop, _ATTRIBUTE, end)
    return end.pools
