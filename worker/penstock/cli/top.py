"""`penstock top`: a live view of queues, workers and the newest dead letters.

On a terminal the view is redrawn in place, if rich is installed; elsewhere one view follows the other. Each view takes
three queries; counts stop at 10,000.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.errors import StoreError
from penstock.job import JobState
from penstock.plural import plural

from . import filters, queues, workers
from .database import JobQueueOption, Namespace, OutputOption, database_urls
from .output import Format, safe, table, write

if TYPE_CHECKING:
    from penstock.store.inspect.inspection import JobRow, Reader, WorkerRow

NEWEST = 5
"""Number of dead letters to show."""
_DEAD = ("id", "queue", "task", "died", "reason", "error")


class TopSampler:
    """Reads one view after the other; keeps the workers' counters of the last one, for the rate."""

    def __init__(self, reader: Reader, *, queue: str | None, clock: Callable[[], float]) -> None:
        self._reader, self._queue, self._clock = reader, queue, clock
        self._done: dict[int, int] = {}
        self._at: float | None = None

    def sample(self) -> dict[str, Any]:
        """The view as values."""
        from penstock.store.inspect.inspection import JobFilter  # noqa: PLC0415 - the driver is loaded when it is needed

        rows = [row for row in self._reader.queues() if self._queue in {None, row.name}]
        workers = self._reader.workers(self._queue)
        matching = JobFilter(states=frozenset({JobState.DEAD}), queue=self._queue, limit=NEWEST)
        letters = self._reader.jobs(matching)
        return {"queues": rows, "workers": workers, "dead": letters, "per_second": self._rate(workers)}

    def _rate(self, workers: list[WorkerRow]) -> float | None:
        """Jobs per second since the last view, of workers that were in both; None for the first view."""
        now, before = self._clock(), self._at
        done = {row.id: row.done for row in workers}
        fresh = sum(max(0, number - self._done.get(worker, number)) for worker, number in done.items())
        self._done, self._at = done, now
        return None if before is None or now <= before else fresh / (now - before)


def render_view(sample: dict[str, Any]) -> str:
    """The view as text."""
    alive = [row for row in sample["workers"] if row.state != "lost"]
    rate = sample["per_second"]
    throughput = "" if rate is None else f", {rate:,.1f} jobs/s"
    parts = [f"{plural(len(sample['queues']), 'queue')}, {plural(len(alive), 'worker')}{throughput}\n"]
    for part in (queues.queue_table(sample["queues"]), workers.worker_table(alive), _letters(sample["dead"])):
        parts += ["\n", part] if part else []
    return "".join(parts)


def _letters(rows: list[JobRow]) -> str:
    lines = ((row.id, row.queue, row.task, row.finished_at, row.reason, row.message or row.error) for row in rows)
    text = table(_DEAD, lines)
    return f"newest dead letters\n{text}" if text else ""


def top(
    *,
    queue: filters.QueueOption = None,
    interval: Annotated[float, typer.Option(help="Seconds between two views.", min=0.2, max=3600)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one view and exit.")] = False,
    output: OutputOption = Format.TABLE,
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Watch queues, workers and the newest dead letters.

    Ctrl-C exits. If the database cannot be reached, the view says so and is refreshed until it can be. JSON and YAML
    print one view and exit.

    Example: kubectl penstock top --jobqueue emails -n shop
    """
    from penstock.store.inspect.inspection import Reader  # noqa: PLC0415

    urls = database_urls(jobqueue, namespace)
    with Reader(urls.url, pooled=urls.pooled) as reader:
        sampler = TopSampler(reader, queue=queue, clock=time.monotonic)
        if once or output is not Format.TABLE:
            sample = sampler.sample()
            write(output, sample, drawn=render_view(sample))
            return
        with contextlib.suppress(KeyboardInterrupt), _screen() as show:  # Ctrl-C is the way out
            while True:
                show(_view(sampler))
                time.sleep(interval)


def _view(sampler: TopSampler) -> str:
    try:
        return render_view(sampler.sample())
    except StoreError as error:
        return f"{safe(str(error))}\n"


@contextmanager
def _screen() -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a text, in place of the last one where the terminal allows it."""
    try:
        from rich.console import Console  # noqa: PLC0415 - only for a live view
        from rich.live import Live  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415
    except ModuleNotFoundError:
        live = None
    else:
        live = Live(console=Console(), auto_refresh=False, screen=True) if sys.stdout.isatty() else None
    if live is None:
        yield _print
        return
    with live:
        yield lambda text: live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
