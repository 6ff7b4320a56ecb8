"""`penstock jobs`: list and show jobs, cancel and retry them, and explain why one is not running.

Owns the columns of jobs and the two bulk commands' own parts; `bulk_command` asks, counts and reports. Must not query
the database itself: `store.inspect` reads, `store.DeadLetters` changes. The jobs that a filter selects are found first,
in pages, and then changed by id in batches of one transaction each: an interrupted command leaves whole batches done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from penstock.errors import JobNotFound
from penstock.job import JobState

from . import filters
from .bulk_command import BulkCommand, ProgressBar, batches, on_store, open_reader, os_user
from .database import JobQueueOption, Namespace, OutputOption, database_urls
from .filters import LIVE
from .output import Format, cell, pairs, safe, table, write
from .parameters import Parameter

if TYPE_CHECKING:
    from penstock.store import DeadLetters
    from penstock.store.inspect.inspection import JobFilter, JobRow, Reader

PAGE_ROWS = 5000
"""Jobs per query when a filter selects them."""
jobs = typer.Typer(help="List, show, cancel and retry jobs; explain why one waits.", no_args_is_help=True)
_COLUMNS = ("id", "state", "queue", "task", "priority", "attempt", "at", "reason", "error")
JobId = Annotated[int, typer.Argument(metavar="ID", help="Id of the job.", min=1, max=filters.MAX_ID)]


def _line(row: JobRow) -> tuple[object, ...]:
    at = row.finished_at or row.due_at or row.claimed_at or row.ready_at or row.created_at
    error = row.error and (f"{row.error}: {row.message}" if row.message else row.error)
    attempt = f"{row.attempt}/{row.max_attempts}"
    return row.id, row.state, row.queue, row.task, row.priority, attempt, at, row.reason, error


@jobs.command("list")
def list_jobs(
    *,
    queue: filters.QueueOption = None,
    task: filters.TaskOption = None,
    state: filters.StateOption = None,
    error: filters.Error = None,
    since: filters.Since = None,
    limit: filters.Limit = 50,
    before: filters.Before = None,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """List jobs, live and finished, newest first.

    `at` is when the job finished, is due, was claimed or became ready, whichever came last. Finished jobs are listed
    until the retention of their queue has passed.

    Example: penstock jobs list --queue emails --state dead --error Timeout --since 2h
    """
    from penstock.store.inspect.inspection import JobFilter  # noqa: PLC0415

    states = filters.states(state)
    with open_reader(database_urls(jobqueue, namespace)) as reader:
        rows = reader.jobs(
            JobFilter(
                states=states,
                queue=queue,
                task=task,
                error=error,
                limit=limit,
                before=before,
                since=filters.moment(since, reader.clock),
            )
        )
    drawn = table(_COLUMNS, map(_line, rows))
    if len(rows) == limit:
        typer.echo(f"penstock: listed the first {limit}; next page: --before {rows[-1].id}", err=True)
    write(output, rows, drawn=drawn, empty="no jobs match")


@jobs.command("show")
def show_job(
    job_id: JobId,
    *,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Show one job with its errors and attempts.

    Arguments, results, messages and tracebacks need a login that may read the view penstock.jobs; finished attempts
    need one that may read the outcomes.

    Example: penstock jobs show 42 -o json
    """
    with open_reader(database_urls(jobqueue, namespace)) as reader:
        found = reader.job(job_id)
    if found is None:
        raise JobNotFound(f"there is no job {job_id}")
    drawn = [pairs({name: value for name, value in found.job.items() if name != "errors"})]
    if found.redacted:
        drawn.append("\nThis login may not read arguments, results, messages and tracebacks.\n")
    if found.attempts:
        head = ("attempt", "state", "reason", "claimed_at", "finished_at", "duration", "worker")
        drawn += ["\n", table(head, ([one[name] for name in head] for one in found.attempts))]
    drawn += [errors_drawn(found.job.get("errors"))]
    write(output, found, drawn="".join(drawn))


def errors_drawn(errors: object) -> str:
    """The errors of a job, each with its traceback, safe to print."""
    listed = [one for one in (errors if isinstance(errors, list) else [errors]) if isinstance(one, dict)]
    lines = []
    for one in listed:
        error = f"{one.get('type')}: {one.get('message')}"
        lines += ["", f"attempt {cell(one.get('attempt'))}  {safe(error)}"]
        lines += [f"  {safe(line)}" for line in str(one.get("traceback") or "").splitlines()]
    return "\n".join(lines) + "\n" if lines else ""


@jobs.command("why")
def why_job(
    job_id: JobId,
    *,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Explain why a job is not running, and what to do.

    The first line is the reason; `also` lines are further obstacles. Exit code 1 if there is no such job.

    Example: penstock jobs why 42
    """
    from .why import Why, explain  # noqa: PLC0415

    with open_reader(database_urls(jobqueue, namespace)) as reader:
        facts = reader.why(job_id)
    reason, also = explain(job_id, facts)
    value = {"id": job_id, **reason._asdict(), "also": also, "facts": facts}
    lines = [f"job {job_id}: {reason.message}."]
    lines += [f"  also: {other.message}." for other in also]
    lines += [f"  -> {one.hint}" for one in (reason, *also) if one.hint]
    write(output, value, drawn="\n".join(lines) + "\n")
    raise typer.Exit(1 if reason.why is Why.NO_SUCH_JOB else 0)


class CancelCommand(BulkCommand):
    """`penstock jobs cancel`: a waiting job ends at once, a running one with its attempt."""

    name = "cancel"
    help = """Cancel jobs, by id or by filter.

    A waiting job is cancelled at once; a running one is asked to stop and ends with its attempt. With a filter the
    command shows the count and asks first; a dry run by id looks up each job. A job that has finished is left alone.

    Example: penstock jobs cancel --task shop.jobs:resize --state queued --dry-run
    """
    action = "cancel {}"
    doing = "cancelling"
    filters = ("queue", "task", "state", "error", "since")
    options: ClassVar[Mapping[str, Parameter]] = {
        "message": (
            Annotated[
                str | None,
                typer.Option(
                    "--reason", help="Reason to record with each job. Default: your user.", show_default=False
                ),
            ],
            None,
        )
    }
    results = ("cancelled", "cancelling")
    would: ClassVar[Mapping[JobState, str]] = {
        JobState.SCHEDULED: "cancelled",
        JobState.QUEUED: "cancelled",
        JobState.RUNNING: "cancelling",
    }

    def find(self) -> int:
        """Find live jobs."""
        self.ids = _matching(self, filters.states(self.given["state"], default=LIVE))
        return len(self.ids)

    def change(self, progress: ProgressBar) -> dict[str, int]:
        """Cancel waiting jobs and ask running ones to stop."""
        from penstock.store import SyncClient  # noqa: PLC0415 - the driver is loaded when it is needed

        message = self.given["message"]
        reason = f"cancelled by {os_user()}" if message is None else message
        done = Counter[str]()
        client = SyncClient(self.urls.url, pooled=self.urls.pooled)
        try:
            for some in batches(self.ids):
                done.update(client.cancel_jobs(some, reason).values())
                progress.advance(len(some))
        finally:
            client.close()
        return {result: done[result] for result in self.results}


class RetryCommand(BulkCommand):
    """`penstock jobs retry`: deferred jobs become ready."""

    name = "retry"
    help = """Make deferred jobs ready now, by id or by filter.

    It does not matter what they wait for: a delay, a back-off or a snooze. Other jobs are left alone; `penstock dead
    redrive` retries a dead letter.

    Example: penstock jobs retry --queue emails --error ConnectionError
    """
    action = "make {} ready"
    doing = "making ready"
    noun = "deferred job"
    results = ("ready",)
    would: ClassVar[Mapping[JobState, str]] = {JobState.SCHEDULED: "ready"}

    def find(self) -> int:
        """Find deferred jobs."""
        self.ids = _matching(self, frozenset({JobState.SCHEDULED}))
        return len(self.ids)

    def change(self, progress: ProgressBar) -> dict[str, int]:
        """Make the jobs ready."""

        async def work(store: DeadLetters) -> int:
            ready = 0
            for some in batches(self.ids):
                ready += await store.jobs.retry_now(some)
                progress.advance(len(some))
            return ready

        return {"ready": on_store(self.urls, work)}


def _matching(command: BulkCommand, states: Iterable[JobState]) -> list[int]:
    """The ids of all jobs that match now, oldest first; a job that matches later is not changed."""
    from penstock.store.inspect.inspection import JobFilter  # noqa: PLC0415 - the driver is loaded when it is needed

    given = command.given
    with open_reader(command.urls) as reader:
        matching = JobFilter(
            states=frozenset(states),
            queue=given["queue"],
            task=given["task"],
            error=given["error"],
            since=filters.moment(given["since"], reader.clock),
            limit=PAGE_ROWS,
        )
        return _ids(reader, matching)


def _ids(reader: Reader, matching: JobFilter) -> list[int]:
    found: list[int] = []
    while rows := reader.jobs(matching):
        found += [row.id for row in rows]
        matching = replace(matching, before=rows[-1].id)
    return found[::-1]


CancelCommand.register(jobs)
RetryCommand.register(jobs)
