"""The contract of task exits inline: what `run_inline` says of a task is what a worker stores, in every executor.

The table is `tests.task_exits.TASK_EXITS`; a real worker passes the same table in
`tests/postgres/worker_process/test_worker_task_exits.py`.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator

import pytest

from penstock import App
from penstock.job import OutcomeState
from penstock.testing import InlineRun
from tests import exit_jobs as jobs
from tests.task_exits import TASK_EXITS

STATES = {
    OutcomeState.COMPLETED: "completed",
    OutcomeState.CANCELLED: "cancelled",
    OutcomeState.FAILED: "dead",
    OutcomeState.SNOOZE: "scheduled",
}
OURS = {
    "raises KeyboardInterrupt",
    "is interrupted in a group",  # the person at the tests may press it
    "closes the loop",
    "is closed from outside",
    "exits in a callback",  # it raises KeyboardInterrupt there, too
}
"""Exits that are not a task's in a test: they reach the person, or the loop of the test framework."""
LOOP = {
    "stops the loop",
    "exits in a task that nobody awaits",
    "exits in a done callback",
    "exits below gather",
    "exits in a group",
    "exits under a shield",
    "exits below wait_for",
    "exits in the loop's exception handler",
}
"""Exits that only a loop of our own survives: `run_inline_async` runs in the caller's."""
CASES = [(how, where) for how, expected in TASK_EXITS.items() for where in expected.where if how not in OURS]


def check(run: InlineRun, how: str) -> None:
    expected = TASK_EXITS[how]
    kept = 0 if expected.state == "scheduled" else 1
    assert (STATES[run.state], run.reason, run.attempts) == (expected.state, expected.reason, kept)
    if expected.error:
        assert f"{type(run.exception).__module__}.{type(run.exception).__qualname__}" == expected.error
    if expected.state == "completed":
        assert run.result == expected.result


@pytest.mark.parametrize(("how", "where"), CASES, ids=[f"{how}-{where}" for how, where in CASES])
def test_an_exit_inline_is_the_workers(how, where):
    """Same state, attempts, reason and error."""
    [run] = jobs.app.run_inline(jobs.TASKS[where].job(how))
    check(run, how)


@pytest.mark.parametrize(("how", "where"), [case for case in CASES if case[0] not in LOOP], ids=str)
async def test_an_exit_inline_in_the_callers_loop_is_the_workers(how, where):
    """Nor does a task that cancels itself cancel its caller."""
    [run] = await jobs.app.run_inline_async(jobs.TASKS[where].job(how))
    check(run, how)


@pytest.mark.parametrize("max_attempts", [1, 5])
def test_a_result_that_cannot_be_kept_is_not_tried_again(max_attempts):
    """The task has run and its effects are there."""
    app, ran = App(), []

    @app.task(max_attempts=max_attempts)
    def opaque() -> object:
        ran.append(1)
        return object()

    [run] = app.run_inline(opaque.job())
    assert (run.state, run.reason, run.attempts, ran) == (OutcomeState.FAILED, "unstorable_result", 1, [1])


def test_a_lifespan_is_entered_and_left_in_one_asyncio_task():
    """Task groups and cancel scopes insist on it; a job has a task of its own."""
    app, tasks = App(), []
    inside: contextvars.ContextVar[str] = contextvars.ContextVar("inside", default="no")

    @app.lifespan
    async def group() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup() as running, asyncio.timeout(60):
            running.create_task(asyncio.sleep(0))
            token = inside.set("yes")
            yield
            inside.reset(token)
        tasks.append(asyncio.current_task())

    @app.task
    async def work() -> None:
        tasks.append(asyncio.current_task())

    app.run_inline(work.job(), work.job())
    entered, first, second, left = tasks
    assert entered is left
    assert len({entered, first, second}) == 3


@pytest.mark.parametrize("error", [LookupError("no pool"), SystemExit(3)], ids=repr)
def test_a_lifespan_that_cannot_be_entered_is_reported_as_it_is(error, caplog):
    """And nothing is left running."""
    app = App()

    @app.lifespan
    async def broken() -> AsyncIterator[None]:
        if app.tasks:
            raise error
        yield

    @app.task
    async def work() -> None: ...

    with pytest.raises(type(error)):
        app.run_inline(work.job())
    assert not [one for one in caplog.records if "pending" in one.message]
