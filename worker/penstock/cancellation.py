"""Cancels tasks that use the store, and waits until they have finished.

Before Python 3.12 `asyncio.wait_for`, which the connection pool waits with, can swallow a cancellation that comes just
as the wait is over; a worker and a local run hung at their shutdown because of it. The cancellation is therefore
repeated until the task has ended. Our own code waits with `asyncio.timeout`, which loses none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

RETRY_SECONDS = 5.0
"""Longer than a task takes to close its resources, which a second cancellation would interrupt."""


async def cancel_and_wait(
    tasks: Iterable[asyncio.Task[None]], *, retry_seconds: float = RETRY_SECONDS
) -> list[BaseException | None]:
    """Cancel tasks and wait until each has ended; returns their results in order, as `gather` does.

    Args:
        tasks: may include tasks that have already ended.
        retry_seconds: until the cancellation is repeated.
    """
    cancelled = list(tasks)
    left = {task for task in cancelled if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=retry_seconds)
    return await asyncio.gather(*cancelled, return_exceptions=True)
