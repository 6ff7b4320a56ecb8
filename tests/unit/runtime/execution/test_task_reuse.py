"""Which attempts share an asyncio task: those that wait for nothing and leave nothing running, and no other."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable

import pytest

from penstock.job import ClaimedJob
from penstock.runtime.execution.task_reuse import MAX_JOBS_PER_TASK, TaskReuser
from tests.unit.runtime.support import job, until

flavour: contextvars.ContextVar[str] = contextvars.ContextVar("flavour", default="none")


class Bench:
    """Jobs that all do the same, and the tasks that they ran in."""

    def __init__(self, work: Callable[[ClaimedJob], Awaitable[None]]) -> None:
        self.jobs: deque[ClaimedJob] = deque()
        self.tasks: list[asyncio.Task[None]] = []
        self.ended = 0
        self.work = work
        self.chain = TaskReuser(take=self.take, waiting=lambda: self.jobs, attempt=self.attempt)

    def take(self, task: asyncio.Task[None]) -> ClaimedJob | None:
        if not self.jobs:
            return None
        self.tasks.append(task)
        return self.jobs.popleft()

    async def attempt(self, one: ClaimedJob) -> None:
        try:
            await self.work(one)
        except asyncio.CancelledError:
            pass
        finally:
            self.ended += 1

    async def run(self, count: int) -> int:
        """Run so many; how many tasks it took."""
        self.jobs.extend(job() for _ in range(count))
        self.chain.start()
        await until(lambda: self.ended == count)
        return len(set(self.tasks))


async def nothing(_: ClaimedJob) -> None:
    """Waits for nothing."""


async def waits(_: ClaimedJob) -> None:
    await asyncio.sleep(0)


async def leaves_a_value(one: ClaimedJob) -> None:
    assert flavour.get() == "none"
    flavour.set(f"of job {one.id}")


async def puts_it_back(_: ClaimedJob) -> None:
    flavour.reset(flavour.set("mine"))


async def cancels_itself(_: ClaimedJob) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


class Touchy:
    """Its comparison raises, as that of an array does."""

    def __eq__(self, _: object) -> bool:
        raise ValueError("ambiguous")

    def __hash__(self) -> int:
        return 1


touchy: contextvars.ContextVar[Touchy] = contextvars.ContextVar("touchy")


async def leaves_what_cannot_be_compared(_: ClaimedJob) -> None:
    touchy.set(Touchy())


async def test_jobs_that_wait_for_nothing_share_a_task():
    """That is what the chain is for."""
    assert await Bench(nothing).run(MAX_JOBS_PER_TASK) == 1


async def test_a_task_ends_after_a_number_of_attempts():
    """The event loop has other things to do."""
    assert await Bench(nothing).run(3 * MAX_JOBS_PER_TASK) == 3


@pytest.mark.parametrize("work", [waits, leaves_a_value, cancels_itself, leaves_what_cannot_be_compared])
async def test_a_job_that_waits_or_leaves_something_shares_its_task_with_none_after_it(work):
    """Sessions, timeouts and values that are kept by task or context never meet another job."""
    assert await Bench(work).run(10) == 10


async def test_a_context_that_was_put_back_is_no_hindrance():
    """As tracing does: set and reset."""
    assert await Bench(puts_it_back).run(10) == 1


async def test_jobs_that_wait_all_run_at_once():
    """The follower goes on while an attempt waits."""
    gate = asyncio.Event()

    async def together(_: ClaimedJob) -> None:
        await gate.wait()

    bench = Bench(together)
    run = asyncio.create_task(bench.run(20))
    await until(lambda: len(bench.tasks) == 20)
    gate.set()
    assert await run == 20


async def test_after_cancel_nothing_starts():
    """The stage is stopping."""
    bench = Bench(nothing)
    bench.jobs.append(job())
    follower = bench.chain.start()
    bench.chain.cancel()
    await asyncio.wait([follower])
    assert not bench.tasks
