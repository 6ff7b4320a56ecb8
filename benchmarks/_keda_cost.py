"""The part `cost` of the KEDA benchmark: what many queues at zero cost while nothing happens."""

from __future__ import annotations

import asyncio
import time

from benchmarks._contract import Report
from benchmarks._keda_build import Programs
from benchmarks._keda_manifests import KEDA, KEDA_POLLING, PENSTOCK, Arm
from benchmarks._keda_site import Arena, arena

QUEUES = (1, 20, 100)
WINDOW_SECONDS = {KEDA.name: 30.0, KEDA_POLLING.name: 15.0, PENSTOCK.name: 15.0}
"""KEDA's default is a poll every 30 s."""
CALM_SECONDS = 15.0


async def cost(report: Report, built: Programs, runs: int) -> None:
    """Each number of queues for each arm, one arm after the other, with nothing of the others left."""
    async with arena(built, runs=False) as place:
        for count in QUEUES:
            for arm in (PENSTOCK, KEDA, KEDA_POLLING):
                names = [f"cost-{arm.name.replace('_', '-')}-{count}-{number}" for number in range(count)]
                for name in names:
                    await place.make(name, arm, replicas=10, per_replica=10, concurrency=5)
                await place.ready(names, arm)
                await place.here.settled()
                for _ in range(runs):
                    await _window(report, place, arm, count)
                for name in names:
                    await place.remove(name, arm)
                await asyncio.sleep(CALM_SECONDS)


async def _window(report: Report, place: Arena, arm: Arm, count: int) -> None:
    side = "keda" if arm.keda else "penstock"

    def gauges() -> tuple[float, ...]:
        return time.perf_counter(), place.cpu_seconds(side), place.here.requests(), place.transactions()

    before, connections = gauges(), 0.0
    ends = before[0] + WINDOW_SECONDS[arm.name]
    while time.perf_counter() < ends:
        await asyncio.sleep(1)
        connections = max(connections, place.connections(side))
    seconds, cpu, requests, transactions = (after - start for start, after in zip(before, gauges(), strict=True))
    of = f"{arm.name}_{count}_queues"
    report.add(f"{of}_connections", connections, "", better="lower")
    report.add(f"{of}_transactions_per_minute", transactions / seconds * 60, "1/min", better="lower")
    report.add(f"{of}_api_requests_per_minute", requests / seconds * 60, "1/min, all clients", better="lower")
    report.add(f"{of}_memory_mib", place.memory(side), "MiB", better="lower")
    report.add(f"{of}_cpu_percent", cpu / seconds * 100, "% of a core", better="lower")
