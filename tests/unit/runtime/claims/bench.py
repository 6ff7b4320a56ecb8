"""A claimer in virtual time: a queue in memory on one side, a consumer that asks on the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.job import ClaimedJob
from penstock.runtime.claims.claimer import Claimer
from penstock.runtime.claims.held_claims import HeldClaims
from penstock.runtime.observe.metrics import WorkerMetrics
from penstock.stages import CancelMode, Consumer, Subscription
from tests.unit.runtime.support import job, running_state, store_of

HORIZON = 100
WORKER, QUEUE = 1, 7


def now() -> float:
    """Virtual seconds."""
    return asyncio.get_running_loop().time()


@dataclass
class Permit:
    """A lease that says what the test wants."""

    worker: int = WORKER
    queue: int = QUEUE
    allowed: bool = True

    def may_claim(self) -> bool:
        return self.allowed


class MemoryQueue:
    """A store with one queue: its jobs, its waiting mark, transactions of others; every call with its time."""

    def __init__(self) -> None:
        self.ready: list[ClaimedJob] = []
        self.calls: list[tuple[str, float]] = []
        self.limits: list[int] = []
        self.tokens: list[int] = []
        self.errors: list[Exception | None] = []
        """Of the next claims, in order; when the list is empty, claims succeed."""
        self.lasting_error: Exception | None = None
        self.replies = asyncio.Event()
        """Cleared: claims are not answered."""
        self.replies.set()
        self.mark_error: Exception | None = None
        self.writer_open = False
        """A transaction of before the mark is open."""
        self.released: list[ClaimedJob] = []
        self.released_tokens: list[int] = []

    def times(self, call: str) -> list[float]:
        return [at for name, at in self.calls if name == call]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def note(self, call: str) -> None:
        self.calls.append((call, now()))

    async def claim(self, worker: int, queue: int, name: str, limit: int, token: int) -> list[ClaimedJob]:
        assert (worker, queue, name) == (WORKER, QUEUE, "q")
        self.note("claim")
        self.limits.append(limit)
        self.tokens.append(token)
        await self.replies.wait()
        if (error := self.errors.pop(0) if self.errors else self.lasting_error) is not None:
            raise error
        taken, self.ready = self.ready[:limit], self.ready[limit:]
        return taken

    async def release(self, worker: int, jobs: Sequence[ClaimedJob]) -> int:
        self.note("release")
        self.released += jobs
        return len(jobs)

    async def release_claim(self, worker: int, queue: int, token: int) -> int:
        assert (worker, queue) == (WORKER, QUEUE)
        self.note("release_claim")
        self.released_tokens.append(token)
        return 0

    async def mark_waiting(self, queues: list[int], seconds: float) -> float:
        assert queues == [QUEUE]
        self.note("mark")
        if self.mark_error is not None:
            raise self.mark_error
        return seconds

    async def take_xid(self) -> int:
        self.note("take_xid")
        return HORIZON

    async def oldest_xid(self) -> int:
        self.note("oldest_xid")
        return HORIZON if self.writer_open else HORIZON + 1


class Taker(Consumer[ClaimedJob]):
    """Takes what it asked for; notes when, and how many claims had arrived by then."""

    def __init__(self, held_claims: HeldClaims) -> None:
        super().__init__(name="taker")
        self.held_claims = held_claims
        self.taken: list[ClaimedJob] = []
        self.seen: list[tuple[float, int]] = []

    async def handle_events(self, events: Sequence[ClaimedJob], subscription: Subscription) -> None:
        self.taken.extend(events)
        self.seen.append((now(), len(self.held_claims)))


class Bench:
    """One claimer with its neighbors."""

    def __init__(self, *, poll: float, listening: bool) -> None:
        self.store, self.permit, self.state, self.held_claims = MemoryQueue(), Permit(), running_state(), HeldClaims()
        self.metrics = WorkerMetrics(queue="q", tasks=["work"], version="1")
        self.taker = Taker(self.held_claims)
        self.claimer = Claimer(
            store=store_of(self.store),
            permit=self.permit,
            state=self.state,
            held_claims=self.held_claims,
            metrics=self.metrics,
            queue="q",
            poll_seconds=poll,
            listening=lambda: listening,
            rng=random.Random(1),
            clock=asyncio.get_running_loop().time,
        )

    async def start(self) -> None:
        await self.claimer.start()
        await self.taker.start()
        self.subscription = await self.taker.subscribe(self.claimer, mode="manual", cancel=CancelMode.TEMPORARY)

    def ask(self, count: int) -> None:
        """Emit demand."""
        self.subscription.ask(count)

    def enqueue(self, count: int) -> list[ClaimedJob]:
        """Jobs become ready; nobody is woken."""
        jobs = [job() for _ in range(count)]
        self.store.ready += jobs
        return jobs

    async def stop(self) -> None:
        self.store.replies.set()
        for stage in (self.claimer, self.taker):
            await stage.stop(timeout=60)
