"""What every benchmark prints and writes: one table, and `benchmarks/out/NAME.json`.

    {"name", "taken_at", "machine", "runs", "figures": {KEY: {"unit", "min", "median", "max", "bar", "better"}}}

A figure is added once per run; runs of what is compared are interleaved by the caller, at least five of them. Nothing
here judges: `bar` and `better` ("higher" or "lower") are for the reader.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

OUT = pathlib.Path(__file__).parent / "out"
Better = Literal["higher", "lower"]


@dataclass(slots=True)
class Figure:
    """One figure over all runs."""

    unit: str
    bar: float | None
    better: Better
    values: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, object]:
        """Its part of the JSON."""
        values = self.values
        return {
            "unit": self.unit,
            "min": min(values),
            "median": statistics.median(values),
            "max": max(values),
            "bar": self.bar,
            "better": self.better,
        }


class Report:
    """Collects figures under one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: dict[str, Figure] = {}

    def add(self, key: str, value: float, unit: str, *, bar: float | None = None, better: Better = "higher") -> None:
        """One run's value of a figure."""
        self.figures.setdefault(key, Figure(unit, bar, better)).values.append(value)

    def finish(self) -> None:
        """Print the table and write the JSON."""
        width = max(len(key) for key in self.figures)
        print(f"\n{self.name}: {machine()}")
        print(f"{'figure':<{width}}  {'min':>12} {'median':>12} {'max':>12}  {'bar':>10}  unit")
        for key, figure in self.figures.items():
            s = figure.summary()
            bar = "" if figure.bar is None else f"{'>=' if figure.better == 'higher' else '<='} {figure.bar:g}"
            cells = " ".join(f"{_short(float(str(s[part]))):>12}" for part in ("min", "median", "max"))
            print(f"{key:<{width}}  {cells}  {bar:>10}  {figure.unit}")
        OUT.mkdir(exist_ok=True)
        document = {
            "name": self.name,
            "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "runs": max(len(figure.values) for figure in self.figures.values()),
            "figures": {key: figure.summary() for key, figure in self.figures.items()},
        }
        (OUT / f"{self.name}.json").write_text(json.dumps(document, indent=2) + "\n")


def machine() -> str:
    """The machine in a line: cores, load, Python."""
    load = os.getloadavg()[0]
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, load {load:.1f}, {python}, {platform.system()} {platform.machine()}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
