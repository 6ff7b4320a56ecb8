"""A dashboard as a small SVG: the same panels at the same places, drawn from answers that a Prometheus gave.

For pages that cannot show Grafana. Owns the drawing; who asks, and over what time, is the caller's business. The same
answers give the same text. No fonts, scripts or styles from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from tools.monitoring import grafana
from tools.monitoring.panels import Dashboard, Panel

COLOURS: Final = ("#1f6f8b", "#b35c1e", "#6b8e23", "#7a4f9a", "#c0392b", "#888888", "#2c8c6f", "#a08020")
COLUMN: Final = 50
ROW: Final = 26
GAP: Final = 8
LEFT: Final = 46
TOP: Final = 30
BOTTOM: Final = 40
HEAD: Final = 40
MIN_GAP: Final = 2.5
"""Seconds between two points from which on no line joins them."""
_FONT: Final = 'font-family="sans-serif" font-size="11"'
MAX_LINES: Final = 8
"""Series beyond are not drawn; a legend has no room for them."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer: its legend and its points, times in seconds of the epoch."""

    legend: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


Answers = Mapping[str, Sequence[Series]]
"""By expression, as the panel has it."""


def series_of(found: Sequence[Any], legend: str) -> list[Series]:
    """The series of a range query as Prometheus answers it; NaN is left out."""
    made = []
    for one in found:
        labels = {key: value for key, value in one["metric"].items() if not key.startswith("__")}
        name = re.sub(r"{{(\w+)}}", lambda part, labels=labels: labels.get(part[1], ""), legend)  # type: ignore[misc]
        points = [(float(at), float(value)) for at, value in one["values"] if value != "NaN"]
        if points:
            made.append(Series(name, labels, points))
    return sorted(made, key=lambda each: (each.legend, sorted(each.labels.items())))


def draw(dashboard: Dashboard, answers: Answers, *, start: float, end: float) -> str:
    """The SVG of a dashboard between two times."""
    placed = list(grafana.placed(dashboard))
    width = grafana.COLUMNS * COLUMN
    height = HEAD + ROW * max(place["y"] + place["h"] for place, _ in placed)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="#f4f5f5"/>',
        f'<text x="{GAP}" y="26" font-size="17">{escape(dashboard.title)}</text>',
    ]
    for place, panel in placed:
        x, y = place["x"] * COLUMN + GAP / 2, HEAD + place["y"] * ROW
        w, h = place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        parts.append(f'<g transform="translate({x:g},{y:g})"><title>{escape(panel.help)}</title>')
        parts.append(f'<rect width="{w}" height="{h}" fill="white" stroke="#d8d9da" rx="2"/>')
        parts.append(f'<text x="8" y="18" font-weight="bold">{escape(panel.title)}</text>')
        found = [one for query in panel.queries for one in answers.get(query.expression, ())]
        parts += _DRAWN[panel.kind](panel, found, (w, h), (start, end))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _stat(panel: Panel, found: Sequence[Series], size: tuple[int, int], _: tuple[float, float]) -> Iterator[str]:
    value = found[0].points[-1][1] if found else None
    shown = "no data" if value is None else drawn(value, panel.unit)
    colour = "#c0392b" if value is not None and panel.bad is not None and value >= panel.bad else "#2c8c6f"
    place = f'x="{size[0] / 2:g}" y="{size[1] - 24}"'
    yield f'<text {place} font-size="28" text-anchor="middle" fill="{colour}">{shown}</text>'


def _table(panel: Panel, found: Sequence[Series], size: tuple[int, int], time: tuple[float, float]) -> Iterator[str]:
    """What is there at the end, a line for each series."""
    del panel
    rows = [one for one in found if time[1] - one.points[-1][0] < 2]
    for number, one in enumerate(rows[: (size[1] - 40) // 18]):
        for place, (_, value) in enumerate(sorted(one.labels.items(), reverse=True)):
            yield f'<text x="{12 + place * size[0] // 3}" y="{44 + number * 18}">{escape(value)}</text>'


def _lines(panel: Panel, found: Sequence[Series], size: tuple[int, int], time: tuple[float, float]) -> Iterator[str]:
    width, height = size[0] - LEFT - 12, size[1] - TOP - BOTTOM
    top = max((value for one in found for _, value in one.points), default=0) or 1
    start, end = time
    for share in (0, 0.5, 1):
        y = TOP + height * (1 - share)
        yield f'<line x1="{LEFT}" y1="{y:g}" x2="{LEFT + width}" y2="{y:g}" stroke="#e4e4e4"/>'
        label = drawn(top * share, panel.unit)
        yield f'<text x="{LEFT - 5}" y="{y + 4:g}" text-anchor="end" fill="#666">{label}</text>'
    yield f'<text x="{LEFT + width}" y="{TOP + height + 14}" text-anchor="end" fill="#666">{end - start:.0f} s</text>'
    yield f'<text x="{LEFT}" y="{TOP + height + 14}" fill="#666">0 s</text>'
    across = LEFT
    for one, colour in zip(found[:MAX_LINES], COLOURS, strict=False):
        for run in _runs(one.points):
            points = " ".join(
                f"{LEFT + width * (at - start) / (end - start):.0f},{TOP + height * (1 - value / top):.1f}"
                for at, value in run
            )
            yield f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        yield f'<text x="{across}" y="{size[1] - 8}" fill="{colour}">{escape(one.legend)}</text>'
        across += 6 * len(one.legend) + 12


def _runs(points: Sequence[tuple[float, float]]) -> Iterator[Sequence[tuple[float, float]]]:
    """Points without a gap between them."""
    first = 0
    for place in range(1, len(points) + 1):
        if place == len(points) or points[place][0] - points[place - 1][0] > MIN_GAP:
            yield points[first:place]
            first = place


_DRAWN: Final = {"stat": _stat, "lines": _lines, "table": _table}


def drawn(value: float, unit: str) -> str:
    """A number as a person reads it."""
    number = f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"
    return number + {"s": " s", "ops": "/s"}.get(unit, "")
