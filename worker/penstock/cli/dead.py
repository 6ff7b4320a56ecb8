"""`penstock dead`: dead letters; look at them, bring them back, throw them away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.errors import JobNotFound, StoreError

from . import selection
from .bulk import Progress, confirmed, on_store
from .database import Address, JobQueue, Namespace, Output, address
from .jobs import JobId, errors_drawn
from .output import Format, pairs, plain, table, write

if TYPE_CHECKING:
    from penstock.store import DeadCount, DeadFilter, DeadLetters

dead = typer.Typer(help="Dead letters: look at them, bring them back, throw them away.", no_args_is_help=True)
_COUNTS = ("queue", "task", "reason", "count", "first", "last")
_COLUMNS = ("id", "queue", "task", "reason", "attempt", "died_at", "error", "message")
DiedFor = Annotated[
    str | None, typer.Option("--reason", help="Only of this reason: exhausted, poison, deadline, …", show_default=False)
]
LONGEST_KEPT = 20
"""Letters that stayed dead which a table names; JSON and YAML name all."""


def _matching(where: Address, ids: list[int] | None, since: str | None, **filters: str | None) -> DeadFilter:
    from penstock.store import DeadFilter  # noqa: PLC0415 - the driver is loaded when it is needed
    from penstock.store.reading import Reader  # noqa: PLC0415

    with Reader(where.url, pooled=where.pooled) as reader:
        return DeadFilter(
            ids=tuple(ids) if ids else None,
            since=selection.moment(since, reader.clock),
            queue=filters["queue"],
            task=filters["task"],
            reason=filters["reason"],
            contains=filters["error"],
        )


@dead.command("list")
def list_dead(
    *,
    queue: selection.Queue = None,
    task: selection.Task = None,
    reason: DiedFor = None,
    error: selection.Error = None,
    since: selection.Since = None,
    limit: selection.Limit = 50,
    counts: Annotated[bool, typer.Option("--counts", help="Only how many, by queue, task and reason.")] = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """List dead letters, newest first, or count them by queue, task and reason.

    Example: penstock dead list --queue emails --since 1d --counts
    """
    where = address(jobqueue, namespace)
    matching = _matching(where, None, since, queue=queue, task=task, reason=reason, error=error)
    if counts:
        found = on_store(where, lambda store: store.count_dead(matching))
        write(output, found, drawn=_counted(found), empty="no dead letters match")
        return
    rows = on_store(where, lambda store: store.list_dead(matching, limit=limit))
    drawn = table(
        _COLUMNS, ([_attempts(row) if name == "attempt" else getattr(row, name) for name in _COLUMNS] for row in rows)
    )
    if len(rows) == limit:
        typer.echo(f"penstock: the newest {limit}; `--counts` counts all, `--limit` shows more", err=True)
    write(output, rows, drawn=drawn, empty="no dead letters match")


def _attempts(row: Any) -> str:
    return f"{row.attempt}/{row.max_attempts}"


def _counted(found: list[DeadCount]) -> str:
    return table(_COUNTS, ([getattr(one, name) for name in _COUNTS] for one in found))


@dead.command("show")
def show_dead(
    job_id: JobId,
    *,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Show one dead letter: its errors with tracebacks, its arguments, and what the worker saw around its death.

    That needs a login that may read the table penstock.dead; another one is shown what `penstock jobs show` would.

    Example: penstock dead show 42
    """
    from penstock.store.reading import Reader  # noqa: PLC0415

    where = address(jobqueue, namespace)
    with Reader(where.url, pooled=where.pooled) as reader:
        found = reader.job(job_id)
    if found is None or found.job["state"] != "dead":
        raise JobNotFound(f"there is no dead letter {job_id}" + (f": it is {found.job['state']}" if found else ""))
    value: dict[str, Any] = found.job
    try:
        if (whole := on_store(where, lambda store: store.show_dead(job_id))) is not None:
            value = plain(whole)
    except StoreError as error:
        if "lacks a right" not in str(error):
            raise
    told = {name: one for name, one in value.items() if name != "errors"}
    write(output, value, drawn=pairs(told) + errors_drawn(value.get("errors")))


@dead.command("redrive")
def redrive(
    ids: selection.Ids = None,
    *,
    queue: selection.Queue = None,
    task: selection.Task = None,
    reason: DiedFor = None,
    error: selection.Error = None,
    since: selection.Since = None,
    everything: selection.All = False,
    drop_key: Annotated[
        bool, typer.Option("--drop-key", help="Bring back without a unique key that is taken.")
    ] = False,
    dry_run: selection.DryRun = False,
    yes: selection.Yes = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Bring dead letters back as ready jobs of the same ids, with all their attempts anew.

    One whose unique key another job has by now stays dead and is named. With a filter the counts are shown and asked
    about first; what dies after that is not touched.

    Example: penstock dead redrive --queue emails --error ConnectionError --since 2h
    """
    where = address(jobqueue, namespace)
    filters = {"queue": queue, "task": task, "reason": reason, "error": error}
    matching, count = _agreed(where, ids, since, filters, "Bring back", dry_run=dry_run, yes=yes, everything=everything)
    done, kept = (0, {}) if dry_run else _redrive(where, matching, count, drop_key=drop_key)
    value = {"matched": count, "dry_run": dry_run, "redriven": done, "kept": kept}
    write(output, value, drawn=_kept(done, kept) if done or kept else _nothing(count, "bring back"))


def _redrive(where: Address, matching: DeadFilter, count: int, *, drop_key: bool) -> tuple[int, dict[int, int]]:
    """How many came back, and by id who holds the key of those that did not."""

    async def work(store: DeadLetters) -> tuple[int, dict[int, int]]:
        with Progress(count, "redriving") as progress:
            done = await store.redrive_matching(matching, drop_key=drop_key, told=progress.to)
        return done.redriven, done.kept

    return on_store(where, work) if count else (0, {})


def _kept(done: int, kept: dict[int, int]) -> str:
    lines = [f"{done:,} redriven, {len(kept):,} stay dead\n"]
    lines += [f"  {job}: its unique key is held by job {holder}\n" for job, holder in list(kept.items())[:LONGEST_KEPT]]
    return "".join(lines)


@dead.command("discard")
def discard(
    ids: selection.Ids = None,
    *,
    queue: selection.Queue = None,
    task: selection.Task = None,
    reason: DiedFor = None,
    error: selection.Error = None,
    since: selection.Since = None,
    everything: selection.All = False,
    dry_run: selection.DryRun = False,
    yes: selection.Yes = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Throw dead letters away for good; their outcomes stay until the queue's retention ends.

    Example: penstock dead discard --queue emails --reason invalid_arguments --dry-run
    """
    where = address(jobqueue, namespace)
    filters = {"queue": queue, "task": task, "reason": reason, "error": error}
    matching, count = _agreed(where, ids, since, filters, "Throw away", dry_run=dry_run, yes=yes, everything=everything)
    if dry_run or not count:
        write(output, {"matched": count, "dry_run": dry_run, "discarded": 0}, drawn=_nothing(count, "throw away"))
        return

    async def work(store: DeadLetters) -> int:
        with Progress(count, "discarding") as progress:
            return await store.discard_matching(matching, told=progress.to)

    done = on_store(where, work)
    write(output, {"matched": count, "dry_run": False, "discarded": done}, drawn=f"{done:,} discarded\n")


def _agreed(
    where: Address,
    ids: list[int] | None,
    since: str | None,
    filters: dict[str, str | None],
    doing: str,
    *,
    dry_run: bool,
    yes: bool,
    everything: bool,
) -> tuple[DeadFilter, int]:
    """What a command is about and how many that is, after the question where a filter chose them."""
    filtered = since is not None or any(filters.values())
    selection.chosen(ids, filtered=filtered, everything=everything, what="dead letters")
    matching = _matching(where, ids, since, **filters)
    counts = on_store(where, lambda store: store.count_dead(matching))
    count = sum(one.count for one in counts)
    if not ids and counts:
        typer.echo(_counted(counts), err=True, nl=False)
        if not dry_run and not confirmed(f"{doing} {count:,} dead letters?", yes=yes):
            raise typer.Exit(1)
    return matching, count


def _nothing(count: int, verb: str) -> str:
    return f"would {verb} {count:,}; nothing was changed\n" if count else "no dead letters match; nothing was changed\n"
