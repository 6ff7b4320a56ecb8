"""`penstock workers`: list the workers with their queues, leases and oldest jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import filters
from .database import JobQueueOption, Namespace, OutputOption, database_urls
from .output import Format, format_duration, table, write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.store.inspect.inspection import WorkerRow

_COLUMNS = (
    "id",
    "worker",
    "queues",
    "state",
    "lease",
    "up",
    "busy",
    "done",
    "last job",
    "oldest job",
    "for",
    "version",
)


def worker_table(rows: Iterable[WorkerRow]) -> str:
    """The workers as a table."""
    return table(_COLUMNS, map(worker_cells, rows))


def worker_cells(row: WorkerRow) -> tuple[object, ...]:
    """The cells of one worker in the table."""
    state = row.state if row.state == "lost" or row.lease_left > 0 else f"{row.state}, lease expired"
    oldest = None if row.oldest_job is None else f"{row.oldest_job} {row.oldest_task}"
    busy = f"{row.in_flight}/{row.concurrency}"
    lease, up, since = format_duration(row.lease_left), format_duration(row.up), format_duration(row.oldest_claimed)
    return row.id, row.identity, row.queues, state, lease, up, busy, row.done, _last(row), oldest, since, row.version


def _last(row: WorkerRow) -> str | None:
    if (last := row.report.get("last")) is None:
        return None
    return f"{last['id']} {last['task']} {last['outcome']} {format_duration(last['age'] + row.renewed)} ago"


def workers(
    *,
    queue: filters.QueueOption = None,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """List workers with their leases and oldest running jobs.

    `busy` and the last job are as of the last lease renewal, at most five seconds ago. JSON and YAML contain the
    worker's full report: up to ten attempts with age and progress. A worker whose lease expired is listed until
    maintenance has rescued its jobs.

    Example: penstock workers --queue emails
    """
    from penstock.store.inspect.inspection import Reader  # noqa: PLC0415 - the driver is loaded when it is needed

    urls = database_urls(jobqueue, namespace)
    with Reader(urls.url, pooled=urls.pooled) as reader:
        rows = reader.workers(queue)
    write(output, rows, drawn=worker_table(rows), empty="no workers")
