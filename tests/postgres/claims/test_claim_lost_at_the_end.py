"""A claim whose reply is lost while the worker leaves: its jobs go back, or the worker does not call itself empty."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from penstock.app.task import TaskRegistry
from penstock.runtime.claims.claimer import Claimer
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.store import Store
from tests.postgres import desk
from tests.support.postgres_proxy import Proxy
from tests.unit.runtime.support import running_state


@dataclass
class ClaimPermit:
    """A lease that stands."""

    worker: int
    queue: int

    def may_claim(self) -> bool:
        return True


async def lose_a_claim(proxy: Proxy, store: Store, worker: desk.Worker) -> Claimer:
    """A claimer whose one claim was done and not answered, closing."""
    claimer = Claimer(
        store=store,
        permit=ClaimPermit(worker.id, worker.queue),
        state=running_state(),
        held_claims=HeldClaims(),
        queue="q",
        poll_seconds=60,
        metrics=WorkerMetrics(queue="q", tasks=TaskRegistry(), version="0"),
        listening=lambda: False,
        rng=random.Random(),
    )
    proxy.drop_reply("penstock.claim")
    await claimer.start()
    claimer.pending = 3
    claimer.wake()
    async with asyncio.timeout(60):
        while not proxy.dropped:
            await asyncio.sleep(0.005)
    return claimer


async def test_what_is_returned_is_tried_again_until_the_database_answers(pg_newest, newest):
    """The reply of the release is lost: forgotten here, the claims would stay with a worker that renews its lease."""
    worker = desk.register(newest)
    desk.enqueue(newest, 3)
    held_claims = HeldClaims()
    with Proxy(pg_newest.url) as proxy:
        async with Store(proxy.url, lanes=1) as store:
            claimer = Claimer(
                store=store,
                permit=ClaimPermit(worker.id, worker.queue),
                state=running_state(),
                held_claims=held_claims,
                queue="q",
                poll_seconds=60,
                metrics=WorkerMetrics(queue="q", tasks=TaskRegistry(), version="0"),
                listening=lambda: False,
                rng=random.Random(),
            )
            jobs = await desk.claim_some(store, worker)
            held_claims.add(jobs)
            proxy.drop_reply("penstock.release")
            await claimer.start()
            claimer.release_later(jobs)
            async with asyncio.timeout(60):
                await held_claims.empty()
            await claimer.stop()
    assert proxy.dropped
    assert newest.execute("SELECT count(*), sum(attempt) FROM penstock.job WHERE token IS NULL").fetchone() == (3, 0)


async def test_a_claim_lost_while_closing_is_released_before_the_end(pg_newest, newest):
    """Nobody else knows of it: a job with a worker that is gone would wait for the next worker to be lost."""
    worker = desk.register(newest)
    desk.enqueue(newest, 3)
    with Proxy(pg_newest.url) as proxy:
        async with Store(proxy.url, lanes=1) as store:
            claimer = await lose_a_claim(proxy, store, worker)
            await claimer.close()
            await claimer.stop()
            assert not claimer.may_hold_unknown_claims
    assert newest.execute("SELECT count(*), sum(attempt) FROM penstock.job WHERE token IS NULL").fetchone() == (3, 0)


async def test_a_claim_that_cannot_be_asked_about_any_more_keeps_the_worker_from_leaving_empty(pg_newest, newest):
    """The server is out of reach: the worker is marked lost instead of forgotten, and rescue takes the jobs."""
    worker = desk.register(newest)
    desk.enqueue(newest, 3)
    with Proxy(pg_newest.url) as proxy:
        async with Store(proxy.url, lanes=1) as store:
            claimer = await lose_a_claim(proxy, store, worker)
            for _ in range(50):
                proxy.drop_reply()
            await claimer.close()
            assert claimer.may_hold_unknown_claims
            await claimer.stop()
