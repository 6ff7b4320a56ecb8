"""Running attempts: counted, found by task, cancelled by request or for a lost claim, and known by identity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.job import ClaimedJob
from penstock.runtime.execution.slots import Slots
from tests.unit.runtime.support import job, until

Attempt = Callable[[], Awaitable[object]]


def slots_of(concurrency: int = 3, *, threads: bool = False) -> Slots:
    """Slots whose attempts run on the event loop, or in threads that nothing can interrupt."""
    return Slots(concurrency=concurrency, interrupt=lambda _: not threads)


async def forever() -> None:
    await asyncio.Event().wait()


def start(slots: Slots, one: ClaimedJob, attempt: Attempt = forever) -> asyncio.Task[None]:
    """An attempt that frees its slot when it finishes."""

    async def run() -> None:
        try:
            await attempt()
        finally:
            slots.free(one)

    task = asyncio.get_running_loop().create_task(run())
    slots.add(one, task)
    return task


async def stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_slots_are_full_at_the_concurrency_and_not_before():
    """One attempt more would exceed what the user allowed."""
    slots, jobs = slots_of(2), [job(), job()]
    tasks = [start(slots, jobs[0])]
    assert (slots.full, len(slots.running)) == (False, 1)
    tasks.append(start(slots, jobs[1]))
    assert (slots.full, len(slots.running)) == (True, 2)
    slots.free(jobs[0])
    slots.free(jobs[0])  # idempotent
    assert (slots.full, list(slots.running)) == (False, [id(jobs[1])])
    await stopped(*tasks)


async def test_a_task_is_attributed_to_the_newest_job_that_it_runs():
    """A reused task runs one job after the other; the watchdog names the one that blocks the loop."""
    slots, first, second = slots_of(), job(), job()
    task = start(slots, first)
    slots.add(second, task)
    assert slots.job_of(task) is second
    assert slots.job_of(object()) is None
    await stopped(task)


async def test_cancelling_by_id_interrupts_that_attempt_alone_and_only_once():
    """The request is repeated with every renewal of the lease."""
    interrupted: list[int] = []

    def interrupt(one: ClaimedJob) -> bool:
        interrupted.append(one.id)
        return True

    slots = Slots(concurrency=3, interrupt=interrupt)
    unwanted, other = job(), job()
    tasks = [start(slots, unwanted), start(slots, other)]
    slots.cancel({unwanted.id})
    slots.cancel({unwanted.id})
    assert interrupted == [unwanted.id]
    assert slots.cancelled_by_request(unwanted)
    assert not slots.cancelled_by_request(other)
    assert not slots.claim_lost(unwanted)
    await until(tasks[0].done)
    assert not tasks[1].done()
    await stopped(*tasks)


async def test_an_attempt_cancelled_before_its_first_step_still_frees_its_slot():
    """A task that is cancelled before it has started never runs its own code."""
    slots, one = slots_of(), job()
    task = start(slots, one)
    slots.cancel({one.id})
    await until(task.done)
    assert slots.running == {}


async def test_an_attempt_in_a_thread_is_asked_again_until_it_can_be_interrupted():
    """The thread sees `ctx.cancelled`; its task goes on and is not marked."""
    slots, one = slots_of(threads=True), job()
    task = start(slots, one)
    slots.cancel({one.id})
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not slots.cancelled_by_request(one)
    assert not task.done()
    await stopped(task)


async def test_a_lost_claim_cancels_the_chosen_attempts():
    """By predicate, because only the caller knows which tasks are exclusive; repeating it cancels nothing again."""
    asked: list[ClaimedJob] = []
    slots, lost, other = slots_of(), job(), job()

    async def stubborn() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            await forever()

    tasks = [start(slots, lost, stubborn), start(slots, other)]

    def chosen(one: ClaimedJob) -> bool:
        asked.append(one)
        return one is lost

    slots.lose(chosen)
    for _ in range(3):
        await asyncio.sleep(0)
    slots.lose(chosen)
    for _ in range(3):
        await asyncio.sleep(0)
    assert slots.claim_lost(lost)
    assert not slots.claim_lost(other)
    assert not slots.cancelled_by_request(lost)
    assert asked == [lost, other, other]
    assert [task.done() for task in tasks] == [False, False]
    await stopped(*tasks)


async def test_the_marks_of_an_attempt_go_with_it():
    """`id()` of a later job object may be the same number."""
    slots, one = slots_of(), job()
    task = start(slots, one)
    slots.cancel({one.id})
    slots.lose(lambda _: True)
    slots.free(one)
    assert not slots.cancelled_by_request(one)
    assert not slots.claim_lost(one)
    await stopped(task)


@pytest.mark.parametrize("how", ["request", "lost claim", "stop"])
async def test_a_cancellation_by_the_worker_is_distinguished_from_one_of_the_task_itself(how):
    """Otherwise an attempt that cancels itself would have no outcome, and a stopped one a failure."""
    slots, one = slots_of(), job()
    task = start(slots, one)
    error = asyncio.CancelledError()
    assert not slots.stopped_by_worker(one, error, stopped=False)
    if how == "request":
        slots.cancel({one.id})
    elif how == "lost claim":
        slots.lose(lambda _: True)
    assert slots.stopped_by_worker(one, error, stopped=how == "stop")
    assert not slots.stopped_by_worker(one, ValueError("its own"), stopped=how == "stop")
    await stopped(task)


async def test_idle_waits_for_every_attempt_those_that_start_meanwhile_included():
    """A drain must not go on to the next step while something runs."""
    slots, gates = slots_of(), [asyncio.Event(), asyncio.Event()]
    first, second = job(), job()
    start(slots, first, gates[0].wait)
    waiting = asyncio.get_running_loop().create_task(slots.idle())
    await asyncio.sleep(0)
    start(slots, second, gates[1].wait)
    gates[0].set()
    await until(lambda: id(first) not in slots.running)
    assert not waiting.done()
    gates[1].set()
    await until(waiting.done)
    assert slots.running == {}


@pytest.mark.looptime
async def test_cancelling_everything_returns_the_jobs_without_an_outcome():
    """One that completes all the same has its outcome; one in a thread goes on running and is returned."""
    slots, cut, finishes, goes_on = slots_of(), job(), job(), job()
    ended = asyncio.Event()

    async def completes() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            return

    async def thread() -> None:
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue

    tasks = [start(slots, cut), start(slots, finishes, completes), start(slots, goes_on, thread)]
    assert await slots.cancel_all() == [cut, goes_on]
    ended.set()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_cancelling_everything_with_nothing_running_returns_at_once():
    """A drain of an idle worker."""
    assert await slots_of().cancel_all() == []
