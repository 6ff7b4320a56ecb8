"""The operator as a process, on a real API server and a real Postgres: how soon, at what cost, and who takes over.

How soon: from the commit of an enqueue to the first, tenth, thirtieth and hundredth pod object, against a bare PATCH of
/scale as the floor; with its wake-up lost; with the leader killed. At what cost: CPU, memory, requests to the API
server, connections, transactions and status writes with 1, 100 and 500 JobQueues at rest, and status writes under load.
Nothing runs in the pods. `python -m benchmarks operator`; PENSTOCK_BENCH_QUEUES (1,100,500), PENSTOCK_BENCH_SAMPLES
(20) and PENSTOCK_BENCH_SECONDS (20) make it shorter. Latency is measured with the last of the numbers of queues.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

from tests.support.api_client import ApiError
from tests.support.kube_api import MERGE

from benchmarks._contract import Report
from benchmarks._operator_site import LEASE, NAMESPACE, POD, Operator, Site, site

QUEUES = [int(count) for count in os.environ.get("PENSTOCK_BENCH_QUEUES", "1,100,500").split(",")]
SAMPLES = int(os.environ.get("PENSTOCK_BENCH_SAMPLES", "20"))
SECONDS = float(os.environ.get("PENSTOCK_BENCH_SECONDS", "20"))
FEW = max(1, SAMPLES // 4)
BURST_PODS, BURST_JOBS = 100, 1000
POLL_SECONDS = 2
REST_SECONDS = 2 * 60.0
"""Two rounds of the operator's list of everything, whatever else is made shorter."""
BUSY_QUEUES = 20


async def floor(here: Site, report: Report) -> None:
    """Deployments that this process scales itself."""
    path = f"/apis/apps/v1{NAMESPACE}/deployments"
    for number in range(SAMPLES):
        labels = {"floor": f"floor-{number}"}
        template = {"metadata": {"labels": labels}, "spec": POD}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        await here.api.request("POST", path, {"metadata": {"name": f"floor-{number}"}, "spec": spec})
    await asyncio.sleep(2)
    for number in range(SAMPLES):
        started = time.perf_counter()
        scale = {"spec": {"replicas": 1}}
        await here.api.request("PATCH", f"{path}/floor-{number}/scale", scale, content_type=MERGE)
        at = await here.pods.until(f"floor-{number}", 1)
        report.add("floor: first pod object", (at - started) * 1000, "ms", better="lower")
        await asyncio.sleep(0.2)


async def rest(here: Site, operator: Operator, count: int, report: Report) -> None:
    """What so many queues cost while nothing happens, the list of everything once a minute included."""

    def gauges() -> tuple[float, ...]:
        writes = here.queues.changes.total()
        return time.perf_counter(), operator.cpu_seconds(), here.requests(), here.transactions(), writes

    before = gauges()
    await asyncio.sleep(REST_SECONDS)
    seconds, cpu, requests, transactions, writes = (
        after - start for start, after in zip(before, gauges(), strict=True)
    )
    at = f"{count} at rest"
    report.add(f"{at}: CPU", cpu / seconds * 100, "% of a core", better="lower", bar=1)
    report.add(f"{at}: memory", operator.resident_mib(), "MiB", better="lower")
    report.add(f"{at}: requests to the API server", requests / seconds, "1/s, all clients", better="lower")
    report.add(f"{at}: connections", here.connections(), "", better="lower", bar=2)
    report.add(f"{at}: transactions", transactions / seconds, "1/s", better="lower")
    report.add(f"{at}: status writes", writes, f"in {REST_SECONDS:g} s", better="lower", bar=0)


async def latency(here: Site, names: list[str], report: Report) -> None:
    """One job into each of some queues at zero, one after the other."""
    for name in names:
        started = here.enqueue(name, 1)
        at = await here.pods.until(name, 1)
        scaled = await here.scaled.until(name, 1)
        report.add("first pod object", (at - started) * 1000, "ms", better="lower", bar=50)
        report.add("of it until the Deployment is scaled", (scaled - started) * 1000, "ms", better="lower")
        await asyncio.sleep(0.3)


async def bursts(here: Site, names: list[str], report: Report) -> None:
    """A thousand jobs at once into queues of a hundred replicas."""
    for name in names:
        await asyncio.sleep(10)  # the controller manager's own burst of requests recovers meanwhile
        started = here.enqueue(name, BURST_JOBS)
        for count, words, bar in ((10, "tenth", None), (30, "thirtieth", 1000.0), (BURST_PODS, "hundredth", 4500.0)):
            at = await here.pods.until(name, count)
            report.add(f"{words} pod object", (at - started) * 1000, "ms", better="lower", bar=bar)


async def lost(here: Site, names: list[str], report: Report) -> None:
    """Enqueues whose wake-up is lost: the poll finds them."""
    for name in names:
        here.database.execute("UPDATE penstock.queue SET operator_waiting_until = NULL WHERE name = %s", [name])
        started = here.enqueue(name, 1)
        at = await here.pods.until(name, 1)
        bar = (POLL_SECONDS + 1) * 1000.0
        report.add(f"wake-up lost, poll {POLL_SECONDS} s", (at - started) * 1000, "ms", better="lower", bar=bar)


async def load(here: Site, names: list[str], report: Report) -> None:
    """Status writes while the depth changes each second; nothing is claimed, so every sample shows another count."""
    for name in names:
        here.enqueue(name, 1)
    await asyncio.sleep(12)  # changes at the start are reported at once
    before, started = sum(here.queues.changes[name] for name in names), time.perf_counter()
    while time.perf_counter() - started < 3 * SECONDS:
        for name in names:
            here.enqueue(name, 1)
        await asyncio.sleep(1)
    tens = (time.perf_counter() - started) / 10
    writes = (sum(here.queues.changes[name] for name in names) - before) / len(names) / tens
    report.add("status writes under load", writes, "per queue and 10 s", better="lower", bar=1)


async def takeover(here: Site, names: list[str], report: Report) -> None:
    """The leader is killed; a job comes at once; until its pod object is there."""
    operators = {name: await here.operator(name, lease="penstock") for name in ("one", "two")}
    await here.ready(names)
    for number, name in enumerate(names):
        leader = await _holder(here)
        await asyncio.sleep(2)
        started = time.perf_counter()
        await operators.pop(leader).end(signal.SIGKILL)
        here.enqueue(name, 1)
        at = await here.pods.until(name, 1)
        report.add("leader killed: next decision", (at - started) * 1000, "ms", better="lower", bar=5000)
        operators[f"next-{number}"] = await here.operator(f"next-{number}", lease="penstock")
        await asyncio.sleep(5)


async def _holder(here: Site) -> str:
    """Wait for a leader; returns its name."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ApiError):  # there is no Lease before the first leader
                found = await here.api.request("GET", LEASE)
                if holder := (found.get("spec") or {}).get("holderIdentity"):
                    return str(holder)
            await asyncio.sleep(0.2)


async def run(report: Report) -> None:
    """All of it, in one cluster that fills up."""
    async with site() as here:
        await floor(here, report)
        operator = await here.operator()
        made: list[str] = []
        for count in QUEUES:
            more = [f"queue-{number}" for number in range(len(made), count)]
            started = time.perf_counter()
            await here.make(more)
            await here.ready(more)
            made += more
            print(f"{count} JobQueues ready after {time.perf_counter() - started:.1f} s", flush=True)
            print(f"the cluster has settled after {await here.settled():.0f} s", flush=True)
            await rest(here, operator, count, report)
        sets = {
            kind: [f"{kind}-{number}" for number in range(count)]
            for kind, count in (("one", SAMPLES), ("burst", FEW), ("lost", FEW), ("busy", BUSY_QUEUES), ("killed", FEW))
        }
        for kind, names in sets.items():
            await here.make(
                names,
                replicas=BURST_PODS if kind == "burst" else 1,
                poll_seconds=POLL_SECONDS if kind == "lost" else 15,
            )
        await here.ready(name for names in sets.values() for name in names)
        await here.settled()
        await latency(here, sets["one"], report)
        await bursts(here, sets["burst"], report)
        await lost(here, sets["lost"], report)
        await load(here, sets["busy"], report)
        await operator.end()
        await takeover(here, sets["killed"], report)


def main() -> None:
    """Print the table and write `benchmarks/out/operator.json`."""
    report = Report("operator")
    asyncio.run(run(report))
    report.finish()


if __name__ == "__main__":
    main()
