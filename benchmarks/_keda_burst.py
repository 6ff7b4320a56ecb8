"""The part `burst` of the KEDA benchmark: how soon pods come, a job is done, and zero is reached again."""

from __future__ import annotations

import asyncio
import time

from benchmarks._contract import Report
from benchmarks._keda_build import Programs
from benchmarks._keda_manifests import KEDA, KEDA_POLLING, KEDA_TUNED, PENSTOCK, PENSTOCK_TUNED, Arm
from benchmarks._keda_site import Arena, arena
from benchmarks._turns import turns

BURST_JOBS, BURST_PODS = 1000, 100
ARMS = (PENSTOCK, KEDA, KEDA_POLLING, KEDA_TUNED)
JOB_ARMS = (PENSTOCK, PENSTOCK_TUNED, KEDA, KEDA_TUNED)
ORDINALS = {1: "first", 10: "tenth", BURST_PODS: "hundredth"}
WAIT_SECONDS = 400.0
CALM_SECONDS = 10.0
"""The controller manager's burst of requests recovers meanwhile."""


async def burst(report: Report, built: Programs, runs: int) -> None:
    """Bursts of all arms in turn; then single jobs of all arms in turn, and what is left of their pods."""
    async with arena(built, runs=True) as place:
        for number, arms in enumerate(turns(ARMS, runs)):
            names = {arm: f"burst-{arm.name.replace('_', '-')}-{number}" for arm in arms}
            for arm, name in names.items():
                await place.make(name, arm, replicas=BURST_PODS, per_replica=10, concurrency=5)
            for arm, name in names.items():
                await place.ready([name], arm)
            for arm, name in names.items():
                await _burst(report, place, arm, name)
        await _jobs(report, place, runs)


async def _burst(report: Report, place: Arena, arm: Arm, name: str) -> None:
    await asyncio.sleep(CALM_SECONDS)
    started = place.enqueue(name, [0.0] * BURST_JOBS)
    for count, ordinal in ORDINALS.items():
        at = await place.here.pods.until(name, count, seconds=WAIT_SECONDS)
        report.add(f"{arm.name}_{ordinal}_pod_s", at - started, "s", better="lower")
    print(f"{name}: {at - started:.1f} s to the hundredth pod", flush=True)
    place.here.database.execute(
        "DELETE FROM penstock.job WHERE queue = (SELECT id FROM penstock.queue WHERE name = %s)", [name]
    )
    await place.remove(name, arm)
    await place.here.pods.until_none(name, seconds=WAIT_SECONDS)


async def _jobs(report: Report, place: Arena, runs: int) -> None:
    """One job each; the way back to zero is watched while the others have their turn."""
    async with asyncio.TaskGroup() as returns:
        for number, arms in enumerate(turns(JOB_ARMS, runs)):
            names = {arm: f"job-{arm.name.replace('_', '-')}-{number}" for arm in arms}
            for arm, name in names.items():
                await place.make(name, arm, replicas=1, per_replica=1, runs=True)
            for arm, name in names.items():
                await place.ready([name], arm)
            for arm, name in names.items():
                started = place.enqueue(name, [0.0])
                done = await _done(place, name)
                report.add(f"{arm.name}_job_done_s", done - started, "s", better="lower")
                print(f"{name}: {done - started:.1f} s to the job done", flush=True)
                returns.create_task(_zero(report, place, arm, name, done))


async def _done(place: Arena, name: str) -> float:
    """When the queue's job had finished, on the clock of `time.perf_counter`."""
    query = (
        "SELECT extract(epoch FROM clock_timestamp() - finished_at) FROM attempts"
        " WHERE queue = %s AND finished_at IS NOT NULL"
    )
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            row = place.here.database.execute(query, [name]).fetchone()
            if row is not None:
                return time.perf_counter() - float(row[0])
            await asyncio.sleep(0.05)


async def _zero(report: Report, place: Arena, arm: Arm, name: str, done: float) -> None:
    at = await place.here.pods.until_none(name, seconds=3 * WAIT_SECONDS)
    report.add(f"{arm.name}_time_to_zero_s", at - done, "s", better="lower")
    print(f"{name}: {at - done:.1f} s from the job done to no pod", flush=True)
    await place.remove(name, arm)
