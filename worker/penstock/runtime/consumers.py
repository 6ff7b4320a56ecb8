"""The pod's consumers: asks for jobs as slots come free, runs them, emits what they ended in.

A producer-consumer in manual mode, so that demand follows free slots and not deliveries. Two ways of asking: while
jobs are short (mean below 50 ms) up to `max_demand` are held, asked for again at `min_demand`, so that claims are
large; while they are long, or nothing is known yet, no more than the slots, each asked for as it comes free, so that no
job waits in a busy pod while another pod idles. Nothing is started while acknowledgements pile up. A job that was there
at two crashes is run alone, with nothing else held, so that it takes no neighbour with it a third time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence

from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.stages import ProducerConsumer, Subscription

from .attempt import asked, broken
from .awaitables import is_closing
from .chain import Chain
from .failure import is_a
from .last_net import without_outcome
from .outcome_batcher import BATCH, OutcomeBatcher
from .pace import Pace

SUSPECT_CRASHES = 2
"""Losses of its worker after which a job is run alone; the third makes a dead letter."""
LONGEST_HOLD = 5.0
"""Seconds that a job may be held unstarted before it is handed back."""


class Consumers(ProducerConsumer[ClaimedJob, Finished]):
    """`concurrency` slots over one queue of claimed jobs.

    Args:
        run: runs an attempt. Whatever it raises, its own cancellation aside, is a failed attempt of the job.
        interrupt: tells a running attempt that it is unwanted; True if its asyncio task may be cancelled.
        alone: whether this process holds one job, and no claim is on its way.
        apart: whether a job runs where it can take nobody with it, so that a suspect need not be alone.
        give_back: takes claims of attempts that were stopped because the lease was lost, to be released.
        concurrency: jobs that run at once.
        min_demand: while jobs are short, ask again when as few are held.
        max_demand: while jobs are short, hold up to as many.
    """

    def __init__(
        self, *, run: Callable[[ClaimedJob], Awaitable[Finished]], interrupt: Callable[[ClaimedJob], bool],
        alone: Callable[[], bool], apart: Callable[[ClaimedJob], bool],
        give_back: Callable[[Sequence[ClaimedJob]], None], concurrency: int, min_demand: int, max_demand: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(name="consumers", buffer_size=None)
        self._run_attempt, self._interrupt, self._alone, self._clock = run, interrupt, alone, clock
        self._apart, self._give_back = apart, give_back
        self.concurrency, self._min, self._max = concurrency, min_demand, max_demand
        self._subscription: Subscription | None = None
        self._waiting_jobs: deque[ClaimedJob] = deque()
        self._suspects: deque[ClaimedJob] = deque()
        self._solo, self._arrived, self._asked = False, 0.0, 0
        self._running: dict[int, tuple[ClaimedJob, asyncio.Task[None]]] = {}
        self._pace = Pace()
        self._cancelling: set[int] = set()
        self._losing: set[int] = set()
        self._giving_up = False
        busy = lambda: self.prefetching and (bool(self._waiting_jobs) or len(self._running) > 1)  # noqa: E731
        self._outcomes = OutcomeBatcher(emit=self.push, busy=busy)
        self.flush = self._outcomes.flush
        """Emit the outcomes gathered so far."""
        self._chain = Chain(take=self._take, waiting=lambda: self._waiting_jobs, attempt=self._attempt)
        self.unacknowledged = 0
        """Outcomes emitted and not yet accepted; the acknowledger lowers it."""
        self.asking = True
        """False: ask for nothing and start nothing (cordoned, draining)."""

    def attach(self, subscription: Subscription) -> None:
        """The subscription to the claimer; the first demand goes out."""
        self._subscription = subscription
        self.ask()

    @property
    def prefetching(self) -> bool:
        """Whether jobs are short enough to be held ahead of free slots."""
        return self._pace.short

    @property
    def held(self) -> int:
        """Running, waiting for a slot, or asked for."""
        return len(self._running) + len(self._waiting_jobs) + len(self._suspects) + self._asked

    @property
    def suspects(self) -> int:
        """Jobs that were there at two crashes: waiting to be run alone, or being run so."""
        return len(self._suspects) + self._solo

    @property
    def running(self) -> int:
        """Attempts under way."""
        return len(self._running)

    def job_of(self, task: object) -> ClaimedJob | None:
        """The job whose attempt an asyncio task is; from any thread while the loop is blocked."""
        return next((job for job, one in reversed(list(self._running.values())) if one is task), None)

    @property
    def waiting(self) -> int:
        """Jobs held unstarted."""
        return len(self._waiting_jobs)

    def ask(self) -> None:
        """Ask for what the window allows."""
        if not self.asking or self.unacknowledged > 2 * BATCH or self.suspects:
            return
        if self.prefetching:
            window, level = self._max, self._min
        else:
            window = min(self._max, self.concurrency)
            level = window - 1
        if self.held <= level:
            self._ask_for(window - self.held)

    def top_up(self) -> None:
        """Fill slots that `min_demand` leaves free: no claim is so large that it is worth a slot idle for long."""
        free = self.concurrency - self.held
        if self.asking and self.unacknowledged <= 2 * BATCH and free > 0 and not self.suspects:
            self._ask_for(free)

    def _ask_for(self, count: int) -> None:
        if self._subscription is not None:
            self._asked += count
            self._subscription.ask(count)

    async def handle_events(self, events: Sequence[ClaimedJob], subscription: Subscription) -> Sequence[Finished]:
        """Jobs arrived: start as many as there are slots."""
        del subscription
        self._asked = max(0, self._asked - len(events))
        for job in events:
            suspect = job.crashes >= SUSPECT_CRASHES and not self._apart(job)
            (self._suspects if suspect else self._waiting_jobs).append(job)
        self._arrived = self._clock()
        self.start_waiting()
        return []

    def start_waiting(self) -> None:
        """Start waiting jobs while slots are free and acknowledgements keep up."""
        waiting, running = self._waiting_jobs, self._running
        if not self.asking or not (waiting or self._suspects):
            return
        loop = asyncio.get_running_loop()
        if self.suspects:
            if not running and self._suspects and self._alone():
                job, self._solo = self._suspects.popleft(), True
                running[id(job)] = (job, asyncio.Task(self._attempt(job), loop=loop))
            return
        if self._pace.instant:
            self._chain.start()
            return
        while waiting and len(running) < self.concurrency and self.unacknowledged <= 2 * BATCH:
            job = waiting.popleft()
            running[id(job)] = (job, asyncio.Task(self._attempt(job), loop=loop))

    def _take(self, task: asyncio.Task[None]) -> ClaimedJob | None:
        full = len(self._running) >= self.concurrency or self.unacknowledged > 2 * BATCH
        if full or not self._waiting_jobs or not self.asking or self.suspects:
            return None
        job = self._waiting_jobs.popleft()
        self._running[id(job)] = (job, task)
        return job

    async def _attempt(self, job: ClaimedJob) -> None:
        try:
            finished = await self._run_attempt(job)
        except BaseException as error:  # also of our own: without an outcome the slot is lost
            if is_closing(error):
                raise
            lost, asked_for, stopped = self._why_stopped(job, error)
            if stopped and not (lost or asked_for):
                self._ended(job)
                raise  # its claim is being released
            self._settle(job, lost, asked(job) if stopped else broken(job, error))
            return
        self._ended(job)
        if finished.state is not OutcomeState.SNOOZE:
            self._pace.ran(finished.duration)
        self.unacknowledged += 1
        self._outcomes.add(finished)
        self.start_waiting()
        self.ask()

    def _why_stopped(self, job: ClaimedJob, error: BaseException) -> tuple[bool, bool, bool]:
        """Is its lease lost, was its end requested, is the error a cancellation of ours?"""
        lost, asked_for = id(job) in self._losing, id(job) in self._cancelling
        return lost, asked_for, is_a(error, asyncio.CancelledError) and (asked_for or lost or self._giving_up)

    def _settle(self, job: ClaimedJob, lost: bool, finished: Finished) -> None:
        """Free the slot of an attempt that has no outcome of its own."""
        self._ended(job)
        if lost:
            self._give_back([job])
        else:
            self._emit_later(finished)
        self.start_waiting()
        self.ask()

    def sweep(self) -> None:
        """For the ticker: free the slots of attempts that ended without an outcome, whatever did that."""
        for job, error in [] if self._giving_up else without_outcome(self._running):
            lost, asked_for, _ = self._why_stopped(job, error)
            self._settle(job, lost, asked(job) if asked_for else broken(job, error))

    def _ended(self, job: ClaimedJob) -> None:
        self._running.pop(id(job), None)
        self._cancelling.discard(id(job))
        self._losing.discard(id(job))
        self._solo = False

    def _emit_later(self, finished: Finished) -> None:
        self.unacknowledged += 1
        self._outcomes.add(finished)

    def acknowledged(self, count: int) -> None:
        """So many outcomes were accepted: room for more."""
        self.unacknowledged -= count
        self.start_waiting()
        self.ask()

    async def on_call(self, request: object) -> None:
        """Answers behind the deliveries that arrived before: whoever waits for it has seen them all."""
        del request

    def take_waiting(self) -> list[ClaimedJob]:
        """Give up what is held unstarted, to be released."""
        jobs, self._waiting_jobs = [*self._waiting_jobs, *self._suspects], deque()
        self._suspects.clear()
        return jobs

    def take_stale(self) -> list[ClaimedJob]:
        """What has been held unstarted for too long, or beside a suspect, another suspect too, to be released."""
        if self.suspects:
            first = 0 if self._solo else 1
            jobs = [*self._waiting_jobs, *list(self._suspects)[first:]]
            self._waiting_jobs, self._suspects = deque(), deque(list(self._suspects)[:first])
            return jobs
        if self._waiting_jobs and not self.prefetching and self._clock() - self._arrived > LONGEST_HOLD:
            return self.take_waiting()
        return []

    def drop(self, fenced: Collection[tuple[int, int]]) -> list[ClaimedJob]:
        """Unstarted jobs that are no longer ours, by (id, token); what runs keeps running, fenced."""
        dropped = [job for job in (*self._waiting_jobs, *self._suspects) if (job.id, job.token) in fenced]
        if dropped:
            self._waiting_jobs = deque(job for job in self._waiting_jobs if (job.id, job.token) not in fenced)
            self._suspects = deque(job for job in self._suspects if (job.id, job.token) not in fenced)
        return dropped

    def cancel_jobs(self, ids: Collection[int]) -> None:
        """These jobs are to end: those that wait end now, those on the event loop are interrupted.

        A function in a thread sees `ctx.cancelled`, and its job ends as cancelled when it returns.
        """
        for unstarted in (self._waiting_jobs, self._suspects):
            for job in [job for job in unstarted if job.id in ids]:
                unstarted.remove(job)
                self._emit_later(asked(job))
        for job, task in list(self._running.values()):
            if job.id in ids and id(job) not in self._cancelling and self._interrupt(job):
                self._cancelling.add(id(job))
                # Behind its first step: a task cancelled before that never runs, and its slot would never come free.
                asyncio.get_running_loop().call_soon(task.cancel)

    def stop_running(self, chosen: Callable[[ClaimedJob], bool]) -> None:
        """The lease is lost: stop the attempts that may not run beside another one, and give their claims back."""
        for job, task in list(self._running.values()):
            if id(job) not in self._losing and chosen(job):
                self._losing.add(id(job))
                asyncio.get_running_loop().call_soon(task.cancel)  # see cancel_jobs

    async def idle(self) -> None:
        """Wait until no attempt is under way."""
        while self._running:
            await asyncio.wait([task for _, task in self._running.values()], return_when=asyncio.FIRST_COMPLETED)

    async def cancel_running(self) -> list[ClaimedJob]:
        """Cancel every attempt and wait for it; the jobs that have no outcome. Threads cannot be interrupted."""
        attempts, self._giving_up = list(self._running.values()), True
        self._chain.cancel()
        await asyncio.sleep(0)  # every task has taken its first step then; see cancel_jobs
        for _, task in attempts:
            task.cancel()
        if attempts:
            await asyncio.wait([task for _, task in attempts], timeout=1.0)
        return [job for job, task in attempts if id(job) in self._running or task.cancelled()]

    async def on_stop(self, reason: object) -> None:
        """End with nothing running: what was not acknowledged is the lease's matter."""
        del reason
        self._outcomes.close()
        await self.cancel_running()
