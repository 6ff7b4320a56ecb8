"""`penstock queues`: list queues and their statistics; pause, resume and remove them.

Owns the columns of queues. Must not decide whether a queue may be removed: the statement does, in the transaction that
removes it, and its answer is printed here. Counts stop at a cap, because an exact count of a deep queue costs a scan; a
capped count is shown with a plus sign.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.errors import PenstockError
from penstock.plural import plural, plural_word
from penstock.settings import check_queue_name

from . import filters
from .bulk_command import on_store, open_reader
from .database import JobQueueOption, Namespace, OutputOption, database_urls
from .output import Format, format_duration, table, write
from .parameters import with_parameters

if TYPE_CHECKING:
    from penstock.store import DeadLetters
    from penstock.store.inspect.inspection import QueueRow, QueueStats
    from penstock.store.queue_removal import Removal

    from .database import DatabaseUrls

queues = typer.Typer(help="List queues and statistics; pause, resume and remove.", no_args_is_help=True)
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
COUNTED = 1000
"""Where the count of what a queue still has stops."""
QueueNames = Annotated[list[str], typer.Argument(metavar="NAME", help="Names of the queues.")]


def queue_cells(row: QueueRow) -> tuple[object, ...]:
    """The cells of one queue in the table."""
    ready = f"{row.ready}+" if row.capped else row.ready
    state = "open" if row.declared_by is not None else "undeclared"
    if row.paused is not None:
        state = f"paused {format_duration(row.paused)} by {row.pauser}"
    limit = row.max_in_flight if row.limit_in_flight is not None or row.max_in_flight is None else "counted"
    oldest = format_duration(row.oldest)
    return row.name, ready, oldest, row.in_flight, limit, row.deferred, row.dead, row.workers, row.slots, state


def queue_table(rows: list[QueueRow]) -> str:
    """The queues as a table."""
    return table(_COLUMNS, map(queue_cells, rows))


@queues.command("list")
def list_queues(
    *,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """List queues with their jobs, limits and workers.

    Counts stop at 10,000. An `undeclared` queue was created by an enqueue; no JobQueue names it.

    Example: penstock queues list -o json
    """
    with open_reader(database_urls(jobqueue, namespace)) as reader:
        rows = reader.queues()
    write(output, rows, drawn=queue_table(rows), empty="no queues")


@queues.command("stats")
def stats(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of one queue. Default: all.", show_default=False)
    ] = None,
    *,
    since: filters.Since = "1h",
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Show outcomes of attempts, and wait and run times.

    Reads the outcomes of every day in the window; on a busy database keep the window short.

    Example: penstock queues stats emails --since 15m
    """
    with open_reader(database_urls(jobqueue, namespace)) as reader:
        now = reader.clock()
        start = filters.moment(since, lambda: now) or now
        window = max((now - start).total_seconds(), 1.0)
        rows = reader.stats(name, window)
    if name is not None and not rows:
        raise PenstockError(f"there is no queue {check_queue_name(name, of='name')}")
    write(output, rows, drawn=table(_STATS, (_stat(row, window) for row in rows)), empty="no queues")


def _stat(row: QueueStats, window: float) -> tuple[object, ...]:
    times = (format_duration(value) for value in (row.wait_p50, row.wait_p95, row.run_p50, row.run_p95))
    return row.name, row.completed, row.completed / window, row.retried, row.dead, row.cancelled, *times


def _of_named_queues(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command that changes queues the options that all of these have, and checked names."""

    def command(**given: Any) -> None:
        for name in given["names"]:
            check_queue_name(name, of="name")
        urls = database_urls(given["jobqueue"], given["namespace"])
        function(given["names"], urls, given["output"], dry_run=given["dry_run"])

    command.__doc__ = function.__doc__
    parameters = {
        "names": (QueueNames, inspect.Parameter.empty),
        "dry_run": (filters.DryRunOption, False),
        "output": (OutputOption, Format.TABLE),
        "jobqueue": (JobQueueOption, None),
        "namespace": (Namespace, None),
    }
    return with_parameters(command, parameters)


@queues.command("pause")
@_of_named_queues
def pause(names: list[str], urls: DatabaseUrls, output: Format, *, dry_run: bool) -> None:
    """Stop claims from queues until they are resumed.

    Running jobs continue, and enqueueing continues. Neither the JobQueue nor a restart of the operator ends the pause:
    only `penstock queues resume` does.

    Example: penstock queues pause emails
    """
    _set(names, urls, output, paused=True, dry_run=dry_run)


@queues.command("resume")
@_of_named_queues
def resume(names: list[str], urls: DatabaseUrls, output: Format, *, dry_run: bool) -> None:
    """Allow claims from paused queues again.

    A pause by the JobQueue itself (spec.stopPolicy) returns with the next change of the JobQueue; change its spec.

    Example: penstock queues resume emails
    """
    _set(names, urls, output, paused=False, dry_run=dry_run)


@queues.command("remove")
@_of_named_queues
def remove(names: list[str], urls: DatabaseUrls, output: Format, *, dry_run: bool) -> None:
    """Remove queues that have no jobs, dead letters or workers.

    Outcomes of their finished jobs are no longer listed. An existing JobQueue, or the next enqueue to the name, creates
    the queue again.

    Example: penstock queues remove old-emails
    """
    found = on_store(urls, lambda store: _remove(store, names, dry_run=dry_run))
    removed = [name for name, removal in found.items() if removal.verdict in {"removed", "removable"}]
    kept = {name: removal for name, removal in found.items() if name not in removed}
    value = {"removed": removed, "kept": {name: one.verdict for name, one in kept.items()}, "dry_run": dry_run}
    names_removed = ", ".join(removed) or "nothing"
    message = f"would remove {names_removed}; nothing was changed\n" if dry_run else f"removed {names_removed}\n"
    write(output, value, drawn=message)
    if kept:
        raise PenstockError("; ".join(_kept(name, removal) for name, removal in kept.items()))


def _kept(name: str, removal: Removal) -> str:
    """Why a queue was not removed, and what to do."""
    number = removal.number or 0
    match removal.verdict:
        case "missing":
            return f"there is no queue {name}"
        case "jobs":
            hint = f"wait for {plural_word(number, 'it', 'them')}, or run `penstock jobs cancel --queue {name}`"
            return f"queue {name} has {_up_to_1000(number, 'job')} and was not removed: {hint}"
        case "dead":
            hint = f"`penstock dead redrive --queue {name}` or `penstock dead discard --queue {name}`"
            return f"queue {name} has {_up_to_1000(number, 'dead letter')} and was not removed: {hint}"
        case "workers":
            hint = f"delete its JobQueue or stop {plural_word(number, 'it', 'them')}"
            return f"queue {name} has {_up_to_1000(number, 'worker')} and was not removed: {hint}"
    return f"queue {name} was not removed, because an open transaction may enqueue to it: try again later"


def _up_to_1000(number: int, noun: str) -> str:
    """The number with its noun; functions/remove_queue.sql stops counting at 1,000."""
    return f"1,000 or more {noun}s" if number >= COUNTED else plural(number, noun)


async def _remove(store: DeadLetters, names: list[str], *, dry_run: bool) -> dict[str, Removal]:
    from penstock.store.queue_removal import remove_queue  # noqa: PLC0415 - the driver is loaded when it is needed

    return {name: await remove_queue(store, name, dry_run=dry_run) for name in names}


def _set(names: list[str], urls: DatabaseUrls, output: Format, *, paused: bool, dry_run: bool) -> None:
    with open_reader(urls) as reader:
        there = {row.name: row for row in reader.queues(cap=1)}
    if missing := [name for name in names if name not in there]:
        raise PenstockError(f"there is no queue {', '.join(missing)}; nothing was changed")
    changed = [name for name in names if (there[name].paused is not None) is not paused]
    if not dry_run:
        on_store(urls, lambda store: _pause(store, changed, paused=paused))
    if not paused:
        for row in (there[name] for name in changed):
            if not row.resumable:
                note = f"penstock: the JobQueue of {row.name} will pause it again: change spec.stopPolicy"
                typer.echo(note, err=True)
    verb = "paused" if paused else "resumed"
    names_changed = ", ".join(changed) or "nothing"
    would = "would pause" if paused else "would resume"
    message = f"{would} {names_changed}; nothing was changed\n" if dry_run else f"{verb} {names_changed}\n"
    write(output, {verb: changed, "dry_run": dry_run}, drawn=message)


async def _pause(store: DeadLetters, names: list[str], *, paused: bool) -> None:
    for name in names:
        await store.queues.pause(name, paused=paused)
