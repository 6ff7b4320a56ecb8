"""Runs attempts in child processes: timeouts, kills, and the outcome when a child exits.

Owns the two limits after which a child process is killed: the hard timeout, and five seconds for a cancelled attempt to
stop. A child that exits fails its one job; the third crash of a job makes a dead letter. A soft timeout implies a hard
one five seconds later, because a child that does not react to the first would hang.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from penstock.errors import ChildCrashed
from penstock.job import ClaimedJob, Finished, OutcomeState
from penstock.runtime.execution.outcomes import AnyTask, OutcomeBuilder
from penstock.runtime.execution.timeouts import overdue
from penstock.runtime.observe.logs import fields

from .child import ChildHandle, ChildLost
from .pool import NoChild, ProcessPool
from .protocol import AttemptOutcome, finished

logger = logging.getLogger("penstock.children")

GRACE_SECONDS: Final = 5.0
"""From a soft timeout, or from a cancellation, to the kill."""
RELEASE_SECONDS: Final = 0.5
NO_CHILD_DELAY: Final = 30.0

ProgressFields = dict[str, float | str]


class LeaseDeadline(Protocol):
    """The moment until which the claims of this worker are its own."""

    @property
    def until(self) -> float:
        """On the monotonic clock; every exclusive attempt must have stopped by then."""


class ChildExecutor:
    """The executor "process".

    Args:
        children: the processes.
        outcomes: builds the outcomes that do not come from a child.
        lease: the lease.
        report: called with a job and the progress that its attempt reports.
        release_seconds: time to stop for an attempt whose claim is being released; then its child is killed.
    """

    def __init__(
        self,
        *,
        children: ProcessPool,
        outcomes: OutcomeBuilder,
        lease: LeaseDeadline,
        report: Callable[[ClaimedJob, ProgressFields], None],
        clock: Callable[[], float] = time.monotonic,
        release_seconds: float = RELEASE_SECONDS,
    ) -> None:
        self._children, self._outcomes, self._lease, self._clock = children, outcomes, lease, clock
        self.stats = children.stats
        self._report, self._release_seconds = report, release_seconds
        self._running: dict[int, ChildHandle] = {}
        self._exclusive: set[ChildHandle] = set()
        self._interrupted: set[int] = set()

    async def open(self) -> None:
        """Start the first child. Raises ChildCrashed, with the reason."""
        try:
            await self._children.open()
        except ChildLost as lost:
            said = "".join(f"\n  {line}" for line in lost.said)
            raise ChildCrashed(f"executor 'process': a child process does not start: {lost.how}{said}") from lost

    async def close(self, seconds: float) -> None:
        """Stop all child processes, and kill those that do not exit in time."""
        await self._children.close(seconds)

    async def run(self, job: ClaimedJob, task: AnyTask) -> Finished:
        """Run the job in a child. Raises nothing but cancellation."""
        try:
            child = await self._children.take()
        except NoChild as error:
            logger.error("job deferred, no child process starts", extra={**fields(job), "error": str(error)})
            return Finished(job=job, state=OutcomeState.SNOOZE, delay=NO_CHILD_DELAY, reason="no_child")
        started = self._clock()
        self._running[id(job)] = child
        if task.exclusive:
            self._exclusive.add(child)
        limit = _hard_limit(task)
        timer = None if limit is None else asyncio.get_running_loop().call_later(limit, child.kill, "hard_timeout")
        try:
            reply = await self._ended(child, job, self._lease.until if task.exclusive else None)
            return finished(job, reply)
        except ChildLost as lost:
            if child.until is not None and self._clock() >= child.until:
                return self._of_end_of_lease(job)
            return self._of_lost(job, task, lost, self._clock() - started)
        finally:
            if timer is not None:
                timer.cancel()
            del self._running[id(job)]
            self._interrupted.discard(id(job))
            self._exclusive.discard(child)
            self._children.put_back(child)

    async def _ended(self, child: ChildHandle, job: ClaimedJob, until: float | None) -> AttemptOutcome:
        future = child.start_job(job, until=until, report=functools.partial(self._report, job))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:  # the claim is being released: the attempt must be over first
            child.interrupt()
            try:
                with contextlib.suppress(TimeoutError, ChildLost):
                    async with asyncio.timeout(self._release_seconds):
                        await asyncio.shield(future)
            finally:
                if not future.done():  # also if it is cancelled again
                    child.kill("released")
            if future.done() and (reply := _completed(future)) is not None:
                return reply  # it completed: if the claim is still ours, no retry is needed
            raise

    def _of_end_of_lease(self, job: ClaimedJob) -> Finished:
        """It stopped itself: if the claim is still ours, the job is retried and its attempt refunded."""
        self._children.lost(crashed=False)
        logger.warning("exclusive job cancelled, lease not renewed in time", extra=fields(job))
        return Finished(job=job, state=OutcomeState.SNOOZE, reason="lease_lost")

    def _of_lost(self, job: ClaimedJob, task: AnyTask, lost: ChildLost, duration: float) -> Finished:
        self._children.lost(crashed=lost.killed in {None, "pipe"})
        match lost.killed:
            case "cancelled":
                return Finished(job=job, state=OutcomeState.CANCELLED, duration=duration, reason="asked")
            case "hard_timeout":
                error = overdue(task, kind="hard timeout", seconds=_hard_limit(task))
                return self._outcomes.for_error(job, task, error, duration)
        crash = ChildCrashed(f"task {task.name!r}: the child process crashed during the attempt: {lost.how}")
        if lost.said:
            crash.add_note("its last lines:\n" + "\n".join(lost.said))
        logger.error("child process crashed during an attempt", extra={**fields(job), "error": str(crash)})
        return self._outcomes.for_crash(job, task, crash, duration)

    # -- from outside ---------------------------------------------------------------------------------------------

    def interrupt(self, job: ClaimedJob) -> bool:
        """Ask this job to stop, and kill its child after the grace; False if it does not run here."""
        child = self._running.get(id(job))
        if child is None:
            return False
        if id(job) not in self._interrupted:  # every renewal repeats it
            self._interrupted.add(id(job))
            child.interrupt()
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill_if_running, job, child)
        return True

    def _kill_if_running(self, job: ClaimedJob, child: ChildHandle) -> None:
        if self._running.get(id(job)) is child:
            child.kill("cancelled")

    def renewed(self) -> None:
        """The lease was renewed: exclusive attempts may go on."""
        for child in self._exclusive:
            child.prolong(self._lease.until)


def _completed(future: asyncio.Future[AttemptOutcome]) -> AttemptOutcome | None:
    """The outcome, if it is a success."""
    if future.cancelled() or future.exception() is not None or future.result().state is not OutcomeState.COMPLETED:
        return None
    return future.result()


def _hard_limit(task: AnyTask) -> float | None:
    """Seconds until the child is killed, None: never."""
    if task.hard_timeout is not None or task.timeout is None:
        return task.hard_timeout
    return task.timeout + GRACE_SECONDS
