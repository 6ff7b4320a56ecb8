"""`penstock dead`: list, show, redrive and discard dead letters.

Owns the columns of dead letters and the two bulk commands' own parts; `bulk_command` asks, counts and reports. Must not
query the database itself. `--since` is resolved against the database's clock before anything is changed, and a redriven
job whose unique key another job has taken stays a dead letter and is named in the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from penstock.errors import JobNotFound, StoreError
from penstock.job import JobState
from penstock.plural import plural

from . import filters
from .bulk_command import BulkCommand, ProgressBar, on_store, open_reader
from .database import DatabaseUrls, JobQueueOption, Namespace, OutputOption, database_urls
from .jobs import JobId, errors_drawn
from .output import Format, as_json_types, pairs, table, write
from .parameters import Parameter

if TYPE_CHECKING:
    from penstock.store import DeadCount, DeadFilter

dead = typer.Typer(help="List, show, redrive and discard dead letters.", no_args_is_help=True)
_COUNTS = ("queue", "task", "reason", "count", "first", "last")
_COLUMNS = ("id", "queue", "task", "reason", "attempt", "died_at", "error", "message")
MAX_KEPT_LINES = 20
"""Dead letters named in a table because their unique key is taken; JSON and YAML name all."""


def _matching(urls: DatabaseUrls, given: Mapping[str, Any], ids: list[int] | None = None) -> DeadFilter:
    from penstock.store import DeadFilter  # noqa: PLC0415 - the driver is loaded when it is needed

    with open_reader(urls) as reader:
        return DeadFilter(
            ids=tuple(ids) if ids else None,
            since=filters.moment(given["since"], reader.clock),
            queue=given["queue"],
            task=given["task"],
            reason=given["reason"],
            contains=given["error"],
        )


@dead.command("list")
def list_dead(
    *,
    queue: filters.QueueOption = None,
    task: filters.TaskOption = None,
    reason: filters.DeadReason = None,
    error: filters.Error = None,
    since: filters.Since = None,
    limit: filters.Limit = 50,
    counts: Annotated[
        bool, typer.Option("--counts", help="Count by queue, task and reason instead of listing.")
    ] = False,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """List dead letters, newest first, or count them.

    `--counts` counts them by queue, task and reason.

    Example: penstock dead list --queue emails --since 1d --counts
    """
    urls = database_urls(jobqueue, namespace)
    given = {"queue": queue, "task": task, "reason": reason, "error": error, "since": since}
    matching = _matching(urls, given)
    if counts:
        found = on_store(urls, lambda store: store.count_dead(matching))
        write(output, found, drawn=_counted(found), empty="no dead letters match")
        return
    rows = on_store(urls, lambda store: store.list_dead(matching, limit=limit))
    drawn = table(
        _COLUMNS, ([_attempts(row) if name == "attempt" else getattr(row, name) for name in _COLUMNS] for row in rows)
    )
    if len(rows) == limit:
        typer.echo(f"penstock: listed the newest {limit}; `--counts` counts all, `--limit` lists more", err=True)
    write(output, rows, drawn=drawn, empty="no dead letters match")


def _attempts(row: Any) -> str:
    return f"{row.attempt}/{row.max_attempts}"


def _counted(found: list[DeadCount]) -> str:
    return table(_COUNTS, ([getattr(one, name) for name in _COUNTS] for one in found))


@dead.command("show")
def show_dead(
    job_id: JobId,
    *,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Show one dead letter with errors, arguments and forensics.

    That needs a login that may read the table penstock.dead; other logins see what `penstock jobs show` shows.

    Example: penstock dead show 42
    """
    urls = database_urls(jobqueue, namespace)
    with open_reader(urls) as reader:
        found = reader.job(job_id)
    if found is None or found.job["state"] != "dead":
        raise JobNotFound(f"there is no dead letter {job_id}" + (f": the job is {found.job['state']}" if found else ""))
    value: dict[str, Any] = found.job
    try:
        if (whole := on_store(urls, lambda store: store.show_dead(job_id))) is not None:
            value = as_json_types(whole)
    except StoreError as error:
        if "lacks a right" not in str(error):
            raise
    fields = {name: one for name, one in value.items() if name != "errors"}
    write(output, value, drawn=pairs(fields) + errors_drawn(value.get("errors")))


class _DeadCommand(BulkCommand):
    """A bulk command about dead letters."""

    noun = "dead letter"
    filters = ("queue", "task", "reason", "error", "since")
    _matching: DeadFilter

    def find(self) -> int:
        """Count what the filters match, and print the counts on stderr."""
        self._matching = _matching(self.urls, self.given)
        counts = on_store(self.urls, lambda store: store.count_dead(self._matching))
        if counts:
            typer.echo(_counted(counts), err=True, nl=False)
        return sum(one.count for one in counts)

    def _selected(self) -> DeadFilter:
        return _matching(self.urls, self.given, self.ids) if self.by_id else self._matching


class RedriveCommand(_DeadCommand):
    """`penstock dead redrive`: dead letters become ready jobs again."""

    name = "redrive"
    help = """Make dead letters ready jobs again, by id or by filter.

    The jobs keep their ids and get all their attempts again. A dead letter whose unique key now belongs to another job
    is left and named. With a filter the command shows the counts and asks first; jobs that die later are left alone.

    Example: penstock dead redrive --queue emails --error ConnectionError --since 2h
    """
    action = "redrive {}"
    doing = "redriving"
    options: ClassVar[Mapping[str, Parameter]] = {
        "drop_key": (
            Annotated[bool, typer.Option("--drop-key", help="Redrive without the unique key if it is taken.")],
            False,
        )
    }
    results = ("redriven",)
    would: ClassVar[Mapping[JobState, str]] = {JobState.DEAD: "redriven"}
    _kept: Mapping[int, int] = {}

    def change(self, progress: ProgressBar) -> dict[str, int]:
        """Redrive them; dead letters whose unique key is taken are kept."""
        matching, drop_key = self._selected(), self.given["drop_key"]
        done = on_store(
            self.urls, lambda store: store.redrive_matching(matching, drop_key=drop_key, on_progress=progress.to)
        )
        self._kept = done.kept
        return {"redriven": done.redriven}

    def details(self) -> dict[str, Any]:
        """The dead letters that were kept, with the job that has the unique key (0: it has just finished)."""
        return {"kept": self._kept}

    def detail_lines(self) -> Iterator[str]:
        """One line for each dead letter that was kept, up to the maximum."""
        kept = list(self._kept.items())
        for job, holder in kept[:MAX_KEPT_LINES]:
            yield f"  {job}: left, because its unique key belongs to job {holder}"
        if len(kept) > MAX_KEPT_LINES:
            yield f"  and {plural(len(kept) - MAX_KEPT_LINES, 'more job')} for the same reason"


class DiscardCommand(_DeadCommand):
    """`penstock dead discard`: dead letters are deleted."""

    name = "discard"
    help = """Delete dead letters for good, by id or by filter.

    Their outcomes are kept until the retention of their queue has passed. With a filter the command shows the counts
    and asks first.

    Example: penstock dead discard --queue emails --reason invalid_arguments --dry-run
    """
    action = "discard {}"
    doing = "discarding"
    results = ("discarded",)
    would: ClassVar[Mapping[JobState, str]] = {JobState.DEAD: "discarded"}

    def change(self, progress: ProgressBar) -> dict[str, int]:
        """Delete them."""
        matching = self._selected()
        return {
            "discarded": on_store(self.urls, lambda store: store.discard_matching(matching, on_progress=progress.to))
        }


RedriveCommand.register(dead)
DiscardCommand.register(dead)
