"""The chart of `benchmarks/stages`: cost per event and hop against batch size, both axes logarithmic.

It owns what is shown; the drawing is `_chart`'s. The numbers are medians of what it is given.
"""

from __future__ import annotations

from statistics import median

from benchmarks._chart import COLOURS, Axis, Level, Line, chart

LABELS = {"stages": "penstock.stages", "queues": "bare asyncio.Queue"}
WIDEST = 500


def stages_chart(costs: dict[str, dict[int, list[float]]]) -> str:
    """The SVG of {"stages": {batch: [microseconds, ...]}, "queues": ...}."""
    return chart(
        "Microseconds per event and hop",
        x=Axis("events per batch", 1, WIDEST, (1, 5, 10, 50, 100, 500), log=True),
        y=Axis("", 0.01, 20, (0.01, 0.1, 1, 10), log=True),
        lines=[
            Line(
                LABELS[name], [(batch, median(values)) for batch, values in sorted(by_batch.items())], colour, dots=True
            )
            for (name, by_batch), colour in zip(costs.items(), COLOURS, strict=False)
        ],
        levels=[Level("bar: 12 at batch 1", 12, 1, 1.01), Level("bar: 1.5 at 50 and more", 1.5, 50, WIDEST)],
    )
