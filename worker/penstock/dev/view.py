"""The view of `penstock dev`: a live table on a terminal, plain lines elsewhere.

Owns the presentation only: it gets a `Status` and draws it; it must not query the database or decide anything. Without
a terminal each change of a replica count is one line, and each queue is printed every few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from penstock.plural import plural

from .processes import WorkerProcessState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.store.inspect.recent_failures import FailedAttempt

    from .autoscaler import QueueStatus, Scaled

PLAIN_SECONDS = 5.0
NEWEST = 6
"""Number of scale decisions and failures to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a session at one moment. `elapsed` is in seconds; `last_error` is empty if sampling worked."""

    title: str
    elapsed: float
    queues: Sequence[QueueStatus]
    scaled: Sequence[Scaled]
    failures: Sequence[FailedAttempt]
    last_error: str = ""
    footer: str = ""
    explain: bool = False


class View(Protocol):
    """Shows the status; a context manager, because the terminal must be restored."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, status: Status) -> None:
        """Show a new status."""

    def print(self, line: str) -> None:
        """Print a line that stays on the screen."""


def view_for(console: Console) -> View:
    """A live view on a terminal, plain lines elsewhere."""
    return LiveView(console) if console.is_terminal else PlainView(console)


class LiveView:
    """Redraws in place; printed lines go above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, status: Status) -> None:
        """Redraw."""
        self._live.update(render(status), refresh=True)

    def print(self, line: str) -> None:
        """Print above the table."""
        self._live.console.print(line, markup=False, highlight=False)


class PlainView:
    """Prints every scale decision once, and each queue every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_scaled: Scaled | None = None
        self._printed_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, status: Status) -> None:
        """Print what is new."""
        for one in _after(status.scaled, self._last_scaled):
            self.print(f"{status.elapsed:6.1f}s  {scaled_line(one, explain=status.explain)}")
            self._last_scaled = one
        if status.queues and status.elapsed - self._printed_at >= PLAIN_SECONDS:
            self._printed_at = status.elapsed
            for queue in status.queues:
                self.print(f"{status.elapsed:6.1f}s  {queue_line(queue)}")
            if status.last_error:
                self.print(f"{status.elapsed:6.1f}s  {status.last_error}")

    def print(self, line: str) -> None:
        """Print the line as it is."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _after(scaled: Sequence[Scaled], last: Scaled | None) -> Sequence[Scaled]:
    return scaled if last is None or last not in scaled else scaled[list(scaled).index(last) + 1 :]


def scaled_line(one: Scaled, *, explain: bool = False) -> str:
    """A scale decision in one line; `explain` adds its arithmetic."""
    line = f"{one.queue}: {one.before} -> {one.after}  {one.bound}: {one.explanation}"
    return f"{line} [{one.arithmetic}]" if explain else line


def queue_line(queue: QueueStatus) -> str:
    """A queue in one line."""
    seen = queue.snapshot
    if seen is None:
        return f"{queue.name}: could not be sampled"
    return (
        f"{queue.name}: {seen.ready} ready, {seen.in_flight} in flight, {seen.deferred} deferred, {seen.dead} dead, "
        f"{plural(queue.serving, 'replica')}, {rate(seen.completions_per_second)}/s, {queue.decision.bound}"
    )


def rate(value: float | None) -> str:
    """A rate with one decimal; a dash if it has not been measured."""
    return "-" if value is None else f"{value:.1f}"


def render(status: Status) -> Panel:
    """The whole view."""
    parts: list[Table | Text] = [_queues(status.queues)]
    if status.explain:
        parts += [_line(f"{one.name}: {one.decision.arithmetic}", "dim") for one in status.queues]
    if status.last_error:
        parts.append(Text(status.last_error, style="bold red"))
    parts += [Text(), Text("Scale decisions", style="bold")]
    parts += [_line(scaled_line(one, explain=status.explain)) for one in list(status.scaled)[-NEWEST:]]
    crashed = [one for queue in status.queues for one in queue.workers if one.state is WorkerProcessState.CRASHED]
    if crashed or status.failures:
        parts += [Text(), Text("Recent failures", style="bold")]
        parts += [_line(f"{one.name} crashed: {one.last_line}", "red") for one in crashed[-NEWEST:]]
        parts += [_line(failure_line(one), "red" if one.dead else "yellow") for one in status.failures[:NEWEST]]
    if status.footer:
        parts += [Text(), Text(status.footer, style="dim")]
    return Panel(Group(*parts), title=f"{status.title}  {status.elapsed:.0f} s", title_align="left")


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def failure_line(one: FailedAttempt) -> str:
    """A failed job in one line."""
    when = f"dead for {one.seconds:.0f} s" if one.dead else f"retry in {max(0.0, -one.seconds):.0f} s"
    why = f"{(one.kind or 'error').rpartition('.')[2]}: {one.message or ''}".splitlines()[0]
    return f"{one.queue} job {one.id} {one.task}, attempt {one.attempt} of {one.max_attempts}, {when}: {why}"


def _queues(queues: Sequence[QueueStatus]) -> Table:
    table = Table(expand=True, box=None, header_style="bold", pad_edge=False)
    table.add_column("QUEUE", no_wrap=True)
    for name in ("READY", "IN FLIGHT", "DEFERRED", "DEAD", "OLDEST", "REPLICAS", "DONE", "JOBS/S"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("WHY", ratio=1, no_wrap=True, overflow="ellipsis")
    for queue in queues:
        seen = queue.snapshot
        counts = (
            ["?"] * 5
            if seen is None
            else [
                str(seen.ready),
                str(seen.in_flight),
                str(seen.deferred),
                str(seen.dead),
                _age(seen.oldest_ready_seconds),
            ]
        )
        completions = None if seen is None else seen.completions_per_second
        why = f"{queue.decision.bound}: {queue.decision.explanation}"
        style = "" if queue.serving or queue.leaving else "dim"
        table.add_row(queue.name, *counts, replicas(queue), str(queue.finished), rate(completions), why, style=style)
    return table


def replicas(queue: QueueStatus) -> str:
    """`2`; `2 of 3` while one starts; `2 -1` while another one drains."""
    desired = queue.decision.desired
    text = str(queue.serving) if queue.serving == desired else f"{queue.serving} of {desired}"
    return f"{text} -{queue.leaving}" if queue.leaving else text


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}s"
