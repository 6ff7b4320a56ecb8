"""Each child that was started ends once in the counts, by why; over real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from penstock.runtime.execution.processes.child import ChildLost
from penstock.runtime.execution.processes.pool import ProcessPool
from penstock.runtime.execution.processes.stats import exit_reason
from tests.unit.runtime.support import job, until


async def run(children: ProcessPool, what: str, *, lease: float | None = None, killed: str | None = None) -> None:
    child = await children.take()
    until = None if lease is None else time.monotonic() + lease
    future = child.start_job(job(task=what), until=until, report=lambda found: None)
    if killed is not None:
        child.kill(killed)
    try:
        await future
    except ChildLost:
        children.lost(crashed=True)
    finally:
        children.put_back(child)


def ended(children: ProcessPool) -> dict[str, int]:
    return {reason: count for reason, count in children.stats.exits.items() if count}


async def test_exits_with_a_job_are_distinguished(pool):
    """By itself, killed for one of the reasons that the executor has, and at the end of the lease."""
    children = pool()
    await run(children, "leave")
    await until(lambda: ended(children) == {"crash": 1})
    for reason in ("hard_timeout", "cancelled", "released"):
        await run(children, "linger", killed=reason)
    await run(children, "sole", lease=0.2)
    await until(lambda: children.stats.exits.total() == 5)
    assert ended(children) == dict.fromkeys(("crash", "hard_timeout", "cancelled", "released", "lease_lost"), 1)


@pytest.mark.parametrize(("limits", "reason"), [({"max_jobs": 1}, "max_jobs"), ({"max_bytes": 1}, "memory")])
async def test_one_that_is_replaced_says_for_what(pool, limits, reason):
    """And its successor counts as started."""
    children = pool(**limits)
    await run(children, "pid")
    await until(lambda: ended(children) == {reason: 1} and children.stats.alive == 1)
    assert children.stats.started == 2


async def test_one_that_ends_idle_or_with_its_worker_is_no_crash(pool):
    """Nobody's job was lost."""
    children = pool()
    await children.open()
    child = await children.take()
    children.put_back(child)
    os.kill(child.pid, signal.SIGKILL)
    await until(lambda: ended(children) == {"idle": 1})
    await children.open()
    assert children.stats.alive == 1
    await children.close(5.0)
    assert ended(children) == {"idle": 1, "closing": 1}


async def test_one_that_does_not_come_up_has_ended_too(pool):
    """Cut off as well as by itself."""
    broken = pool(app="tests.unit.runtime.no_such_module:app")
    with pytest.raises(ChildLost):
        await broken.open()
    assert ended(broken) == {"start": 1}
    children = pool()
    start = asyncio.create_task(children.open())
    await until(lambda: children.stats.started == 1)
    start.cancel()
    await asyncio.wait([start])
    assert ended(children) == {"start": 1}


def test_every_word_for_an_end_is_one_of_the_closed_list():
    """What a child wrote ends it as a crash would; a label for anything else would appear with its first event."""
    assert exit_reason(leaving=None, killed="pipe", busy=True, late=False) == "crash"
    assert exit_reason(leaving="memory", killed="closing", busy=False, late=False) == "memory"
