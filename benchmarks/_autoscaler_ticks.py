"""Ticks of schedules in the simulated world: how late the first job of a tick starts, with pods that need 20 s.

The same ticks twice: known to `decide()` before they come, and not known, as for an autoscaler that sees only jobs. The
twelve schedules of a tick each make one job of 30 s, three pods in all. Virtual time; every run repeats exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks._autoscaler_ours import Ours
from benchmarks._autoscaler_traces import Job, Trace
from benchmarks._autoscaler_world import World
from penstock.jobqueue.policy import QueuePolicy

STARTUP_SECONDS = (16.0, 24.0)
"""Drawn evenly: a mean of 20 s."""
SLOTS, SCHEDULES, RUN_SECONDS, PERIOD_SECONDS, TICKS = 5, 12, 30.0, 1200.0, 6


@dataclass(frozen=True, slots=True)
class TickResult:
    """Seconds from each tick to its first job and to its last, pod-seconds, and the replicas between ticks."""

    first: tuple[float, ...]
    last: tuple[float, ...]
    pod_seconds: float
    left: tuple[int, ...]


def tick_trace(*, known: bool) -> Trace:
    """Six ticks, twenty minutes apart; `known` says whether the autoscaler sees them before they come."""
    times = [PERIOD_SECONDS * number for number in range(1, TICKS + 1)]
    return Trace(
        name="ticks",
        says=f"{SCHEDULES} schedules that tick every {PERIOD_SECONDS / 60:.0f} min, a job of {RUN_SECONDS:.0f} s each",
        seconds=PERIOD_SECONDS * (TICKS + 1),
        mean_seconds=RUN_SECONDS,
        jobs=tuple(Job(at, RUN_SECONDS, at) for at in times for _ in range(SCHEDULES)),
        ticks=tuple((f"schedule-{number}", at) for at in times for number in range(SCHEDULES)) if known else (),
    )


def run_ticks(policy: QueuePolicy, number: int, *, known: bool) -> TickResult:
    """One run."""
    trace = tick_trace(known=known)
    account = World(trace, slots=SLOTS, seed=number, startup=STARTUP_SECONDS).run(Ours(policy))
    assert len(account.waits) == len(trace.jobs), f"{len(account.waits)} of {len(trace.jobs)} jobs ran"
    groups = [sorted(account.waits[start : start + SCHEDULES]) for start in range(0, len(account.waits), SCHEDULES)]
    return TickResult(
        first=tuple(waits[0] for waits in groups),
        last=tuple(waits[-1] for waits in groups),
        pod_seconds=account.pod_seconds,
        left=tuple(_replicas_at(account.replicas, PERIOD_SECONDS * (tick + 1) - 60) for tick in range(1, TICKS + 1)),
    )


def tick_table(policy: QueuePolicy, runs: Iterable[int]) -> str:
    """All runs in two lines: with ticks known, and without."""
    lines = [
        f"{'ticks, start-up 16 to 24 s':<28} {'first job, worst s':>20} {'all jobs, worst s':>20} {'pod-seconds':>12}"
    ]
    numbers = list(runs)
    for name, known in (("known before they come", True), ("not known", False)):
        found = [run_ticks(policy, number, known=known) for number in numbers]
        first, last = (max(max(getattr(one, part)) for one in found) for part in ("first", "last"))
        pods = sum(one.pod_seconds for one in found) / len(found)
        lines.append(f"{name:<28} {first:>20.2f} {last:>20.2f} {pods:>12,.0f}")
    return "\n".join(lines)


def _replicas_at(counts: list[tuple[float, int]], when: float) -> int:
    return [count for at, count in counts if at <= when][-1]
