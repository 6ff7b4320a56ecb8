"""The pictures of the autoscaler's benchmark: bars that compare, and the course of one trace under several autoscalers.

It owns what is shown and on which scale; the drawing is `_chart`'s, the numbers are the simulator's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks._autoscaler_world import Account
from benchmarks._chart import COLOURS, Axis, Line, bars, chart, stacked

SIZE = (840, 260)


def comparisons(found: Mapping[tuple[str, str], Mapping[str, float]], *, target: float) -> dict[str, str]:
    """One chart for each of wait, misses and pod-seconds, by trace; keys are trace and autoscaler."""
    every = {
        "wait": ("Wait, 95th percentile", Axis("seconds", 0, 70, (0, 10, 20, 30, 40, 50, 60, 70)), "wait_p95"),
        "misses": ("Jobs that waited too long", Axis("percent", 0, 100, (0, 25, 50, 75, 100)), "misses_percent"),
        "pods": (
            "Pod-seconds",
            Axis("seconds", 500, 100_000, (1000, 10_000, 100_000), log=True),
            "pod_seconds",
        ),
        "flaps": ("Changes of direction", Axis("", 0, 100, (0, 25, 50, 75, 100)), "flaps"),
    }
    drawn = {}
    for name, (title, axis, part) in every.items():
        groups: dict[str, dict[str, float]] = {}
        for (trace, scaler), figures in found.items():
            groups.setdefault(trace, {})[scaler] = figures[part]
        levels = [(f"target {target:g} s", target)] if name == "wait" else []
        drawn[name] = bars(title, y=axis, groups=groups, levels=levels, size=(1000, 300))
    return drawn


def course(trace: str, accounts: Mapping[str, Account]) -> str:
    """Depth and replicas over time, under each other; one line for each autoscaler."""
    last = max(account.depths[-1][0] for account in accounts.values())
    across = Axis("seconds", 0, last, _ticks(last))
    drawn = []
    for title, of in (("ready jobs", "depths"), ("replicas", "replicas")):
        rows = {name: _thinned(getattr(account, of), last) for name, account in accounts.items()}
        maximum = max(count for row in rows.values() for _, count in row) or 1
        lines = [Line(name, row, COLOURS[place], steps=True) for place, (name, row) in enumerate(rows.items())]
        drawn.append(
            chart(f"{trace}: {title}", x=across, y=Axis("", 0, maximum, _ticks(maximum)), lines=lines, size=SIZE)
        )
    return stacked(drawn, size=SIZE)


def _ticks(maximum: float) -> list[float]:
    """Four or so round numbers."""
    step = next(one * 10**power for power in range(6) for one in (1, 2, 5) if maximum / (one * 10**power) <= 5)
    return [float(step * place) for place in range(int(maximum // step) + 1)]


def _thinned(row: Sequence[tuple[float, int]], last: float) -> list[tuple[float, float]]:
    """Changes only, at most one for each three hundredth of the time: the highest of those."""
    made: list[tuple[float, float]] = []
    for at, count in row:
        if made and int(made[-1][0] / last * 300) == int(at / last * 300):
            made[-1] = (made[-1][0], max(made[-1][1], count))
        elif not made or made[-1][1] != count:
            made.append((at, count))
    return [*made, (last, row[-1][1])]
