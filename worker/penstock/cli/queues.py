"""`penstock queues`: what they hold and what they did, and to pause, resume and remove them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.errors import PenstockError
from penstock.settings import check_queue_name

from . import selection
from .bulk import on_store
from .database import JobQueue, Namespace, Output, address
from .output import Format, seconds, table, write

if TYPE_CHECKING:
    from penstock.store import DeadLetters
    from penstock.store.reading import QueueRow, QueueStats, Reader
    from penstock.store.removal import Removal

    from .database import Address

queues = typer.Typer(help="What queues hold and did; pause, resume and remove them.", no_args_is_help=True)
_COLUMNS = ("queue", "ready", "oldest", "in flight", "limit", "deferred", "dead", "workers", "slots", "state")
_STATS = (
    "queue",
    "completed",
    "per second",
    "retried",
    "dead",
    "cancelled",
    "wait p50",
    "wait p95",
    "run p50",
    "run p95",
)
Names = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of queues.")]


def _reader(where: Address) -> Reader:
    from penstock.store.reading import Reader  # noqa: PLC0415 - the driver is loaded when it is needed

    return Reader(where.url, pooled=where.pooled)


def line(row: QueueRow) -> tuple[object, ...]:
    """A queue as a line of a table."""
    ready = f"{row.ready}+" if row.capped else row.ready
    state = "open" if row.declared_by is not None else "undeclared"
    if row.paused is not None:
        state = f"paused {seconds(row.paused)} by {row.pauser}"
    limit = row.max_in_flight if row.limit_in_flight is not None or row.max_in_flight is None else "counted"
    oldest = seconds(row.oldest)
    return row.name, ready, oldest, row.in_flight, limit, row.deferred, row.dead, row.workers, row.slots, state


def drawn(rows: list[QueueRow]) -> str:
    """All of them as a table."""
    return table(_COLUMNS, map(line, rows))


@queues.command("list")
def list_queues(
    *,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """List every queue: ready jobs and the oldest one's age, jobs in flight, deferred and dead ones, live workers.

    Counts stop at 10,000. `undeclared` is a queue that somebody enqueued to and no JobQueue names.

    Example: penstock queues list -o json
    """
    with _reader(address(jobqueue, namespace)) as reader:
        rows = reader.queues()
    write(output, rows, drawn=drawn(rows), empty="no queues")


@queues.command("stats")
def stats(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One queue; default all.", show_default=False)
    ] = None,
    *,
    since: selection.Since = "1h",
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Show what queues did lately: attempts by how they ended, waits and run times at 50 and 95 of 100.

    Reads the outcomes of the days that the time touches: on a busy database ask for little.

    Example: penstock queues stats emails --since 15m
    """
    with _reader(address(jobqueue, namespace)) as reader:
        now = reader.clock()
        begin = selection.moment(since, lambda: now) or now
        window = max((now - begin).total_seconds(), 1.0)
        rows = reader.stats(name, window)
    if name is not None and not rows:
        raise PenstockError(f"there is no queue {check_queue_name(name, of='name')}")
    write(output, rows, drawn=table(_STATS, (_stat(row, window) for row in rows)), empty="no queues")


def _stat(row: QueueStats, window: float) -> tuple[object, ...]:
    times = (seconds(value) for value in (row.wait_p50, row.wait_p95, row.run_p50, row.run_p95))
    return row.name, row.completed, row.completed / window, row.retried, row.dead, row.cancelled, *times


@queues.command("pause")
def pause(
    names: Names,
    *,
    dry_run: selection.DryRun = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Have queues give no job to any worker until they are resumed. What runs goes on; enqueueing goes on.

    A JobQueue does not undo it, nor a restart of the operator: only `penstock queues resume` does.

    Example: penstock queues pause emails
    """
    _set(names, address(jobqueue, namespace), output, paused=True, dry_run=dry_run)


@queues.command("resume")
def resume(
    names: Names,
    *,
    dry_run: selection.DryRun = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Have queues give jobs to workers again.

    Where the pause is the JobQueue's own (spec.stopPolicy) it comes back with the JobQueue's next change: change that.

    Example: penstock queues resume emails
    """
    _set(names, address(jobqueue, namespace), output, paused=False, dry_run=dry_run)


@queues.command("remove")
def remove(
    names: Names,
    *,
    dry_run: selection.DryRun = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Remove queues without jobs, dead letters and workers. Outcomes of their ended jobs are no longer shown.

    A JobQueue that still exists declares its queue again, and so does the next enqueue to the name.

    Example: penstock queues remove old-emails
    """
    for name in names:
        check_queue_name(name, of="name")
    where = address(jobqueue, namespace)
    found = on_store(where, lambda store: _remove(store, names, dry_run=dry_run))
    removed = [name for name, removal in found.items() if removal.verdict in {"removed", "removable"}]
    kept = {name: removal for name, removal in found.items() if name not in removed}
    value = {"removed": removed, "kept": {name: one.verdict for name, one in kept.items()}, "dry_run": dry_run}
    told = ", ".join(removed) or "nothing"
    said = f"would have removed {told}; nothing was changed\n" if dry_run else f"removed {told}\n"
    write(output, value, drawn=said)
    if kept:
        raise PenstockError("; ".join(_kept(name, removal) for name, removal in kept.items()))


def _kept(name: str, removal: Removal) -> str:
    """Why a queue was not removed, and what to do."""
    count = "1,000 or more" if (removal.number or 0) >= 1000 else str(removal.number)
    one = removal.number == 1
    match removal.verdict:
        case "missing":
            return f"there is no queue {name}"
        case "jobs":
            do = f"wait for {'it' if one else 'them'} or run `penstock jobs cancel --queue {name}`"
            return f"queue {name} has {count} {'job' if one else 'jobs'} and was not removed: {do}"
        case "dead":
            do = f"`penstock dead redrive --queue {name}` or `penstock dead discard --queue {name}`"
            return f"queue {name} has {count} dead {'letter' if one else 'letters'} and was not removed: {do}"
        case "workers":
            do = "delete its JobQueue or stop them"
            return f"{count} {'worker serves' if one else 'workers serve'} queue {name} and it was not removed: {do}"
    return f"queue {name} was not removed: a transaction that may enqueue to it is open; run this again later"


async def _remove(store: DeadLetters, names: list[str], *, dry_run: bool) -> dict[str, Removal]:
    from penstock.store.removal import remove_queue  # noqa: PLC0415 - the driver is loaded when it is needed

    return {name: await remove_queue(store, name, dry_run=dry_run) for name in names}


def _set(names: list[str], where: Address, output: Format, *, paused: bool, dry_run: bool) -> None:
    for name in names:
        check_queue_name(name, of="name")
    with _reader(where) as reader:
        there = {row.name: row for row in reader.queues(cap=1)}
    if missing := [name for name in names if name not in there]:
        raise PenstockError(f"there is no queue {', '.join(missing)}; nothing was changed")
    changed = [name for name in names if (there[name].paused is not None) is not paused]
    if not dry_run:
        on_store(where, lambda store: _pause(store, changed, paused=paused))
    if not paused:
        for row in (there[name] for name in changed):
            if not row.resumable:
                note = f"penstock: {row.name} was paused by its JobQueue (spec.stopPolicy), which will do it again"
                typer.echo(note, err=True)
    verb = "paused" if paused else "resumed"
    told = ", ".join(changed) or "nothing"
    said = f"would have {verb} {told}; nothing was changed\n" if dry_run else f"{verb} {told}\n"
    write(output, {verb: changed, "dry_run": dry_run}, drawn=said)


async def _pause(store: DeadLetters, names: list[str], *, paused: bool) -> None:
    for name in names:
        await store.pause(name, paused=paused)
