"""Tasks that use the store, ended for good."""

from __future__ import annotations

import asyncio

from penstock.cancellation import cancel_and_wait


async def test_a_task_that_loses_a_cancellation_is_cancelled_again_and_the_others_once():
    """The results are in the order of the tasks."""
    cancellations = {"deaf": 0, "quick": 0}

    async def waits(name: str, *, deaf: bool) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                cancellations[name] += 1
                if not deaf or cancellations[name] == 2:
                    raise

    async def fails() -> None:
        raise ValueError("no")

    tasks = [asyncio.create_task(waits(name, deaf=name == "deaf")) for name in cancellations] + [
        asyncio.create_task(fails())
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        ends = await cancel_and_wait(tasks, retry_seconds=0.01)
    assert [type(end) for end in ends] == [asyncio.CancelledError, asyncio.CancelledError, ValueError]
    assert cancellations == {"deaf": 2, "quick": 1}
    assert await cancel_and_wait([]) == []
