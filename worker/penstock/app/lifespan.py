"""Converts the functions of `@app.lifespan` to async context managers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

from ..errors import InvalidTask, shown


def as_manager(function: Callable[[], Any]) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Convert a generator function that yields once, async or plain, to an async context manager.

    Raises:
        InvalidTask: it is not such a function.
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
