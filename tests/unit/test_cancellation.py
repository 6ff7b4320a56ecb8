"""Tasks that use the store, ended for good."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from penstock.cancellation import cancel_and_wait, run_together


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


async def losing_one() -> None:
    """Loses the first cancellation, as a wait for a connection may."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


async def test_what_runs_together_ends_although_one_of_it_loses_a_cancellation():
    """The parts of maintenance, for example: a TaskGroup would not cancel that one again, and the worker never exit."""
    together = asyncio.create_task(run_together(leadership=asyncio.sleep(3600), chores=losing_one()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    async with asyncio.timeout(30):
        [end] = await cancel_and_wait([together], retry_seconds=0.01)
    assert isinstance(end, asyncio.CancelledError)
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() in {"leadership", "chores"}] == []


async def test_the_first_failure_of_what_runs_together_cancels_the_rest_and_is_raised():
    """As it is, not in a group."""

    async def fails() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_together(rest=asyncio.sleep(3600), failure=fails())
    assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "rest"] == []


async def test_a_wait_that_is_cancelled_leaves_no_task_running():
    """It cancels them again, and reports its own cancellation once they have ended."""
    task = asyncio.create_task(losing_one())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancel_and_wait([task], retry_seconds=3600))
    await asyncio.sleep(0)
    waiting.cancel()
    async with asyncio.timeout(30):
        [end] = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError)
    assert task.cancelled()
