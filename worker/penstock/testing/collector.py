"""Jobs without a database: collected by `app.test_mode()`, run in this process by `app.run_inline()`.

A client in memory, for tests of applications without a server. Owns the collected jobs; `inline` runs them. A job that
is enqueued with a connection is collected, whether or not that connection commits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ..app.collected import InlineRun
from ..errors import UniqueConflict
from ..job import JobInfo, JobState, NewJob, OutcomeState
from ..settings import DEFAULT_MAX_ATTEMPTS
from . import assertions

if TYPE_CHECKING:
    from ..app.task import Task


class JobCollector:
    """`Collected` in memory."""

    def __init__(self) -> None:
        self._jobs: list[NewJob] = []
        self._runs: dict[int, InlineRun] = {}
        self._waiting: deque[int] = deque()
        self._created: list[datetime] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[NewJob]:
        return iter(self._jobs)

    def __getitem__(self, index: int) -> NewJob:
        return self._jobs[index]

    def arguments(self, task: Task[..., Any, ..., Any]) -> list[dict[str, object]]:
        """See `Collected`."""
        return [task.decode(job.args) for job in self._jobs if job.task == task.name]

    def assert_enqueued(
        self, expected: Task[..., Any, ..., Any] | NewJob, *, times: int | None = None, **options: object
    ) -> list[NewJob]:
        """See `Collected`."""
        found = assertions.matching(self._jobs, expected, options)
        if len(found) == times or (times is None and found):
            return found
        count = "" if times is None else f"enqueued {len(found)} of {times}: "
        raise AssertionError(count + assertions.difference(self._jobs, expected, options))

    def assert_not_enqueued(self, expected: Task[..., Any, ..., Any] | NewJob | None = None, **options: object) -> None:
        """See `Collected`."""
        if expected is not None:
            self.assert_enqueued(expected, times=0, **options)
        elif self._jobs:
            raise AssertionError("expected nothing to be enqueued; " + assertions.listed(self._jobs))

    def enqueue(
        self,
        jobs: Sequence[NewJob],
        *,
        connection: object | None = None,  # noqa: ARG002
        wake: bool = True,  # noqa: ARG002
    ) -> list[int]:
        """Collect; ids count from 1."""
        return [self._collect(job) for job in jobs]

    def _collect(self, job: NewJob) -> int:
        if job.unique is not None and (holder := self._holder(job)) is not None:
            if job.unique.on_conflict == "raise":
                raise UniqueConflict(f"enqueue: the unique key {job.unique.key!r} is taken by job {holder}")
            return holder
        self._jobs.append(job)
        self._created.append(datetime.now(UTC))
        self._waiting.append(len(self._jobs))
        return len(self._jobs)

    def _holder(self, job: NewJob) -> int | None:
        """The collected job that has not run and has the key."""
        for job_id, other in enumerate(self._jobs, start=1):
            same = other.unique is not None and job.unique is not None and other.unique.key == job.unique.key
            if same and other.queue == job.queue and job_id not in self._runs:
                return job_id
        return None

    def cancel(self, job_id: int, reason: str | None) -> str | None:  # noqa: ARG002
        """A job that has not run ends as cancelled."""
        if not 0 < job_id <= len(self._jobs) or job_id in self._runs:
            return None
        task = self._jobs[job_id - 1].task
        self._runs[job_id] = InlineRun(job_id=job_id, task=task, state=OutcomeState.CANCELLED, attempts=0)
        self._waiting.remove(job_id)
        return "cancelled"

    async def cancel_async(self, job_id: int, reason: str | None) -> str | None:
        """`cancel`."""
        return self.cancel(job_id, reason)

    async def enqueue_async(
        self, jobs: Sequence[NewJob], *, connection: object | None = None, wake: bool = True
    ) -> list[int]:
        """Collect."""
        return self.enqueue(jobs, connection=connection, wake=wake)

    def info(self, job_id: int) -> JobInfo | None:
        """As the store would say it, from memory."""
        if not 0 < job_id <= len(self._jobs):
            return None
        job, run = self._jobs[job_id - 1], self._runs.get(job_id)
        waiting = JobState.QUEUED if job.delay is None and job.at is None else JobState.SCHEDULED
        states = {
            OutcomeState.COMPLETED: JobState.COMPLETED,
            OutcomeState.CANCELLED: JobState.CANCELLED,
            OutcomeState.FAILED: JobState.DEAD,
        }
        return JobInfo(
            id=job_id,
            state=waiting if run is None else states.get(run.state, JobState.SCHEDULED),
            queue=job.queue,
            task=job.task,
            priority=job.priority,
            attempt=0 if run is None else run.attempts,
            max_attempts=max_attempts_of(job),
            crashes=0,
            created_at=self._created[job_id - 1],
            args=msgspec.json.decode(job.args),
            headers=None if job.headers is None else msgspec.json.decode(job.headers),
            result=None if run is None or run.stored is None else msgspec.json.decode(run.stored),
        )

    async def info_async(self, job_id: int) -> JobInfo | None:
        """`info`."""
        return self.info(job_id)

    def close(self) -> None:
        """Nothing is open."""

    async def close_async(self) -> None:
        """Nothing is open."""

    def take(self) -> tuple[int, NewJob] | None:
        """The oldest job that has not run, with its id; None when all have."""
        if not self._waiting:
            return None
        job_id = self._waiting.popleft()
        return job_id, self._jobs[job_id - 1]

    def ended(self, run: InlineRun) -> None:
        """Remember how a job ended."""
        self._runs[run.job_id] = run

    def wake(self) -> None:
        """Let snoozed jobs be taken once more."""
        snoozed = [job_id for job_id, run in self._runs.items() if run.state is OutcomeState.SNOOZE]
        for job_id in snoozed:
            del self._runs[job_id]
        self._waiting.extendleft(reversed(snoozed))


def max_attempts_of(job: NewJob) -> int:
    """The value of the job, or the default of an undeclared queue."""
    return DEFAULT_MAX_ATTEMPTS if job.max_attempts is None else job.max_attempts
