"""The picture of the store's benchmark: each ratio with its bar, and jobs a second around an open snapshot.

It owns what is drawn; `_chart` draws it. Ratios of which less is better are shown as their inverse, so that a bar is
reached from below throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks._chart import COLOURS, Axis, Line, bars, chart, stacked
from benchmarks._contract import Report

SIZE = (860, 320)
RATIOS: Mapping[str, str] = {
    "claim_ack_100_vs_minimum": "claim + ack, 100",
    "claim_ack_500_vs_minimum": "claim + ack, 500",
    "single_enqueue_vs_insert": "single enqueue",
    "array_enqueue_vs_copy": "array",
    "bulk_enqueue_vs_copy": "COPY",
    "open_snapshot_vs_clean": "open snapshot",
    "commits_with_waiters_vs_without": "with waiters",
}
Second = tuple[float, float]


def picture(report: Report, clean: Sequence[Second], slowed: Sequence[Second]) -> str:
    """Both charts under each other, as one SVG."""
    groups = {}
    for key, name in RATIOS.items():
        figure = report.figures[key]
        median = sorted(figure.values)[len(figure.values) // 2]
        turn = figure.better == "lower"
        bar = figure.bar or 0.0
        groups[name] = {"measured": 1 / median if turn else median, "bar": 1 / bar if turn and bar else bar}
    share = Axis("share of the least SQL", 0, 1.25, (0, 0.25, 0.5, 0.75, 1))
    ratios = bars("Ratio to the least SQL that does the same, in one run", y=share, groups=groups, size=SIZE)
    highest = max([rate for _, rate in (*clean, *slowed)] or [1.0]) * 1.2
    ends = max([at for at, _ in (*clean, *slowed)] or [1.0])
    rates = Axis("jobs a second", 0, highest, [round(highest * part / 4, -2) for part in range(5)])
    seconds = Axis("seconds", 0, ends, [round(ends * part / 6) for part in range(7)])
    lines = [Line("clean", clean, COLOURS[0]), Line("snapshot open", slowed, COLOURS[1])]
    steady = chart("A steady load, without and with an open snapshot", x=seconds, y=rates, lines=lines, size=SIZE)
    return stacked([ratios, steady], size=SIZE)
