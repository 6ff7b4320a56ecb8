"""What a person sees of a local run: a live picture on a terminal, plain lines elsewhere.

Owns looks only: it is handed a `Picture` and draws it. Nothing here asks the database or decides. On a pipe or in a log
a moving picture is noise, so there each change of a replica count is one line, and the queues are told now and then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .processes import MemberState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.store.inspect.recent_failures import Failure

    from .autoscaler import QueueStatus, Scaled

PLAIN_SECONDS = 5.0
LAST = 6
"""Scale decisions and failures that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One moment. `elapsed` is in seconds; `trouble` says why the database cannot be looked at, empty if it can."""

    title: str
    elapsed: float
    queues: Sequence[QueueStatus]
    scaled: Sequence[Scaled]
    failures: Sequence[Failure]
    trouble: str = ""
    footer: str = ""


class View(Protocol):
    """Shows pictures; a context manager, because a terminal wants to be left as it was."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, picture: Picture) -> None:
        """Draw it."""

    def say(self, line: str) -> None:
        """A line that stays."""


def view_for(console: Console) -> View:
    """A live view on a terminal, plain lines elsewhere."""
    return LiveView(console) if console.is_terminal else PlainView(console)


class LiveView:
    """Redraws in place; lines said go above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, picture: Picture) -> None:
        """Redraw."""
        self._live.update(render(picture), refresh=True)

    def say(self, line: str) -> None:
        """Above the picture."""
        self._live.console.print(line, markup=False, highlight=False)


class PlainView:
    """Lines: every scale decision once, and each busy queue every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last_scaled: Scaled | None = None
        self._told_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, picture: Picture) -> None:
        """Tell what is new."""
        for one in _after(picture.scaled, self._last_scaled):
            self.say(f"{picture.elapsed:6.1f}s  {scaled_line(one)}")
            self._last_scaled = one
        if picture.queues and picture.elapsed - self._told_at >= PLAIN_SECONDS:
            self._told_at = picture.elapsed
            for queue in picture.queues:
                self.say(f"{picture.elapsed:6.1f}s  {queue_line(queue)}")
            if picture.trouble:
                self.say(f"{picture.elapsed:6.1f}s  {picture.trouble}")

    def say(self, line: str) -> None:
        """As it is."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _after(scaled: Sequence[Scaled], last: Scaled | None) -> Sequence[Scaled]:
    return scaled if last is None or last not in scaled else scaled[list(scaled).index(last) + 1 :]


def scaled_line(one: Scaled) -> str:
    """A scale decision in one line."""
    return f"{one.queue}: {one.before} -> {one.after}  {one.bound}: {one.explanation}"


def queue_line(queue: QueueStatus) -> str:
    """A queue in one line."""
    seen = queue.snapshot
    if seen is None:
        return f"{queue.name}: not seen"
    return (
        f"{queue.name}: {seen.ready} ready, {seen.in_flight} in flight, {seen.deferred} deferred, {seen.dead} dead, "
        f"{queue.serving} replicas, {rate(seen.completions_per_second)}/s, {queue.decision.bound}"
    )


def rate(value: float | None) -> str:
    """A rate with one decimal; a dash for what is not measured."""
    return "-" if value is None else f"{value:.1f}"


def render(picture: Picture) -> Panel:
    """The whole picture."""
    parts: list[Table | Text] = [_queues(picture.queues)]
    if picture.trouble:
        parts.append(Text(picture.trouble, style="bold red"))
    parts += [Text(), Text("Scale decisions", style="bold")]
    parts += [Text(scaled_line(one), no_wrap=True, overflow="ellipsis") for one in list(picture.scaled)[-LAST:]]
    crashed = [one for queue in picture.queues for one in queue.members if one.state is MemberState.CRASHED]
    if crashed or picture.failures:
        parts += [Text(), Text("Recent failures", style="bold")]
        parts += [_line(f"{one.name} crashed: {one.last_line}", "red") for one in crashed[-LAST:]]
        parts += [_line(failure_line(one), "red" if one.dead else "yellow") for one in picture.failures[:LAST]]
    if picture.footer:
        parts += [Text(), Text(picture.footer, style="dim")]
    return Panel(Group(*parts), title=f"{picture.title}  {picture.elapsed:.0f} s", title_align="left")


def _line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def failure_line(one: Failure) -> str:
    """A failed job in one line."""
    when = f"dead for {one.seconds:.0f} s" if one.dead else f"again in {max(0.0, -one.seconds):.0f} s"
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
        counts = ["?"] * 5 if seen is None else [str(seen.ready), str(seen.in_flight), str(seen.deferred),
                                                 str(seen.dead), _age(seen.oldest_ready_seconds)]  # fmt: skip
        completions = None if seen is None else seen.completions_per_second
        why = f"{queue.decision.bound}: {queue.decision.explanation}"
        style = "" if queue.serving or queue.leaving else "dim"
        table.add_row(queue.name, *counts, replicas(queue), str(queue.ended), rate(completions), why, style=style)
    return table


def replicas(queue: QueueStatus) -> str:
    """`2`, `2 of 3` while they come, `2 -1` while one drains."""
    desired = queue.decision.desired
    text = str(queue.serving) if queue.serving == desired else f"{queue.serving} of {desired}"
    return f"{text} -{queue.leaving}" if queue.leaving else text


def _age(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}s"
