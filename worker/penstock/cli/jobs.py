"""`penstock jobs`: look for jobs, look at one, end them, start deferred ones now, and why one does not run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.errors import JobNotFound
from penstock.job import JobState

from . import selection
from .bulk import Progress, batches, confirmed, on_store, person
from .database import Address, JobQueue, Namespace, Output, address
from .output import Format, cell, pairs, safe, table, write
from .rehearsal import LEFT, rehearse, rehearsed
from .selection import LIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.store import DeadLetters
    from penstock.store.reading import JobFilter, JobRow, Reader

jobs = typer.Typer(
    help="Look for jobs, look at one, cancel, retry, and ask why one does not run.", no_args_is_help=True
)
_COLUMNS = ("id", "state", "queue", "task", "priority", "attempt", "at", "reason", "error")
EndedFor = Annotated[
    str | None,
    typer.Option("--reason", help="Kept with each job that ends by it. Default: that you asked.", show_default=False),
]
JobId = Annotated[int, typer.Argument(metavar="ID", help="The job's id.", min=1, max=selection.LARGEST_ID)]
_CANCELS = {JobState.SCHEDULED: "cancelled", JobState.QUEUED: "cancelled", JobState.RUNNING: "cancelling"}


def _reader(where: Address) -> Reader:
    from penstock.store.reading import Reader  # noqa: PLC0415 - the driver is loaded when it is needed

    return Reader(where.url, pooled=where.pooled)


def _line(row: JobRow) -> tuple[object, ...]:
    at = row.finished_at or row.due_at or row.claimed_at or row.ready_at or row.created_at
    error = row.error and (f"{row.error}: {row.message}" if row.message else row.error)
    attempt = f"{row.attempt}/{row.max_attempts}"
    return row.id, row.state, row.queue, row.task, row.priority, attempt, at, row.reason, error


@jobs.command("list")
def list_jobs(
    *,
    queue: selection.Queue = None,
    task: selection.Task = None,
    state: selection.State = None,
    error: selection.Error = None,
    since: selection.Since = None,
    limit: selection.Limit = 50,
    before: selection.Before = None,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """List jobs, live and ended ones, newest first.

    `at` is when it ended, is due, was claimed or became ready, whichever is last. Ended jobs are there for as long as
    the queue's retention says.

    Example: penstock jobs list --queue emails --state dead --error Timeout --since 2h
    """
    from penstock.store.reading import JobFilter  # noqa: PLC0415

    states = selection.states(state)
    with _reader(address(jobqueue, namespace)) as reader:
        rows = reader.jobs(
            JobFilter(
                states=states, queue=queue, task=task, error=error, limit=limit, before=before,
                since=selection.moment(since, reader.clock),
            )
        )  # fmt: skip
    drawn = table(_COLUMNS, map(_line, rows))
    if len(rows) == limit:
        typer.echo(f"penstock: the first {limit}; the next: --before {rows[-1].id}", err=True)
    write(output, rows, drawn=drawn, empty="no such jobs")


@jobs.command("show")
def show_job(
    job_id: JobId,
    *,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Show one job with its errors, and the attempts that ended where this login may read them.

    Arguments, results, messages and tracebacks are told to a login that may read the view penstock.jobs.

    Example: penstock jobs show 42 -o json
    """
    with _reader(address(jobqueue, namespace)) as reader:
        found = reader.job(job_id)
    if found is None:
        raise JobNotFound(f"there is no job {job_id}")
    drawn = [pairs({name: value for name, value in found.job.items() if name != "errors"})]
    if found.redacted:
        drawn.append("\nThis login may not see arguments, results, messages and tracebacks.\n")
    if found.attempts:
        head = ("attempt", "state", "reason", "claimed_at", "finished_at", "duration", "worker")
        drawn += ["\n", table(head, ([one[name] for name in head] for one in found.attempts))]
    drawn += [errors_drawn(found.job.get("errors"))]
    write(output, found, drawn="".join(drawn))


def errors_drawn(errors: object) -> str:
    """The history of errors, each with its traceback, safe line by line."""
    listed = [one for one in (errors if isinstance(errors, list) else [errors]) if isinstance(one, dict)]
    lines = []
    for one in listed:
        told = f"{one.get('type')}: {one.get('message')}"
        lines += ["", f"attempt {cell(one.get('attempt'))}  {safe(told)}"]
        lines += [f"  {safe(line)}" for line in str(one.get("traceback") or "").splitlines()]
    return "\n".join(lines) + "\n" if lines else ""


@jobs.command("why")
def why_job(
    job_id: JobId,
    *,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Say in one sentence why a job is not running, what else stands in its way, and what to do.

    Exit code 1 if there is no such job.

    Example: penstock jobs why 42
    """
    from .why import Why, explain  # noqa: PLC0415

    with _reader(address(jobqueue, namespace)) as reader:
        facts = reader.why(job_id)
    reason, also = explain(job_id, facts)
    value = {"id": job_id, **reason._asdict(), "also": also, "facts": facts}
    lines = [f"job {job_id}: {reason.said}."]
    lines += [f"  also: {other.said}." for other in also]
    lines += [f"  -> {one.do}" for one in (reason, *also) if one.do]
    write(output, value, drawn="\n".join(lines) + "\n")
    raise typer.Exit(1 if reason.why is Why.NO_SUCH_JOB else 0)


def _matching(reader: Reader, matching: JobFilter) -> list[int]:
    """Ids of all that match now, oldest first: what was counted is what will be touched."""
    found: list[int] = []
    before = matching.before
    while rows := reader.jobs(replace(matching, before=before, limit=5000)):
        found += [row.id for row in rows]
        before = rows[-1].id
    return found[::-1]


def _chosen(
    where: Address, ids: list[int] | None, states: Iterable[JobState], filters: dict[str, Any], *, everything: bool
) -> tuple[list[int], bool]:
    """The ids that a bulk command is about, and whether a filter chose them."""
    from penstock.store.reading import JobFilter  # noqa: PLC0415

    selection.chosen(ids, filtered=any(filters.values()), everything=everything, what="jobs")
    if ids:
        return sorted(set(ids)), False
    with _reader(where) as reader:
        since = selection.moment(filters.pop("since"), reader.clock)
        filters.pop("state")
        return _matching(reader, JobFilter(states=frozenset(states), since=since, **filters)), True


@jobs.command("cancel")
def cancel(
    ids: selection.Ids = None,
    *,
    queue: selection.Queue = None,
    task: selection.Task = None,
    state: selection.State = None,
    error: selection.Error = None,
    since: selection.Since = None,
    everything: selection.All = False,
    reason: EndedFor = None,
    dry_run: selection.DryRun = False,
    yes: selection.Yes = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Cancel jobs by id, or all live ones that a filter lets through.

    One that waits ends at once; one that runs is told, and ends with its attempt. With a filter the count is shown and
    asked about first; a dry run by id looks each up. A job that ended meanwhile is left as it is.

    Example: penstock jobs cancel --task shop.jobs:resize --state queued --dry-run
    """
    where = address(jobqueue, namespace)
    states = selection.states(state, default=LIVE)
    filters = {"queue": queue, "task": task, "error": error, "since": since, "state": state}
    found, asks = _chosen(where, ids, states, filters, everything=everything)
    if ids and dry_run:
        _rehearse(where, found, _CANCELS, output, "cancel")
        return
    done = Counter[str]()
    if found and not dry_run:
        if asks and not confirmed(f"Cancel {len(found):,} jobs?", yes=yes):
            raise typer.Exit(1)
        done = _cancel(where, found, f"asked by {person()}" if reason is None else reason)
    left = 0 if dry_run else len(found) - done.total()
    ended = {verdict: done[verdict] for verdict in ("cancelled", "cancelling")}
    value = {"matched": len(found), "dry_run": dry_run, **ended, "left": left}
    write(output, value, drawn=_told(value, "cancel"))


def _cancel(where: Address, found: list[int], reason: str) -> Counter[str]:
    from penstock.store import SyncClient  # noqa: PLC0415

    done = Counter[str]()
    client = SyncClient(where.url, pooled=where.pooled)
    try:
        with Progress(len(found), "cancelling") as progress:
            for some in batches(found):
                done.update(client.cancel_jobs(some, reason).values())
                progress.advance(len(some))
    finally:
        client.close()
    return done


@jobs.command("retry")
def retry(
    ids: selection.Ids = None,
    *,
    queue: selection.Queue = None,
    task: selection.Task = None,
    error: selection.Error = None,
    since: selection.Since = None,
    everything: selection.All = False,
    dry_run: selection.DryRun = False,
    yes: selection.Yes = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Make deferred jobs ready now, whatever they wait for: a delay, a back-off, a snooze.

    Others are left as they are; a dead letter comes back with `penstock dead redrive`.

    Example: penstock jobs retry --queue emails --error ConnectionError
    """
    where = address(jobqueue, namespace)
    filters = {"queue": queue, "task": task, "error": error, "since": since, "state": None}
    found, asks = _chosen(where, ids, (JobState.SCHEDULED,), filters, everything=everything)
    if ids and dry_run:
        _rehearse(where, found, {JobState.SCHEDULED: "ready"}, output, "make ready")
        return
    ready = 0
    if found and not dry_run:
        if asks and not confirmed(f"Make {len(found):,} deferred jobs ready now?", yes=yes):
            raise typer.Exit(1)
        ready = on_store(where, lambda store: _retry(store, found))
    left = 0 if dry_run else len(found) - ready
    value = {"matched": len(found), "dry_run": dry_run, "ready": ready, "left": left}
    write(output, value, drawn=_told(value, "make ready"))


async def _retry(store: DeadLetters, found: list[int]) -> int:
    ready = 0
    with Progress(len(found), "making ready") as progress:
        for some in batches(found):
            ready += await store.retry_now(some)
            progress.advance(len(some))
    return ready


def _rehearse(where: Address, ids: list[int], would: Mapping[JobState, str], output: Format, verb: str) -> None:
    """A dry run by id: each is looked up."""
    with _reader(where) as reader:
        found = rehearse(reader, ids, would)
    matched = sum(one.would != LEFT for one in found)
    write(output, {"matched": matched, "dry_run": True, "jobs": found}, drawn=rehearsed(found, verb))


def _told(value: dict[str, Any], verb: str) -> str:
    """One line of what was done, or would be."""
    if value["dry_run"]:
        return f"would {verb} {value['matched']:,}; nothing was changed\n"
    counts = (f"{value[name]:,} {name}" for name in value if name not in {"matched", "dry_run"})
    return ", ".join(counts) + "\n"
