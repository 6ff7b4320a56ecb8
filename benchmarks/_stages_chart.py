"""The chart of `benchmarks/stages`: cost per event and hop against batch size, both axes logarithmic, as an SVG.

It owns the drawing; the numbers are medians of what it is given. Points on the line of a bar say where the bar is.
"""

from __future__ import annotations

from math import log10
from statistics import median

WIDTH, HEIGHT = 640, 380
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 40, 52
COLOURS = {"stages": "#1f6f8b", "queues": "#b35c1e"}
LABELS = {"stages": "penstock.stages", "queues": "bare asyncio.Queue"}
LOWEST, HIGHEST, WIDEST = 0.01, 20.0, 500


def chart(costs: dict[str, dict[int, list[float]]]) -> str:
    """The SVG of {"stages": {batch: [microseconds, ...]}, "queues": ...}."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="14">Microseconds per event and hop, by batch size</text>',
    ]
    parts += _axes()
    for row, (name, by_batch) in enumerate(costs.items()):
        points = [(_x(batch), _y(median(values))) for batch, values in sorted(by_batch.items())]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        colour = COLOURS[name]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        x, y = WIDTH - RIGHT - 150, TOP + 16 + 18 * row
        parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16}" y="{y}">{LABELS[name]}</text>')
    parts.append(_bar(1, 1.01, 12.0, "bar: 12 at batch 1"))
    parts.append(_bar(50, WIDEST, 1.5, "bar: 1.5 at 50 and more"))
    return "\n".join([*parts, "</svg>", ""])


def _x(batch: float) -> float:
    return LEFT + log10(batch) / log10(WIDEST) * (WIDTH - LEFT - RIGHT)


def _y(cost: float) -> float:
    share = (log10(min(max(cost, LOWEST), HIGHEST)) - log10(LOWEST)) / (log10(HIGHEST) - log10(LOWEST))
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _axes() -> list[str]:
    parts = []
    for cost in (0.01, 0.1, 1, 10):
        y = _y(cost)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{cost:g}</text>')
    for batch in (1, 5, 10, 50, 100, 500):
        x = _x(batch)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{batch}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">events per batch</text>'
    )
    return parts


def _bar(first: float, last: float, cost: float, label: str) -> str:
    x1, x2, y = _x(first), max(_x(last), _x(first) + 24), _y(cost)
    return (
        f'<line x1="{x1:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y:.1f}" stroke="#888" stroke-dasharray="4 3"/>'
        f'<text x="{x1 + 30 if first == 1 else x1:.1f}" y="{y - 6:.1f}" fill="#666">{label}</text>'
    )
