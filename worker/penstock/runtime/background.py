"""Coroutines that run beside a block: named, referenced, and heard of when they end by themselves.

None of them is meant to end before the block does: one that raises, or returns, is a defect and is told to `broke`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from penstock.cancellation import cancel_and_wait

AGAIN_SECONDS = 0.5
"""None of them has anything to close that takes as long."""


@contextlib.asynccontextmanager
async def run_in_background(
    broke: Callable[[str], None], **coroutines: Coroutine[Any, Any, None]
) -> AsyncIterator[None]:
    """Run coroutines by name beside the block, and cancel them behind it.

    Args:
        broke: called with a sentence when one ends before the block.
        **coroutines: what is to run, by the names that their tasks get.
    """
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
    ended = functools.partial(_ended, broke)
    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(ended)
        await cancel_and_wait(tasks, retry_seconds=AGAIN_SECONDS)


def _ended(broke: Callable[[str], None], task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    broke(f"{task.get_name()} ended: {'it returned' if error is None else repr(error)}")
