"""Logs when a task blocks the event loop: one line with the task and its stack, while it does.

A thread of its own checks the time of the loop's last tick. Must not touch the loop otherwise: a blocked loop cannot
answer, and a check must cost a working loop nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Final

from penstock.job import ClaimedJob

from .logs import fields

logger = logging.getLogger("penstock.loop")

BLOCKED_SECONDS: Final = 3.0
"""Without a tick until it is logged; a garbage collection or a busy machine takes less."""
MAX_FRAMES: Final = 12
_OURS: Final = ("/penstock/runtime/", "/asyncio/")


class LoopWatchdog:
    """Watches the loop in which it is made, from `start` to `close`.

    Args:
        ticked: when the loop last ticked, on the clock.
        job_of: the job whose attempt an asyncio task is, if it is one; called from the thread.
        seconds: without a tick until a line is written, once for each block.
    """

    def __init__(
        self,
        *,
        ticked: Callable[[], float],
        job_of: Callable[[asyncio.Task[object]], ClaimedJob | None],
        seconds: float = BLOCKED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ticked, self._job_of, self._seconds, self._clock = ticked, job_of, seconds, clock
        self._loop, self._runs_in = asyncio.get_running_loop(), threading.get_ident()
        self._logged_for = float("-inf")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="penstock-loop-watch", daemon=True)

    def start(self) -> None:
        """Watch."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._over.set()
        self._thread.join(timeout=1.0)

    def _watch(self) -> None:
        while not self._over.wait(self._seconds / 4):
            with contextlib.suppress(Exception):  # a failed check must not stop the thread
                self._check()

    def _check(self) -> None:
        ticked = self._ticked()
        blocked = self._clock() - ticked
        if blocked < self._seconds or ticked == self._logged_for:
            return
        self._logged_for = ticked
        frame = sys._current_frames().get(self._runs_in)  # noqa: SLF001 - the documented way to another thread's stack
        task = asyncio.current_task(self._loop)
        job = None if task is None else self._job_of(task)
        name = "a callback" if task is None else f"task {task.get_name()}"
        if job is not None:
            name = f"task {job.task}"
        extra = {"blocked_seconds": round(blocked, 1), "blocked_by": name, "stack": stack_of(frame)}
        logger.warning("event loop blocked", extra=extra if job is None else {**fields(job), **extra})


def stack_of(frame: FrameType | None) -> str:
    """Where a thread is, in one line, innermost call first; without the frames around the application's."""
    if frame is None:
        return "no stack"
    found: list[str] = []
    for entry in reversed(traceback.extract_stack(frame)):
        if any(part in entry.filename for part in _OURS):
            if found:
                break
            continue
        found.append(f"{entry.name} ({entry.filename}:{entry.lineno})")
    more = f" < {len(found) - MAX_FRAMES} more" if len(found) > MAX_FRAMES else ""
    return (" < ".join(found[:MAX_FRAMES]) or "code of the worker") + more
