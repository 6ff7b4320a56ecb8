"""Exclusive attempts and the lease: none starts, and none goes on, while another worker may run the same job."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from penstock import App
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.claims.exclusive import Exclusive
from tests.unit.runtime.support import completed, job

LEASE = 10.0


def made(app: App, clock: SimpleNamespace) -> Exclusive:
    lease = SimpleNamespace(seconds=LEASE, until=LEASE)
    return Exclusive(tasks=app.tasks, lease=cast("Any", lease), slots=cast("Any", None), clock=lambda: float(clock.now))


async def run(one: ClaimedJob) -> Finished:
    return completed(one)


async def test_an_exclusive_attempt_that_would_start_too_late_is_put_off():
    """It was claimed in time and waited for a slot; meanwhile the lease ran out, and somebody else may have the job."""
    app = App()

    @app.task(name="sole", aliases=["former"], exclusive=True)
    async def sole() -> None: ...

    @app.task(name="work")
    async def work() -> None: ...

    clock = SimpleNamespace(now=LEASE - 1)
    guarded = made(app, clock).guarding(run)
    assert (await guarded(job(task="sole"))).state is OutcomeState.COMPLETED
    clock.now = LEASE - 0.1  # too short to end in time
    for name in ("sole", "former"):
        late = await guarded(job(task=name))
        assert (late.state, late.reason, late.delay) == (OutcomeState.SNOOZE, "lease_lost", 0.0)
    assert (await guarded(job(task="work"))).state is OutcomeState.COMPLETED


async def test_an_app_without_exclusive_tasks_pays_nothing():
    """Its attempts run as they are."""
    app = App()

    @app.task(name="work")
    async def work() -> None: ...

    assert made(app, SimpleNamespace(now=0.0)).guarding(run) is run
