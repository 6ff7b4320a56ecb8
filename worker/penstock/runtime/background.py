"""Background tasks of a block: named, referenced, and reported when one stops by itself.

None of them may stop before the block does: one that raises, or returns, is an error of this program.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from penstock.cancellation import cancel_and_wait

RECANCEL_SECONDS = 0.5
"""Interval at which a task is cancelled again if it swallowed its cancellation."""


@contextlib.asynccontextmanager
async def run_in_background(
    failed: Callable[[str], None], **coroutines: Coroutine[Any, Any, None]
) -> AsyncIterator[None]:
    """Run coroutines as tasks while the block runs, and cancel them after it.

    Args:
        failed: called with a description when one stops before the block does.
        **coroutines: by the names of their tasks.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
    report = functools.partial(_report, failed)
    for task in tasks:
        task.add_done_callback(report)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(report)
        await cancel_and_wait(tasks, retry_seconds=RECANCEL_SECONDS)


def _report(failed: Callable[[str], None], task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    failed(f"background task {task.get_name()} stopped: {'it returned' if error is None else repr(error)}")
