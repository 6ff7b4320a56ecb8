"""`decide()` compared with a model of KEDA and the horizontal pod autoscaler, on the same arrivals in virtual time.

Seven traces, each under five autoscalers: Penstock with its defaults and with short windows, KEDA with its defaults and
tuned (`pollingInterval` 1, no stabilisation, a hundred pods at a sync), and tuned with the target that somebody would
set who knows how long jobs run. All may use a hundred pods of five slots, which serve 3 to 7 s after their object.
Every run is drawn from its number, so the same command prints the same table. `python -m benchmarks autoscaler`;
PENSTOCK_BENCH_RUNS (5) sets how many; `python -m benchmarks.autoscaler pictures docs/images` draws those of docs/.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import _autoscaler_pictures as pictures
from benchmarks._autoscaler_keda import Keda, KedaSettings, calibration
from benchmarks._autoscaler_ours import Ours
from benchmarks._autoscaler_ticks import tick_table
from benchmarks._autoscaler_traces import Trace, traces
from benchmarks._autoscaler_world import Account, Scaler, World
from benchmarks._contract import OUT, Report
from penstock.jobqueue.policy import QueuePolicy, parse_policy

RUNS = int(os.environ.get("PENSTOCK_BENCH_RUNS", "5"))
SLOTS, MAXIMUM, LATENCY_SECONDS = 5, 100, 10
STARTUP_SECONDS = (3.0, 7.0)
SHORT: dict[str, Any] = {"scaleDown": {"stabilizationWindowSeconds": 15, "cooldownSeconds": 15}}


def policy(**scaling: Any) -> QueuePolicy:
    """The least JobQueue, with changes of its scaling."""
    template = {"spec": {"containers": [{"name": "worker", "image": "simulated:1"}]}}
    spec = {
        "databaseRef": {"secretRef": {"name": "simulated"}},
        "worker": {"app": "simulated:app", "concurrency": SLOTS, "template": template},
        "scaling": {"maxReplicas": MAXIMUM, "target": {"queueLatencySeconds": LATENCY_SECONDS}, **scaling},
    }
    return parse_policy({"metadata": {"name": "simulated"}, "spec": spec})


def _keda(name: str, *, tuned: bool, by_latency: bool = False) -> Callable[[Trace, int], Scaler]:
    def make(trace: Trace, run: int) -> Scaler:
        turns = max(1.0, LATENCY_SECONDS / trace.mean_seconds) if by_latency else 1.0
        settings = KedaSettings(name=name, jobs_per_replica=SLOTS * turns)
        if tuned:
            settings = KedaSettings(
                name=name,
                jobs_per_replica=SLOTS * turns,
                polling_seconds=1,
                cooldown_seconds=15,
                window_seconds=0,
                max_added=MAXIMUM,
            )
        return Keda(settings, maximum=MAXIMUM, rng=random.Random(f"{name} {trace.name} {run}"))

    return make


SCALERS: dict[str, Callable[[Trace, int], Scaler]] = {
    "Penstock": lambda _trace, _run: Ours(policy()),
    "Penstock, windows of 15 s": lambda _trace, _run: Ours(policy(**SHORT)),
    "KEDA": _keda("KEDA", tuned=False),
    "KEDA tuned": _keda("KEDA tuned", tuned=True),
    "KEDA tuned, target by run time": _keda("KEDA tuned, target by run time", tuned=True, by_latency=True),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One run in figures. `flaps` are changes of direction of the replica count."""

    wait_p95: float
    wait_max: float
    misses_percent: float
    pod_seconds: float
    flaps: int
    at_risk: int


def run(trace: Trace, scaler: Scaler, number: int) -> tuple[Result, Account]:
    """One trace under one autoscaler."""
    account = World(trace, slots=SLOTS, seed=number, startup=STARTUP_SECONDS).run(scaler)
    waits = sorted(account.waits)
    assert len(waits) == len(trace.jobs), f"{len(waits)} of {len(trace.jobs)} jobs ran"
    misses = sum(wait > LATENCY_SECONDS for wait in waits) / len(waits) * 100
    p95 = waits[int(len(waits) * 0.95)]
    flaps = changes_of_direction([count for _, count in account.replicas])
    return Result(p95, waits[-1], misses, account.pod_seconds, flaps, account.at_risk), account


def changes_of_direction(counts: list[int]) -> int:
    """How often a row of different counts turns from rising to falling or back."""
    rises = [after > before for before, after in pairwise(counts)]
    return sum(one != other for one, other in pairwise(rises))


def compare(runs: int) -> dict[tuple[str, str], list[Result]]:
    """Results by trace and autoscaler; the autoscalers take turns within a run."""
    found: dict[tuple[str, str], list[Result]] = {}
    for number in range(1, runs + 1):
        for trace in traces(number):
            for name, make in SCALERS.items():
                result, _ = run(trace, make(trace, number), number)
                found.setdefault((trace.name, name), []).append(result)
    return found


def table(found: dict[tuple[str, str], list[Result]]) -> str:
    """Medians over the runs, a line for each trace and autoscaler."""
    parts = ("wait p95 s", "longest s", "missed %", "pod-seconds", "flaps", "at risk")
    lines = [f"{'trace':<16} {'autoscaler':<31} " + " ".join(f"{part:>11}" for part in parts)]
    for (trace, name), results in found.items():
        figures = [statistics.median(getattr(one, part) for one in results) for part in Result.__slots__]
        cells = [f"{figure:>11,.{digits}f}" for figure, digits in zip(figures, (2, 2, 1, 0, 0, 0), strict=True)]
        lines.append(f"{trace:<16} {name:<31} " + " ".join(cells))
    return "\n".join(lines)


def calibrated() -> str:
    """The model of KEDA on the scenario that was measured: seconds from the commit to the pod object."""
    lines = ["seconds to the Nth pod object (least/median/most)   measured              modelled"]
    for name, pod, real, model in calibration():
        columns = "/".join(f"{value:.1f}" for value in real), "/".join(f"{value:.1f}" for value in model)
        lines.append(f"KEDA, {name:<20} {pod:>4}                     {columns[0]:<21} {columns[1]}")
    return "\n".join(lines)


def report(found: dict[tuple[str, str], list[Result]]) -> Report:
    """The same as figures of the contract."""
    made = Report("autoscaler")
    for (trace, name), results in found.items():
        for one in results:
            key = f"{trace} | {name}"
            made.add(f"{key} | wait p95", one.wait_p95, "s", better="lower")
            made.add(f"{key} | target missed", one.misses_percent, "% of jobs", better="lower")
            made.add(f"{key} | pod-seconds", one.pod_seconds, "s", better="lower")
            made.add(f"{key} | flaps", one.flaps, "changes of direction", better="lower")
    return made


def main() -> None:
    """Print calibration and table, draw the charts, write `benchmarks/out/autoscaler.json`."""
    print(calibrated(), end="\n\n", flush=True)
    found = compare(RUNS)
    print(table(found), end="\n\n")
    print(tick_table(policy(), range(1, RUNS + 1)))
    OUT.mkdir(exist_ok=True)
    medians = {
        key: {part: statistics.median(getattr(one, part) for one in each) for part in Result.__slots__}
        for key, each in found.items()
    }
    for name, drawn in pictures.comparisons(medians, target=LATENCY_SECONDS).items():
        (OUT / f"autoscaler-{name}.svg").write_text(drawn)
    report(found).finish()


def draw(folder: Path) -> None:
    """The pictures of docs/explanation/autoscaling.md."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    accounts: dict[tuple[str, str], Account] = {}
    for trace in traces(1):
        for name, make in SCALERS.items():
            result, account = run(trace, make(trace, 1), 1)
            found[trace.name, name] = {part: getattr(result, part) for part in Result.__slots__}
            accounts[trace.name, name] = account
    drawn = pictures.comparisons(found, target=LATENCY_SECONDS)
    for name in ("wait", "pods"):
        (folder / f"autoscaling-{name}.svg").write_text(drawn[name])
    for name in ("burst", "step"):
        shown = {scaler: accounts[name, scaler] for scaler in ("Penstock", "KEDA", "KEDA tuned")}
        (folder / f"autoscaling-{name}.svg").write_text(pictures.course(name, shown))


if __name__ == "__main__":
    if sys.argv[1:2] == ["pictures"]:
        draw(Path(sys.argv[2]))
    else:
        main()
