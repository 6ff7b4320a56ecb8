"""Calls an application's hooks. They may be slow, wrong or many: no job waits for one, and none harms a job.

Plain functions of the events of attempts are called where they arise, on the event loop; everything else is a task of
its own, plain functions in a thread. Each function's first exception is logged with its traceback, later ones are only
counted. Surprising: with a thousand calls under way further ones are dropped, and counted, because a hook that hangs
must not fill the memory.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from penstock.events import EVENTS, Hooks

logger = logging.getLogger("penstock.hooks")

MOST_CALLS = 1000
THREADS = 4
ON_THE_LOOP = frozenset({"job.start", "job.stop", "job.exception"})

RAISED = (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError)
"""Whatever an application's function raises: the last three would end the attempt, or the event loop."""

Function = Callable[[Any], Any]


class Announcer:
    """The hooks of one worker.

    Args:
        hooks: of the App, as they are now: what is added later is not heard.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._functions = {event: hooks.functions(event) for event in EVENTS}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="penstock-hook")
        self._in_threads, self._counting = 0, threading.Lock()
        self._calls: set[asyncio.Task[None]] = set()
        self._said: set[Function] = set()
        self.failed: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))
        """Calls that raised or were dropped, by event."""

    def hears(self, *events: str) -> bool:
        """Whether anybody listens to one of these."""
        return any(self._functions[event] for event in events)

    def tell(self, event: str, value: object) -> None:
        """Call everybody who listens. Never raises; waits for nobody."""
        for function in self._functions[event]:
            if inspect.iscoroutinefunction(function):
                self._begin(event, function, self._awaited(event, function, value))
            elif event in ON_THE_LOOP:
                self._call(event, function, value)
            else:
                self._begin(event, function, self._in_thread(event, function, value))

    @property
    def stuck(self) -> bool:
        """Whether a function is still in a thread, which nothing can interrupt."""
        return self._in_threads > 0

    async def close(self, seconds: float) -> None:
        """Wait for calls under way, so long at most; then cancel them, and forget those in threads."""
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, event: str, function: Function, call: Coroutine[Any, Any, None]) -> None:
        if len(self._calls) >= MOST_CALLS:
            call.close()
            self.failed[event] += 1
            self._say(event, function, None)
            return
        name = f"hook {event}"
        task = asyncio.get_running_loop().create_task(call, name=name, context=contextvars.copy_context())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _call(self, event: str, function: Function, value: object) -> None:
        try:
            function(value)
        except RAISED as error:
            self._failed(event, function, error)

    async def _awaited(self, event: str, function: Function, value: object) -> None:
        try:
            await function(value)
        except RAISED as error:
            self._failed(event, function, error)

    async def _in_thread(self, event: str, function: Function, value: object) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._called, function, value)
        except RAISED as error:
            self._failed(event, function, error)

    def _called(self, function: Function, value: object) -> None:
        with self._counting:
            self._in_threads += 1
        try:
            function(value)
        finally:
            with self._counting:
                self._in_threads -= 1

    def _failed(self, event: str, function: Function, error: BaseException) -> None:
        current = asyncio.current_task()
        if current in self._calls and current.cancelling():
            raise error  # `close` has cancelled it
        self.failed[event] += 1
        self._say(event, function, error)

    def _say(self, event: str, function: Function, error: BaseException | None) -> None:
        if function in self._said:
            return
        self._said.add(function)
        name = getattr(function, "__qualname__", repr(function))
        what = "is not called: too many calls are under way" if error is None else "raised"
        logger.error("hook %s for %s %s; this is said once", name, event, what, exc_info=error)
