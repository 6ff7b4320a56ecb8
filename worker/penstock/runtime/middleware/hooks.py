"""Calls an application's hooks, which may be slow, wrong or many: no job waits for one, and none harms a job.

Plain functions for events of attempts are called at once, on the event loop; every other hook gets a task of its own,
plain functions in a thread. The first exception of each function is logged with its traceback, later ones are only
counted. While a thousand calls run, further ones are dropped and counted: a hook that hangs must not fill the memory.
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

from ..execution.awaitables import await_fully, is_awaitable, is_closing

logger = logging.getLogger("penstock.hooks")

MAX_CALLS = 1000
THREADS = 4
ON_THE_LOOP = frozenset({"job.start", "job.stop", "job.exception"})

HookFunction = Callable[[Any], Any]


class HookDispatcher:
    """The hooks of one worker.

    Args:
        hooks: of the App, as they are now; functions added later are not called.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._functions = {event: hooks.functions(event) for event in EVENTS}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="penstock-hook")
        self._in_threads, self._counting = 0, threading.Lock()
        self._calls: set[asyncio.Task[None]] = set()
        self._logged: set[HookFunction] = set()
        self.failed: Counter[str] = Counter(dict.fromkeys(EVENTS, 0))
        """Calls that raised or were dropped, by event."""

    def has_functions(self, *events: str) -> bool:
        """Return True if one of these events has a function."""
        return any(self._functions[event] for event in events)

    def dispatch(self, event: str, value: object) -> None:
        """Call the functions of an event. Never raises; waits for none."""
        for function in self._functions[event]:
            if inspect.iscoroutinefunction(function):
                self._start(event, function, self._awaited(event, function, value))
            elif event in ON_THE_LOOP:
                self._call(event, function, value)
            else:
                self._start(event, function, self._in_thread(event, function, value))

    @property
    def stuck(self) -> bool:
        """True if a function is still in a thread, which nothing can interrupt."""
        return self._in_threads > 0

    async def close(self, seconds: float) -> None:
        """Wait up to `seconds` for running calls; then cancel them, and abandon those in threads."""
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1.0)
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _start(self, event: str, function: HookFunction, call: Coroutine[Any, Any, None]) -> None:
        if len(self._calls) >= MAX_CALLS:
            call.close()
            self.failed[event] += 1
            self._log_once(event, function, None)
            return
        name = f"hook {event}"
        task = asyncio.get_running_loop().create_task(call, name=name, context=contextvars.copy_context())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def _call(self, event: str, function: HookFunction, value: object) -> None:
        try:
            answer = function(value)
        except BaseException as error:  # noqa: BLE001 - whatever it raises, the attempt around it goes on
            self._failed(event, function, error)
            return
        if answer is not None and is_awaitable(answer):  # an async function inside a plain decorator
            self._start(event, function, self._settled(event, function, answer))

    async def _awaited(self, event: str, function: HookFunction, value: object) -> None:
        try:
            await function(value)
        except BaseException as error:  # noqa: BLE001 - what leaves a task as SystemExit would reach the event loop
            self._failed(event, function, error)

    async def _settled(self, event: str, function: HookFunction, answer: object) -> None:
        try:
            await await_fully(answer)
        except BaseException as error:  # noqa: BLE001 - as above
            self._failed(event, function, error)

    async def _in_thread(self, event: str, function: HookFunction, value: object) -> None:
        try:
            run = asyncio.get_running_loop().run_in_executor(self._threads, self._called, function, value)
            answer, error = await run
        except BaseException as raised:  # noqa: BLE001 - no thread can be started, or it is cancelled
            self._failed(event, function, raised)
            return
        if error is not None:
            self._failed(event, function, error)
        elif answer is not None and is_awaitable(answer):
            await self._settled(event, function, answer)

    def _called(self, function: HookFunction, value: object) -> tuple[object, BaseException | None]:
        """As a value, whatever it raises: a future cannot hold a StopIteration."""
        with self._counting:
            self._in_threads += 1
        try:
            return function(value), None
        except BaseException as error:  # noqa: BLE001 - as above
            return None, error
        finally:
            with self._counting:
                self._in_threads -= 1

    def _failed(self, event: str, function: HookFunction, error: BaseException) -> None:
        if is_closing(error):
            raise error
        current = asyncio.current_task()
        if current in self._calls and current.cancelling():
            raise error  # `close` has cancelled it
        self.failed[event] += 1
        self._log_once(event, function, error)

    def _log_once(self, event: str, function: HookFunction, error: BaseException | None) -> None:
        if function in self._logged:
            return
        self._logged.add(function)
        name = getattr(function, "__qualname__", repr(function))
        extra = {"hook": name, "event": event}
        if error is None:
            logger.error("hook not called, too many calls are running; later ones are only counted", extra=extra)
        else:
            logger.error("hook raised, later errors of it are only counted", exc_info=error, extra=extra)
