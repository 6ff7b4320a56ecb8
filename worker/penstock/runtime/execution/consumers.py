"""The consumer stage of a worker: asks for jobs as slots come free, starts them, emits their outcomes in batches.

A producer-consumer in manual mode: demand follows free slots, not deliveries. It owns the jobs that wait for a
slot and the number of unacknowledged outcomes; `DemandPolicy` decides how many to ask for, `Slots` has what runs,
`Isolation` the suspects, `OutcomeBatcher` the outcomes, and `WorkerState` says what is allowed. While acknowledgements
do not keep up, nothing is asked for and nothing starts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence

from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.stages import ProducerConsumer, Subscription

from ..state import WorkerState
from .attempt import cancelled_by_request, internal_error
from .awaitables import is_closing
from .demand_policy import DemandPolicy
from .isolation import Isolation
from .outcome_batcher import BATCH, OutcomeBatcher
from .run_time import RunTimeEstimate
from .slots import Slots
from .task_reuse import TaskReuser

MAX_HOLD_SECONDS = 5.0
"""A job that waits longer for a slot is released for another worker."""
MAX_UNACKNOWLEDGED = 2 * BATCH
"""Outcomes emitted and not acknowledged; with more, nothing is asked for and nothing starts."""


class Consumers(ProducerConsumer[ClaimedJob, Finished]):
    """The slots of one worker over one queue of claimed jobs.

    Args:
        run: runs an attempt. Whatever it raises, its own cancellation aside, is a failed attempt of the job.
        state: what this worker may do; gets the events of suspects, of a backlog and of the final cancellation.
        policy: how many jobs to ask for.
        slots: where attempts run.
        isolation: keeps suspects.
        release: takes claims of attempts that were stopped because the lease was lost; they are released later.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        run: Callable[[ClaimedJob], Awaitable[Finished]],
        state: WorkerState,
        policy: DemandPolicy,
        slots: Slots,
        isolation: Isolation,
        release: Callable[[Sequence[ClaimedJob]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(name="consumers", buffer_size=None)
        self._run_attempt, self._release, self._clock = run, release, clock
        self._state, self._policy, self._slots, self._isolation = state, policy, slots, isolation
        self._subscription: Subscription | None = None
        self._waiting: deque[ClaimedJob] = deque()
        self._arrived_at = 0.0
        self._requested = 0
        self._run_time = RunTimeEstimate()
        self._outcomes = OutcomeBatcher(emit=self.push, busy=self._more_outcomes_soon)
        self.flush = self._outcomes.flush
        """Emit the outcomes gathered so far."""
        self._reuser = TaskReuser(take=self._take, waiting=lambda: self._waiting, attempt=self._attempt)
        self.unacknowledged = 0
        """Outcomes emitted or gathered, and not yet accepted by the store."""

    def attach(self, subscription: Subscription) -> None:
        """The subscription to the claimer; the first demand goes out."""
        self._subscription = subscription
        self.ask()

    @property
    def prefetching(self) -> bool:
        """True if jobs are short enough to be claimed ahead of free slots."""
        return self._run_time.is_short

    @property
    def outstanding(self) -> int:
        """Jobs that run, wait for a slot, or were asked for and not delivered; suspects that wait aside."""
        return len(self._slots.running) + len(self._waiting) + self._requested

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return len(self._waiting)

    def ask(self) -> None:
        """Ask for as many jobs as the policy allows."""
        if self._state.may_ask:
            self._ask_for(self._policy.to_ask(self.outstanding, prefetching=self._run_time.is_short))

    def top_up(self) -> None:
        """Fill slots that `min_demand` leaves free: no claim is so large that it is worth a slot idle for long."""
        if self._state.may_ask:
            self._ask_for(self._policy.to_fill_slots(self.outstanding))

    def _ask_for(self, count: int) -> None:
        if count > 0 and self._subscription is not None:
            self._requested += count
            self._subscription.ask(count)

    async def handle_events(self, events: Sequence[ClaimedJob], subscription: Subscription) -> Sequence[Finished]:
        """Jobs arrived: start as many as there are slots."""
        del subscription
        self._requested = max(0, self._requested - len(events))
        for job in events:
            if not self._isolation.takes(job):
                self._waiting.append(job)
        self._arrived_at = self._clock()
        self.start_waiting()
        return []

    def start_waiting(self) -> None:
        """Start the jobs that wait, as far as slots are free and the worker's state allows."""
        if not self._state.may_start:
            if self._state.may_isolate:
                self._start_suspect()
            return
        if not self._waiting:
            return
        if self._run_time.is_instant:
            self._reuser.start()
            return
        waiting, slots, loop = self._waiting, self._slots, asyncio.get_running_loop()
        while waiting and len(slots.running) < slots.concurrency:
            job = waiting.popleft()
            slots.add(job, asyncio.Task(self._attempt(job), loop=loop))

    def _start_suspect(self) -> None:
        if not self._slots.running and (job := self._isolation.start_next()) is not None:
            self._slots.add(job, asyncio.Task(self._attempt(job), loop=asyncio.get_running_loop()))

    def _take(self, task: asyncio.Task[None]) -> ClaimedJob | None:
        """The next job to run in a task that has just run another; None: no job, no slot, or not allowed."""
        if not self._waiting or not self._state.may_start or self._slots.full:
            return None
        job = self._waiting.popleft()
        self._slots.add(job, task)
        return job

    async def _attempt(self, job: ClaimedJob) -> None:
        try:
            finished = await self._run_attempt(job)
        except BaseException as error:  # also an error of the worker's own: without an outcome the slot is lost
            if is_closing(error):
                raise
            stopped = self._slots.stopped_by_worker(job, error, stopped=self._state.stopped)
            lost, by_request = self._slots.claim_lost(job), self._slots.cancelled_by_request(job)
            if stopped and not (lost or by_request):
                self._free(job)
                raise  # its claim is being released
            self._settle(job, lost, cancelled_by_request(job) if stopped else internal_error(job, error))
            return
        self._free(job)
        if finished.state is not OutcomeState.SNOOZE:
            self._run_time.add(finished.duration)
        self._emit_later(finished)
        self.start_waiting()
        self.ask()

    def _settle(self, job: ClaimedJob, lost: bool, finished: Finished) -> None:
        """Free the slot of an attempt that has no outcome of its own."""
        self._free(job)
        if lost:
            self._release([job])
        else:
            self._emit_later(finished)
        self.start_waiting()
        self.ask()

    def sweep(self) -> None:
        """For the ticker: free the slots of attempts that finished without an outcome, whatever caused it."""
        if self._state.stopped:
            return
        for job, error in self._slots.without_outcome():
            by_request = self._slots.cancelled_by_request(job)
            self._settle(
                job,
                self._slots.claim_lost(job),
                cancelled_by_request(job) if by_request else internal_error(job, error),
            )

    def _free(self, job: ClaimedJob) -> None:
        self._slots.free(job)
        if self._isolation.running is job:
            self._isolation.finished(job)

    def _emit_later(self, finished: Finished) -> None:
        self.unacknowledged += 1
        if self.unacknowledged == MAX_UNACKNOWLEDGED + 1:
            self._state.backlog_changed(full=True)
        self._outcomes.add(finished)

    def _more_outcomes_soon(self) -> bool:
        return self._run_time.is_short and (bool(self._waiting) or len(self._slots.running) > 1)

    def acknowledged(self, count: int) -> None:
        """This many outcomes were accepted: room for more."""
        before, self.unacknowledged = self.unacknowledged, self.unacknowledged - count
        if before > MAX_UNACKNOWLEDGED >= self.unacknowledged:
            self._state.backlog_changed(full=False)
        self.start_waiting()
        self.ask()

    async def on_call(self, request: object) -> None:
        """Answers after the deliveries that arrived before it: its caller has seen them all."""
        del request

    def take_waiting(self) -> list[ClaimedJob]:
        """Remove and return the jobs that were not started, to be released."""
        jobs, self._waiting = [*self._waiting, *self._isolation.take_all()], deque()
        return jobs

    def take_stale(self) -> list[ClaimedJob]:
        """Remove and return the jobs to be released: those that waited too long, or keep a suspect from being alone."""
        if len(self._isolation):
            jobs, self._waiting = [*self._waiting, *self._isolation.take_excess()], deque()
            return jobs
        if self._waiting and not self.prefetching and self._clock() - self._arrived_at > MAX_HOLD_SECONDS:
            return self.take_waiting()
        return []

    def drop(self, fenced: Collection[tuple[int, int]]) -> list[ClaimedJob]:
        """Take out the unstarted jobs whose claims, (id, token), are no longer ours; what runs stays, fenced."""
        dropped = [job for job in self._waiting if (job.id, job.token) in fenced]
        if dropped:
            self._waiting = deque(job for job in self._waiting if (job.id, job.token) not in fenced)
        return [*dropped, *self._isolation.take_claims(fenced)]

    def cancel_jobs(self, ids: Collection[int]) -> None:
        """Cancel these jobs by request: those that wait have their outcome now, those that run are interrupted."""
        unwanted = [job for job in self._waiting if job.id in ids]
        if unwanted:
            self._waiting = deque(job for job in self._waiting if job.id not in ids)
        for job in (*unwanted, *self._isolation.take_jobs(ids)):
            self._emit_later(cancelled_by_request(job))
        self._slots.cancel(ids)

    async def cancel_running(self) -> list[ClaimedJob]:
        """Cancel every attempt for good and wait a second for them; returns the jobs without an outcome."""
        self._state.stop()
        self._reuser.cancel()
        return await self._slots.cancel_all()

    async def on_stop(self, reason: object) -> None:
        """Stop with nothing running: the lease covers what was not acknowledged."""
        del reason
        self._outcomes.close()
        await self.cancel_running()
