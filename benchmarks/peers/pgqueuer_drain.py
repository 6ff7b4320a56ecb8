"""Drain no-op jobs with pgqueuer: `pgqueuer_drain.py URL JOBS` prints [seconds, ran, distinct].

Settings: asyncpg, a pool of four, uvloop, batches of 2,000. Runs in an environment that is not the project's, so its
modules are imported by name.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from datetime import timedelta
from typing import Any

BATCH = 2000


def part(name: str) -> Any:
    """A module that the project's environment does not have."""
    return importlib.import_module(name)


async def main(url: str, jobs: int) -> None:
    """Install, enqueue, drain, say what ran."""
    pool = await part("asyncpg").create_pool(url, min_size=4, max_size=4)
    async with pool:
        queues = part("pgqueuer").PgQueuer.from_asyncpg_pool(pool)
        if not await queues.queries.has_table("pgqueuer"):
            await queues.queries.install()
        for start in range(0, jobs, 5000):
            some = [str(n).encode() for n in range(start, min(start + 5000, jobs))]
            await queues.queries.enqueue(["noop"] * len(some), some, [0] * len(some))
        ran: list[bytes] = []
        first: list[float] = []

        @queues.entrypoint("noop")
        async def noop(job: Any) -> None:
            if not ran:
                first.append(time.perf_counter())
            ran.append(job.payload)

        mode = part("pgqueuer.types").QueueExecutionMode.drain
        await queues.run(dequeue_timeout=timedelta(seconds=1), batch_size=BATCH, mode=mode)
        seconds = time.perf_counter() - first[0]
        left = await pool.fetchval("SELECT count(*) FROM pgqueuer")
        assert left == 0, f"{left} jobs are left"
    print(json.dumps([seconds, len(ran), len(set(ran))]))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=part("uvloop").new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2])))
