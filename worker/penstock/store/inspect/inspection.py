"""Reads what commands show: queues, schedules, workers, jobs, why a job does not run. Reads only; decides nothing.

Each call is one READ ONLY transaction with a time limit, on a separate synchronous connection: a query for people
must never delay a claim. A login of the role `observer` may call everything here; contents that it may not read are
left out, and `Job.redacted` is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

import psycopg

from penstock.database.source import Url
from penstock.errors import StoreError
from penstock.job import JobState

from ..connect import connect
from ..errors import mapped
from ..schedules import ScheduleRow
from ..sql_files import statement

CAP: Final = 10_000
"""Counts of a queue stop here."""
TIMEOUT_SECONDS: Final = 30.0
MAX_LIST_ROWS: Final = 5_000
"""Rows of one list; a longer one is read in pages by `before`."""
_READ_ONLY: Final = b"SELECT set_config('transaction_read_only', 'on', true), set_config('statement_timeout', %s, true)"


class QueueRow(NamedTuple):
    """A queue. Durations are seconds; counts stop at the cap, `capped` says so for `ready`.

    `paused`: for how long, None while it is not. `limit_in_flight` None with a `max_in_flight`: being counted.
    """

    name: str
    declared_by: str | None
    paused: float | None
    paused_by: str | None
    ready: int
    capped: bool
    deferred: int
    in_flight: int
    dead: int
    oldest: float | None
    workers: int
    slots: int
    max_in_flight: int | None
    limit_in_flight: int | None
    max_attempts: int
    retention: float
    job_deadline: float | None

    @property
    def pauser(self) -> str:
        """Who paused the queue, for people."""
        by_declarer = self.declared_by is not None and self.paused_by == self.declared_by
        return "its JobQueue" if by_declarer else self.paused_by or "unknown"

    @property
    def resumable(self) -> bool:
        """True if a resume lasts: a pause by the declarer returns."""
        return self.declared_by is None or self.paused_by != self.declared_by


class QueueStats(NamedTuple):
    """Ended attempts by state; 50th and 95th percentiles of waits and run times in seconds, None without any."""

    name: str
    completed: int
    retried: int
    dead: int
    cancelled: int
    wait_p50: float | None
    wait_p95: float | None
    run_p50: float | None
    run_p95: float | None


class WorkerRow(NamedTuple):
    """A worker. `up`, `renewed`, `lease_left` (negative: over) and `oldest_claimed` are seconds.

    `report` is its report of `renewed` seconds ago: the running `jobs` (id, task, attempt, age, progress), how many
    `more`, and the `last` one that ended; ages in seconds at that time.
    """

    id: int
    identity: str
    pod: str | None
    node: str | None
    version: str
    queues: list[str]
    state: str
    concurrency: int
    in_flight: int
    done: int
    up: float
    renewed: float
    lease_left: float
    oldest_job: int | None
    oldest_task: str | None
    oldest_claimed: float | None
    http: str | None
    report: dict[str, Any]


class JobRow(NamedTuple):
    """A job in a list. `error` is the type of its last error; `message` only for readers of `penstock.jobs`."""

    id: int
    state: str
    queue: str
    task: str
    priority: int
    attempt: int
    max_attempts: int
    crashes: int
    created_at: datetime
    ready_at: datetime | None
    due_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    worker: int | None
    reason: str | None
    error: str | None
    message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs. None: any. `error` is searched in reason, type and (if it may be read) message, ignoring case.

    `since`: ended, or if live created, not before this time. `before`: ids below. `limit`: 1 to 5,000 rows.
    """

    states: frozenset[JobState] = frozenset(JobState)
    queue: str | None = None
    task: str | None = None
    error: str | None = None
    since: datetime | None = None
    before: int | None = None
    limit: int = 50


class Job(NamedTuple):
    """One job with everything that this login may read. `redacted`: contents are left out. `attempts`: ended ones."""

    job: dict[str, Any]
    redacted: bool
    attempts: list[dict[str, Any]]


class Reader:
    """Reads over one connection, opened at first use.

    Args:
        url: a libpq URL; never printed.
        pooled: the URL leads to a pooler in transaction mode.
        timeout: seconds until the server cancels a statement.
    """

    def __init__(self, url: Url, *, pooled: bool = False, timeout: float = TIMEOUT_SECONDS) -> None:
        self._url, self._pooled, self._timeout = url, pooled, timeout
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, name: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._url, name="penstock inspection", pooled=self._pooled)
        doing = name.replace("_", " ")
        try:
            with mapped(doing), self._connection.transaction():
                self._connection.execute(_READ_ONLY, (f"{self._timeout * 1000:.0f}",))
                return self._connection.execute(statement(name), values).fetchall()
        except StoreError as error:
            if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
                raise StoreError(
                    f"{doing}: canceled after {self._timeout:g} s; narrow it by queue, state or time"
                ) from error
            raise

    def clock(self) -> datetime:
        """The database's clock, by which every time in it was written."""
        now: datetime = self._rows("clock")[0][0]
        return now

    def queues(self, *, cap: int = CAP) -> list[QueueRow]:
        """Every queue, by name; counts stop at `cap`."""
        return [QueueRow(*row) for row in self._rows("list_queues", cap)]

    def schedules(self) -> list[ScheduleRow]:
        """Every declared schedule, by queue and name."""
        return [ScheduleRow(*row) for row in self._rows("list_all_schedules")]

    def stats(self, queue: str | None, seconds: float) -> list[QueueStats]:
        """Statistics of every queue, or one, over the last `seconds`; reads the outcomes of those days."""
        return [QueueStats(*row) for row in self._rows("queue_stats", queue, seconds)]

    def workers(self, queue: str | None = None) -> list[WorkerRow]:
        """Every worker, or those of one queue, lost ones too, oldest first."""
        return [WorkerRow(*row) for row in self._rows("list_workers", queue)]

    def jobs(self, where: JobFilter) -> list[JobRow]:
        """Jobs that match the filter, newest first."""
        states = sorted(state.value for state in where.states)
        limit = min(max(where.limit, 1), MAX_LIST_ROWS)
        values = (states, where.queue, where.task, where.error, where.since, where.before, limit)
        return [JobRow(*row) for row in self._rows("list_jobs", *values)]

    def job(self, job_id: int) -> Job | None:
        """One job with its attempts; None if no job has this id."""
        [(whole, attempts)] = self._rows("readable")
        found = self._rows("show_job", job_id) if whole else self._rows("show_job_redacted", job_id)
        if not found:
            return None
        history = self._rows("show_attempts", job_id) if attempts else []
        return Job(found[0][0], not whole, [row[0] for row in history])

    def why(self, job_id: int) -> dict[str, Any]:
        """The facts from which the reason is derived; see functions/why_job.sql."""
        facts: dict[str, Any] = self._rows("why_job", job_id)[0][0]
        return facts
