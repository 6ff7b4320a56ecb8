"""Soft timeouts: a TimeoutError raised inside the task, on an event loop or in the main thread of a process.

Owns how a timeout gets into the task; must not decide what becomes of the attempt. For a plain function the means is
SIGALRM, the only way into code that does not cooperate: a task in a child process must not use that signal.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TypeVar

from penstock.errors import TaskTimeout

from .outcomes import AnyTask

R = TypeVar("R")


def overdue(task: AnyTask, *, kind: str = "timeout", seconds: float | None = None) -> TaskTimeout:
    """The error of an attempt that took too long."""
    limit = task.timeout if seconds is None else seconds
    return TaskTimeout(f"task {task.name!r}: ran longer than its {kind} of {limit or 0:g} s")


async def run_with_timeout(task: AnyTask, call: Callable[[], Awaitable[R]], *, left: float | None = None) -> R:
    """Await the call, for as long as the task may take.

    Args:
        task: its `timeout` counts; without one there is no limit.
        call: what to await.
        left: seconds that are left of the timeout; default: all of it.

    Raises:
        TaskTimeout: it took longer; it was cancelled and has finished.
    """
    if task.timeout is None:
        return await call()
    try:
        async with asyncio.timeout(task.timeout if left is None else left) as scope:
            return await call()
    except TimeoutError as error:
        if scope.expired():
            raise overdue(task) from error
        raise


class Alarm:
    """Raises TaskTimeout inside a plain function. One per process, made and used in its main thread."""

    def __init__(self) -> None:
        self._task: AnyTask | None = None
        self.install()

    def install(self) -> None:
        """Install the handler and stop the timer, at the start and after each job: a task may have used them."""
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, self._ring)

    def within(self, task: AnyTask, call: Callable[[], R]) -> R:
        """Call, for as long as the task may take. Raises TaskTimeout."""
        if task.timeout is None:
            return call()
        self._task = task
        try:
            signal.setitimer(signal.ITIMER_REAL, task.timeout)
            return call()
        finally:
            self._task = None
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if (task := self._task) is not None:  # otherwise it fired as the call returned
            self._task = None
            raise overdue(task)
