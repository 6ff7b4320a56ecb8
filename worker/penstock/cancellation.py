"""Cancels tasks that use the store, and waits until they have finished.

Before Python 3.12 `asyncio.wait_for`, which the connection pool waits with, can swallow a cancellation that comes just
as the wait is over; a worker and a local run hung at their shutdown because of it. The cancellation is therefore
repeated until the task has ended. Our own code waits with `asyncio.timeout`, which loses none, and does not run such
tasks in a `TaskGroup`, which cancels each of them once, however often it is cancelled itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import Any

RETRY_SECONDS = 5.0
"""Longer than a task takes to close its resources, which a second cancellation would interrupt."""


async def cancel_and_wait(
    tasks: Iterable[asyncio.Task[None]], *, retry_seconds: float = RETRY_SECONDS
) -> list[BaseException | None]:
    """Cancel tasks and wait until each has ended; returns their results in order, as `gather` does.

    A cancellation of this wait cancels the tasks again, and is raised once they have ended.

    Args:
        tasks: may include tasks that have already ended.
        retry_seconds: until the cancellation is repeated.
    """
    cancelled = list(tasks)
    interruption: asyncio.CancelledError | None = None
    while left := {task for task in cancelled if not task.done()}:
        for task in left:
            task.cancel()
        try:
            await asyncio.wait(left, timeout=retry_seconds)
        except asyncio.CancelledError as error:
            interruption = error
    results = await asyncio.gather(*cancelled, return_exceptions=True)
    if interruption is not None:
        raise interruption
    return results


async def run_together(**coroutines: Coroutine[Any, Any, None]) -> None:
    """Run coroutines as tasks until all have ended, one has failed, or this is cancelled; then cancel what is left.

    Args:
        **coroutines: by the names of their tasks, `_` for a blank.

    Raises:
        Exception: what the first of them that failed raised.
    """
    tasks = [asyncio.create_task(one, name=name.replace("_", " ")) for name, one in coroutines.items()]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in ended:
            task.result()
    finally:
        await cancel_and_wait(tasks)
