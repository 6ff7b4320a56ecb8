"""The pool of child processes, over real ones: kept warm, replaced, and an error when none comes up."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from penstock.runtime.execution.processes import protocol
from penstock.runtime.execution.processes.child import ChildLost
from penstock.runtime.execution.processes.pool import STARTS, NoChild, ProcessPool
from tests.unit.runtime.support import job, until

APP = "tests.unit.runtime.execution.processes.child_app:app"


async def run(children: ProcessPool, what: str) -> protocol.AttemptOutcome:
    child = await children.take()
    try:
        return await child.start_job(job(task=what), until=None, report=lambda found: None)
    finally:
        children.put_back(child)


async def test_one_child_is_kept_warm_and_more_are_started_when_needed(pool):
    """As many as run at once, no more; the next job takes one that is there."""
    children = pool()
    await children.open()
    first = await run(children, "pid")
    assert (await run(children, "pid")).result == first.result
    both = [await children.take(), await children.take()]
    for child in both:
        children.put_back(child)
    assert len({child.pid for child in both}) == children.count == 2


async def test_a_child_that_exits_with_its_job_reports_how(pool):
    """The exit code or the signal, and its last words; the next job has another child."""
    children = pool()
    with pytest.raises(ChildLost) as lost:
        await run(children, "leave")
    assert (lost.value.how, lost.value.killed, lost.value.said) == ("exit code 7", None, ["farewell"])
    children.lost(crashed=True)
    assert (await run(children, "pid")).result
    await until(lambda: children.count == 1)


async def test_a_child_that_dies_idle_is_not_given_to_a_job(pool):
    """It is gone from the pool, and another one is started."""
    children = pool()
    await children.open()
    answers = await run(children, "pid")
    os.kill(int(answers.result or 0), signal.SIGKILL)
    await until(lambda: children.count == 0)
    assert (await run(children, "pid")).result != answers.result


async def test_children_that_never_come_up_fail_the_waiting_attempts(pool):
    """After three, with the reason; the job can be deferred."""
    children = pool(app="tests.unit.runtime.no_such_module:app")
    with pytest.raises(ChildLost, match="there is no module"):
        await children.open()
    with pytest.raises(NoChild, match="there is no module"):
        await children.take()
    assert STARTS == 3


async def test_the_progress_of_a_child_arrives(pool):
    """Before its outcome, from a thread of the task's own too."""
    children = pool()
    child = await children.take()
    found: list[dict[str, float | str]] = []
    await child.start_job(job(task="say"), until=None, report=found.append)
    children.put_back(child)
    assert found == [{"done": 1, "total": 2}, {"done": 2, "total": 2, "note": "all"}]


def highest_file() -> int:
    return max(int(path.name) for path in Path("/proc/self/fd").iterdir())


async def test_a_child_that_the_machine_has_no_room_for_is_reported_as_one_that_did_not_come_up(pool):
    """No file left: the caller gets an error, nothing hangs and nothing stays open."""
    children = pool()
    await children.open()
    child = await children.take()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest_file() + 1, hard))
    fillers = []
    try:
        with contextlib.suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        with pytest.raises(NoChild, match="cannot be started"):
            await children.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
    children.put_back(child)
    assert (await run(children, "pid")).result


async def test_a_child_that_no_thread_can_wait_for_is_reported_as_one_that_did_not_come_up(pool):
    """The limit of processes counts threads as well: nothing hangs, and no process is left."""
    children = pool()
    before = threading.stack_size(1 << 60)  # more than any address space, whatever the kernel overcommits
    try:
        with pytest.raises(NoChild, match="cannot be watched"):
            await children.take()
    finally:
        threading.stack_size(before)
    assert children.count == 0
    assert (await run(children, "pid")).result
