"""`penstock top`: queues, workers and the latest dead letters, again and again.

On a terminal the picture is redrawn in place (rich, where it is installed); elsewhere each picture follows the last.
It costs three reads per picture; counts stop at 10,000.
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

from . import queues, selection, workers
from .database import JobQueue, Namespace, Output, address
from .output import Format, safe, table, write

if TYPE_CHECKING:
    from penstock.store.reading import JobRow, Reader, WorkerRow

LATEST = 5
"""Dead letters that are shown."""
_DEAD = ("id", "queue", "task", "died", "reason", "error")


class Top:
    """Takes pictures; keeps how much workers had done at the last one, for the rate."""

    def __init__(self, reader: Reader, *, queue: str | None, clock: Callable[[], float]) -> None:
        self._reader, self._queue, self._clock = reader, queue, clock
        self._done: dict[int, int] = {}
        self._at: float | None = None

    def picture(self) -> dict[str, Any]:
        """One moment, as values."""
        from penstock.store.reading import JobFilter  # noqa: PLC0415 - the driver is loaded when it is needed

        held = [row for row in self._reader.queues() if self._queue in {None, row.name}]
        here = self._reader.workers(self._queue)
        matching = JobFilter(states=frozenset({JobState.DEAD}), queue=self._queue, limit=LATEST)
        letters = self._reader.jobs(matching)
        return {"queues": held, "workers": here, "dead": letters, "per_second": self._rate(here)}

    def _rate(self, here: list[WorkerRow]) -> float | None:
        """Jobs done per second since the last picture, by workers that were there; None at the first."""
        now, before = self._clock(), self._at
        done = {row.id: row.done for row in here}
        fresh = sum(max(0, number - self._done.get(worker, number)) for worker, number in done.items())
        self._done, self._at = done, now
        return None if before is None or now <= before else fresh / (now - before)


def drawn(picture: dict[str, Any]) -> str:
    """A picture for people."""
    alive = [row for row in picture["workers"] if row.state != "lost"]
    rate = picture["per_second"]
    told = "" if rate is None else f", {rate:,.1f} jobs/s"
    parts = [f"{len(picture['queues'])} queues, {len(alive)} workers{told}\n"]
    for part in (queues.drawn(picture["queues"]), workers.drawn(alive), _letters(picture["dead"])):
        parts += ["\n", part] if part else []
    return "".join(parts)


def _letters(rows: list[JobRow]) -> str:
    lines = ((row.id, row.queue, row.task, row.finished_at, row.reason, row.message or row.error) for row in rows)
    text = table(_DEAD, lines)
    return f"latest dead letters\n{text}" if text else ""


def top(
    *,
    queue: selection.Queue = None,
    interval: Annotated[float, typer.Option(help="Seconds between pictures.", min=0.2, max=3600)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One picture, then end.")] = False,
    output: Output = Format.TABLE,
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Watch queues, workers and the latest dead letters; Ctrl-C ends.

    A database that is away is told and waited for. JSON and YAML are for `--once`.

    Example: kubectl penstock top --jobqueue emails -n shop
    """
    from penstock.store.reading import Reader  # noqa: PLC0415

    where = address(jobqueue, namespace)
    with Reader(where.url, pooled=where.pooled) as reader:
        look = Top(reader, queue=queue, clock=time.monotonic)
        if once or output is not Format.TABLE:
            picture = look.picture()
            write(output, picture, drawn=drawn(picture))
            return
        with contextlib.suppress(KeyboardInterrupt), _screen() as show:  # that is how it ends
            while True:
                show(_told(look))
                time.sleep(interval)


def _told(look: Top) -> str:
    try:
        return drawn(look.picture())
    except StoreError as error:
        return f"{safe(str(error))}\n"


@contextmanager
def _screen() -> Iterator[Callable[[str], None]]:
    """Shows a text in place of the last one, where that can be done."""
    try:
        from rich.console import Console  # noqa: PLC0415 - only for a live picture
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
