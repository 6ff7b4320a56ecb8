"""The part `kills` of the KEDA benchmark: jobs that scaling down interrupts.

A queue has six workers of one job each. Half of its jobs finish early; the others run on for longer than every window
of the autoscaler and than the pods' grace period. Which of the six jobs are long differs from run to run, the same
for all arms. The pods that are too many are removed while the long jobs run.
"""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks._contract import Report
from benchmarks._keda_build import Programs
from benchmarks._keda_ledger import Attempt, finished, interrupted, lost_seconds
from benchmarks._keda_manifests import KEDA, KEDA_GRACE, KEDA_TUNED, PENSTOCK, PENSTOCK_TUNED, Arm
from benchmarks._keda_site import Arena, arena
from benchmarks._turns import turns

WORKERS = 6
EARLY_SECONDS = 90.0
"""Longer than the autoscalers and the machine need until all six workers run."""
WINDOW_SECONDS = {arm.name: 300.0 if arm.keda else 120.0 for arm in (PENSTOCK, KEDA)}
GRACE_SECONDS = 30.0
MARGIN_SECONDS = 60.0
TUNED_WINDOW_SECONDS = 30.0
DEFAULTS = (PENSTOCK, KEDA)
TUNED = (PENSTOCK_TUNED, KEDA_TUNED, KEDA_GRACE)
DEADLINE_SECONDS = 1800.0


async def kills(report: Report, built: Programs, runs: int) -> None:
    """All runs of the defaults at once, because they only wait; the others one after the other meanwhile."""
    async with arena(built, runs=True) as place, asyncio.TaskGroup() as group:
        group.create_task(_side(report, place, DEFAULTS, runs, 300.0, at_once=True))
        group.create_task(_side(report, place, TUNED, runs, TUNED_WINDOW_SECONDS, at_once=False))


async def _side(
    report: Report, place: Arena, arms: tuple[Arm, ...], runs: int, window: float, *, at_once: bool
) -> None:
    long = EARLY_SECONDS + window + GRACE_SECONDS + MARGIN_SECONDS
    rounds = [
        [_round(report, place, arm, number, long) for arm in order] for number, order in enumerate(turns(arms, runs))
    ]
    if at_once:
        await asyncio.gather(*(one for several in rounds for one in several))
        return
    for several in rounds:
        await asyncio.gather(*several)


async def _round(report: Report, place: Arena, arm: Arm, number: int, long: float) -> None:
    name = f"kill-{arm.name.replace('_', '-')}-{number}"
    await place.make(name, arm, replicas=WORKERS, per_replica=1, runs=True)
    await place.ready([name], arm)
    lengths = [EARLY_SECONDS, long] * (WORKERS // 2)
    random.Random(number).shuffle(lengths)
    place.enqueue(name, lengths)
    attempts = await _all_done(place, name)
    broken = interrupted(attempts)
    report.add(f"{arm.name}_jobs_interrupted", len(broken), f"of {WORKERS // 2} long jobs", better="lower")
    report.add(f"{arm.name}_work_lost_s", lost_seconds(attempts), "s", better="lower")
    print(f"{name}: {len(broken)} interrupted, {place.here.pods.here(name)} pods left", flush=True)
    await place.remove(name, arm)


async def _all_done(place: Arena, name: str) -> list[Attempt]:
    query = (
        "SELECT job_id, pod, extract(epoch FROM started_at), extract(epoch FROM finished_at) FROM attempts"
        " WHERE queue = %s"
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        rows = place.here.database.execute(query, [name]).fetchall()
        attempts = [Attempt(job, pod, float(at), None if end is None else float(end)) for job, pod, at, end in rows]
        if len(finished(attempts)) == WORKERS:
            return attempts
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name}: {len(finished(attempts))} of {WORKERS} jobs done")
        await asyncio.sleep(1)
