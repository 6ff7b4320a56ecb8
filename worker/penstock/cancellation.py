"""Ending tasks that use the store, for good.

Before Python 3.12 `asyncio.wait_for`, which the connection pool waits with, can swallow a cancellation that comes just
as the wait is over; a worker and a local run were seen to hang for it at their end. So a cancellation is said again
until the task has ended. Our own code waits with `asyncio.timeout`, which loses none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AGAIN_SECONDS = 5.0
"""Longer than what a task has to close takes: a second cancellation would interrupt that."""


async def cancel_and_wait(
    tasks: Iterable[asyncio.Task[None]], *, retry_seconds: float = AGAIN_SECONDS
) -> list[BaseException | None]:
    """Cancel tasks and wait until each has ended; what each ended with, in order, as `gather` would tell it.

    Args:
        tasks: those that have ended already are harmless.
        retry_seconds: after so many the cancellation is said again.
    """
    ending = list(tasks)
    left = {task for task in ending if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=retry_seconds)
    return await asyncio.gather(*ending, return_exceptions=True)
