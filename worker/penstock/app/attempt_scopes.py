"""`AttemptScopes`: code of a framework that a worker runs around each attempt, such as closing stale connections.

A plain generator function is entered in the thread or child process that runs a plain task; an async one is entered on
the event loop around an async task. So each kind of task meets only what can run where it runs. An exception of a scope
is the attempt's. `run_inline` enters none: in a test, the connections belong to the test.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import InvalidTask, shown

S = TypeVar("S", bound=Callable[[], Any])


class AttemptScopes:
    """Functions around attempts, entered in the order in which they were registered and exited in reverse."""

    def __init__(self) -> None:
        self._plain: list[Callable[[], contextlib.AbstractContextManager[None]]] = []
        self._async: list[Callable[[], contextlib.AbstractAsyncContextManager[None]]] = []

    def add(self, function: S) -> S:
        """Register a generator function without parameters that yields once: plain for plain tasks, async for async.

        Raises:
            InvalidTask: it is not a generator function.
        """
        if inspect.isasyncgenfunction(function):
            self._async.append(contextlib.asynccontextmanager(function))
        elif inspect.isgeneratorfunction(function):
            self._plain.append(contextlib.contextmanager(function))
        else:
            raise InvalidTask(f"@app.attempt_scopes.add takes a function that yields once, got {shown(function)}")
        return function

    def applies(self, *, is_async: bool) -> bool:
        """Return True if a scope is registered for tasks of this kind."""
        return bool(self._async if is_async else self._plain)

    def around(self, call: Callable[[], Any], *, is_async: bool) -> Callable[[], Any]:
        """The call inside the scopes; `call` itself if there are none for its kind."""
        if not self.applies(is_async=is_async):
            return call
        return self._around_async(call) if is_async else self._around_plain(call)

    def _around_plain(self, call: Callable[[], Any]) -> Callable[[], Any]:
        def run() -> Any:
            with contextlib.ExitStack() as stack:
                for scope in self._plain:
                    stack.enter_context(scope())
                return call()

        return run

    def _around_async(self, call: Callable[[], Any]) -> Callable[[], Any]:
        async def run() -> Any:
            async with contextlib.AsyncExitStack() as stack:
                for scope in self._async:
                    await stack.enter_async_context(scope())
                return await call()

        return run
