"""What `@app.lifespan` accepts, as an async context manager."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from ..errors import InvalidTask, shown


def as_manager(function: Callable[[], Any]) -> Callable[[], AbstractAsyncContextManager[None]]:
    """A generator function that yields once, async or plain, as what a worker enters.

    Raises:
        InvalidTask: it is something else.
    """
    if inspect.isasyncgenfunction(function):
        return asynccontextmanager(function)
    if inspect.isgeneratorfunction(function):
        return _in_async(contextmanager(function))
    raise InvalidTask(f"@app.lifespan takes a function that yields once, got {shown(function)}")


def _in_async(manager: Callable[[], Any]) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def entered() -> AsyncIterator[None]:
        with manager():
            yield

    return entered
