"""Coroutines that run beside a block: named, referenced, and heard of when they end by themselves.

None of them is meant to end before the block does: one that raises, or returns, is a defect and is told to `broke`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

AGAIN_SECONDS = 0.5
"""A cancellation may be lost: before Python 3.12 `asyncio.wait_for`, which the connection pool uses, can swallow one
that comes as the wait is over. A worker was seen to hang for it at its end; so it is said again."""


@contextlib.asynccontextmanager
async def beside(broke: Callable[[str], None], **coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
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
        left = set(tasks)
        while left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
        await asyncio.gather(*tasks, return_exceptions=True)


def _ended(broke: Callable[[str], None], task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    broke(f"{task.get_name()} ended: {'it returned' if error is None else repr(error)}")
