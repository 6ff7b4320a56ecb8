"""An async function inside a plain decorator: wherever the decorator runs, what it returns is awaited as a task is."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from penstock import App, Context
from penstock.job import Finished, OutcomeState
from tests.unit.runtime.execution.test_hostile_attempts import attempts
from tests.unit.runtime.support import job, until

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="none")


def for_a_tenant(function: Callable[..., Any]) -> Callable[..., Any]:
    """A plain decorator that leaves something in the context."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        tenant.set("acme")
        return function(*args, **kwargs)

    return wrapper


async def ran(app: App, **values: Any) -> Finished:
    with ThreadPoolExecutor(1) as threads:
        return await attempts(app, threads).run(job(task="work", **values))


async def test_it_runs_on_the_event_loop_with_the_context_of_its_decorator():
    """As if the decorator had been called there."""
    app = App()

    @app.task(name="work")
    @for_a_tenant
    async def work(ctx: Context) -> str:
        assert threading.current_thread() is threading.main_thread()
        await asyncio.sleep(0)
        return f"{tenant.get()} {ctx.attempt}"

    finished = await ran(app)
    assert (finished.state, finished.result) == (OutcomeState.COMPLETED, '"acme 1"')
    assert tenant.get() == "none"


async def test_its_timeout_is_raised_inside_it():
    """It can be interrupted, as a function in a thread cannot."""
    app, caught = App(), list[str]()

    @app.task(name="work", timeout=0.05)
    @for_a_tenant
    async def work() -> None:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            caught.append("cancelled")
            raise

    finished = await ran(app)
    assert (finished.state, finished.reason, caught) == (OutcomeState.RETRY, "timeout", ["cancelled"])


async def test_its_attempt_can_be_cancelled():
    """The cancellation of the attempt reaches it, and is not taken for its error."""
    app, started = App(), list[str]()

    @app.task(name="work")
    @for_a_tenant
    async def work() -> None:
        started.append("started")
        await asyncio.sleep(600)

    attempt = asyncio.create_task(ran(app))
    await until(lambda: started)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
