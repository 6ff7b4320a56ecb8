"""The end of a worker: what is given up while it drains goes back with the rest."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

from penstock.job import ClaimedJob
from penstock.runtime.claims.claimer import Claimer
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.drain import Drain
from penstock.runtime.observe.metrics import WorkerMetrics
from tests.unit.runtime.support import job, running_state, store_of


class Shelf:
    """A store that takes jobs back."""

    def __init__(self) -> None:
        self.released: list[ClaimedJob] = []

    async def release(self, worker: int, jobs: Sequence[ClaimedJob]) -> int:
        assert {one.worker for one in jobs} == {worker}
        self.released += jobs
        return len(jobs)


async def nothing(*_: object) -> None:
    """A step that has nothing to do."""


async def test_an_attempt_that_loses_its_lease_while_the_worker_drains_is_released(caplog):
    """The claim loop has ended by then: its job stayed claimed to the end of the grace period, and of the lease."""
    shelf, claims, exclusive = Shelf(), HeldClaims(), job()
    claims.add([exclusive])
    metrics, state = WorkerMetrics(queue="q", tasks=["work"], version="1"), running_state()
    claimer = Claimer(
        store=store_of(shelf),
        permit=cast("Any", SimpleNamespace(worker=1, queue=1)),
        state=state,
        held_claims=claims,
        metrics=metrics,
        queue="q",
        poll_seconds=1.0,
        listening=lambda: False,
        rng=random.Random(1),
    )

    async def idle() -> None:
        claimer.release_later([exclusive])

    consumers = SimpleNamespace(call=nothing, take_waiting=list[ClaimedJob], flush=lambda: None)
    slots = SimpleNamespace(running={}, idle=idle)
    drain = Drain(
        claimer=claimer, consumers=cast("Any", consumers), slots=cast("Any", slots), state=state,
        store=store_of(shelf), held_claims=claims, metrics=metrics, grace=2.0,
    )  # fmt: skip
    assert await drain.run()
    assert (shelf.released, metrics.released) == ([exclusive], 1)
    assert not [each for each in caplog.messages if "timed out" in each]


async def test_a_drain_whose_pod_is_killed_sooner_releases_what_runs_within_that_time():
    """A spot notice: the operator gives a worker with an hour to finish one second; it does not wait."""
    shelf, claims, running = Shelf(), HeldClaims(), job()
    claims.add([running])
    metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
    started = asyncio.Event()

    async def idle() -> None:
        started.set()
        await asyncio.Event().wait()

    async def cancel_running() -> list[ClaimedJob]:
        return [running]

    consumers = SimpleNamespace(
        call=nothing, take_waiting=list[ClaimedJob], flush=lambda: None, cancel_running=cancel_running
    )
    slots = SimpleNamespace(running={1: running}, idle=idle)
    drain = Drain(
        claimer=cast("Any", SimpleNamespace(close=nothing, release_pending=nothing, may_hold_unknown_claims=False)),
        consumers=cast("Any", consumers), slots=cast("Any", slots), state=running_state(), store=store_of(shelf),
        held_claims=claims, metrics=metrics, grace=3600.0,
    )  # fmt: skip
    draining = asyncio.create_task(drain.run())
    await started.wait()
    await asyncio.to_thread(drain.shorten, 7200.0)
    assert drain.grace == 3600.0
    await asyncio.to_thread(drain.shorten, 0.5)
    async with asyncio.timeout(60):
        assert await draining
    assert shelf.released == [running]
    assert drain.grace < 60
