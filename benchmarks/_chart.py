"""Charts of the benchmarks as small SVG texts: lines over an axis, and groups of bars.

It owns the drawing; what is drawn, and what it means, is the caller's. The same values give the same text, byte for
byte, so that a chart can be kept in the repository and a difference is a change of its numbers. Values beyond an axis
are drawn at its end. No fonts, scripts or styles from elsewhere.

    chart("Wait", x=Axis("seconds", 0, 60, (0, 30, 60)), y=..., lines=[Line("ours", points, COLOURS[0])])
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

LEFT, RIGHT, TOP, BOTTOM = 64, 24, 40, 52
COLOURS: Final = ("#1f6f8b", "#b35c1e", "#6b8e23", "#7a4f9a", "#888888")


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high`, with a labelled mark at each of `ticks`; logarithmic axes start above zero."""

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        value = min(max(value, self.low), self.high)
        if self.log:
            return (math.log10(value) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Line:
    """Points joined by a line; `dots` marks each of them, `steps` keeps a value until the next."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: str
    dots: bool = False
    steps: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Level:
    """A dashed line at `y`, from `first` to `last` of the x axis: a bar, a target."""

    label: str
    y: float
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class _Frame:
    x: Axis
    y: Axis
    width: int
    height: int

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + self.x.share(x) * (self.width - LEFT - RIGHT)
        return across, self.height - BOTTOM - self.y.share(y) * (self.height - TOP - BOTTOM)


def chart(
    title: str,
    *,
    x: Axis,
    y: Axis,
    lines: Sequence[Line],
    levels: Sequence[Level] = (),
    size: tuple[int, int] = (640, 380),
) -> str:
    """Lines over an axis as an SVG of `size` pixels; the legend names each line."""
    frame = _Frame(x, y, *size)
    parts = [*_opening(title, size), *_y_axis(frame), *_x_axis(frame)]
    for line in lines:
        points = _stepped(line.points) if line.steps else line.points
        path = " ".join(f"{across:.1f},{up:.1f}" for across, up in (frame.at(*point) for point in points))
        dash = ' stroke-dasharray="5 3"' if line.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dash}/>')
        for across, up in (frame.at(*point) for point in line.points if line.dots):
            parts.append(f'<circle cx="{across:.1f}" cy="{up:.1f}" r="3" fill="{line.colour}"/>')
    for level in levels:
        (x1, up), (x2, _) = frame.at(level.first, level.y), frame.at(level.last, level.y)
        parts.append(_dashed(x1, max(x2, x1 + 24), up))
        parts.append(f'<text x="{x1 + 4:.1f}" y="{up - 6:.1f}" fill="#666">{escape(level.label)}</text>')
    parts += _legend([(line.name, line.colour) for line in lines if line.name], size[0])
    return "\n".join([*parts, "</svg>", ""])


def bars(
    title: str,
    *,
    y: Axis,
    groups: Mapping[str, Mapping[str, float]],
    levels: Sequence[tuple[str, float]] = (),
    size: tuple[int, int] = (720, 320),
) -> str:
    """One group of bars for each key of `groups`; the inner keys are the same in each, and the legend names them."""
    names = list(next(iter(groups.values())))
    frame = _Frame(Axis("", 0, len(groups), ()), y, *size)
    parts = [*_opening(title, size), *_y_axis(frame)]
    thick = (size[0] - LEFT - RIGHT) / len(groups) * 0.8 / len(names)
    for place, (group, values) in enumerate(groups.items()):
        middle, floor = frame.at(place + 0.5, y.low)
        parts.append(f'<text x="{middle:.1f}" y="{floor + 18:.1f}" text-anchor="middle">{escape(group)}</text>')
        for row, name in enumerate(names):
            left = middle + (row - len(names) / 2) * thick
            _, top = frame.at(0, values[name])
            parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{thick - 1:.1f}" height="{max(floor - top, 0.5):.1f}"'
                f' fill="{COLOURS[row]}"/>'
            )
    for label, value in levels:
        (x1, up), (x2, _) = frame.at(0, value), frame.at(len(groups), value)
        parts.append(_dashed(x1, x2, up))
        parts.append(f'<text x="{x1 + 4:.1f}" y="{up - 4:.1f}" fill="#666">{escape(label)}</text>')
    parts += _legend(list(zip(names, COLOURS, strict=False)), size[0])
    return "\n".join([*parts, "</svg>", ""])


def stacked(charts: Sequence[str], *, size: tuple[int, int]) -> str:
    """Charts of one `size` under each other, as one SVG."""
    width, height = size
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(charts)}">']
    for place, one in enumerate(charts):
        parts.append(
            one.replace("<svg ", f'<svg x="0" y="{place * height}" width="{width}" height="{height}" ', 1).rstrip()
        )
    return "\n".join([*parts, "</svg>", ""])


def _opening(title: str, size: tuple[int, int]) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{size[0]}" height="{size[1]}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="14">{escape(title)}</text>',
    ]


def _y_axis(frame: _Frame) -> list[str]:
    parts, axis = [], frame.y
    for tick in axis.ticks:
        _, up = frame.at(frame.x.low, tick)
        parts.append(f'<line x1="{LEFT}" y1="{up:.1f}" x2="{frame.width - RIGHT}" y2="{up:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up + 4:.1f}" text-anchor="end">{tick:g}</text>')
    if axis.label:
        middle = (TOP + frame.height - BOTTOM) / 2
        parts.append(
            f'<text x="16" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 16 {middle:.1f})">'
            f"{escape(axis.label)}</text>"
        )
    return parts


def _x_axis(frame: _Frame) -> list[str]:
    parts, floor = [], frame.height - BOTTOM
    for tick in frame.x.ticks:
        across, _ = frame.at(tick, frame.y.low)
        parts.append(f'<text x="{across:.1f}" y="{floor + 18}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + frame.width - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{frame.height - 12}" text-anchor="middle">{escape(frame.x.label)}</text>')
    return parts


def _legend(names: Sequence[tuple[str, str]], width: int) -> list[str]:
    """In one row at the top right; a name is about seven pixels a letter wide."""
    parts, across = [], float(width - RIGHT)
    for name, colour in reversed(names):
        across -= 7 * len(name) + 24
        parts.append(f'<rect x="{across:.0f}" y="15" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{across + 14:.0f}" y="24">{escape(name)}</text>')
    return parts


def _stepped(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    made: list[tuple[float, float]] = []
    for x, y in points:
        if made:
            made.append((x, made[-1][1]))
        made.append((x, y))
    return made


def _dashed(x1: float, x2: float, y: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y:.1f}" stroke="#888" stroke-dasharray="4 3"/>'
