"""`docs/images/why-pull.svg`: the same ten jobs on two workers, pushed on arrival and pulled on demand.

Owns the simulation and the drawing, both a function of `SECONDS` alone, so that `make verify` can compare the file. The
page `docs/explanation/why-pull.md` runs the same arithmetic in a block of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SECONDS: Final = (30, 3, 3, 3, 3, 3, 3, 3, 3, 3)
"""Run times in order of arrival, all at once: one long job, nine short ones."""
LEFT, SCALE, LANE = 96, 13, 34
WIDTH: Final = LEFT + SCALE * 45 + 24
LONG, SHORT, LATE, INK = "#8a5a1f", "#1f6f8b", "#b9403c", "#333"
_HEAD: Final = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 276" font-family="sans-serif"
 font-size="12">
<rect width="{WIDTH}" height="276" fill="white"/>
"""


class Run(NamedTuple):
    """One job on one worker; seconds since the arrival of all jobs."""

    job: int
    worker: int
    start: int
    end: int


def pushed(seconds: Sequence[int], workers: int = 2) -> list[Run]:
    """Each job is assigned when it arrives, in turn, and runs when its worker has finished what came before."""
    free = [0] * workers
    runs = []
    for job, length in enumerate(seconds):
        worker = job % workers
        runs.append(Run(job, worker, free[worker], free[worker] + length))
        free[worker] += length
    return runs


def pulled(seconds: Sequence[int], workers: int = 2) -> list[Run]:
    """Each worker asks for the next job when it is free."""
    free = [0] * workers
    runs = []
    for job, length in enumerate(seconds):
        worker = free.index(min(free))
        runs.append(Run(job, worker, free[worker], free[worker] + length))
        free[worker] += length
    return runs


def why_pull() -> str:
    """The picture as SVG text."""
    rows = [_HEAD, *_panel("Push, assigned on arrival", pushed(SECONDS), 34)]
    rows += _panel("Pull, on demand", pulled(SECONDS), 176)
    return "".join([*rows, "</svg>\n"])


def _panel(title: str, runs: Sequence[Run], top: int) -> Iterator[str]:
    end, wait = max(run.end for run in runs), max(run.start for run in runs)
    fact = f"last job starts after {wait} s, all done after {end} s"
    yield f'<text x="{LEFT}" y="{top - 12}" font-size="14" fill="{INK}">{title}: {fact}</text>\n'
    y = top + 2 * LANE + 4
    for second in range(0, 46, 5):
        x = LEFT + second * SCALE
        yield f'<line x1="{x}" y1="{top - 4}" x2="{x}" y2="{y}" stroke="#ddd"/>\n'
        yield f'<text x="{x}" y="{y + 14}" text-anchor="middle" fill="{INK}">{second} s</text>\n'
    for lane, name in enumerate(("worker A", "worker B")):
        y = top + lane * LANE
        yield f'<text x="{LEFT - 10}" y="{y + 18}" text-anchor="end" fill="{INK}">{name}</text>\n'
        yield from _lane([run for run in runs if run.worker == lane], y, end)


def _lane(runs: Sequence[Run], y: int, end: int) -> Iterator[str]:
    for run in runs:
        width = (run.end - run.start) * SCALE
        x = LEFT + run.start * SCALE
        late = run.start >= SECONDS[0]
        fill = LATE if late else LONG if run.job == 0 else SHORT
        yield f'<rect x="{x + 1}" y="{y}" width="{width - 2}" height="26" rx="3" fill="{fill}"/>\n'
        yield f'<text x="{x + width / 2:g}" y="{y + 17}" text-anchor="middle" fill="white">{run.job + 1}</text>\n'
    free = runs[-1].end
    if free < end - 3:
        x, width = LEFT + free * SCALE, (end - free) * SCALE
        yield f'<rect x="{x + 1}" y="{y}" width="{width - 2}" height="26" rx="3" fill="none" stroke="#999"'
        yield ' stroke-dasharray="4 3"/>\n'
        yield f'<text x="{x + width / 2:g}" y="{y + 17}" text-anchor="middle" fill="{INK}">idle</text>\n'
