"""Drain no-op jobs with procrastinate: `procrastinate_drain.py URL JOBS` prints [seconds, ran, distinct].

Settings: concurrency 30, jobs deleted as they end, uvloop. Runs in an environment that is not the project's, so its
modules are imported by name.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import Any

CONCURRENCY = 30


def part(name: str) -> Any:
    """A module that the project's environment does not have."""
    return importlib.import_module(name)


async def main(url: str, jobs: int) -> None:
    """Install, enqueue, drain, say what ran."""
    procrastinate = part("procrastinate")
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    ran: list[int] = []
    first: list[float] = []

    @app.task(name="noop")
    async def noop(n: int) -> None:
        if not ran:
            first.append(time.perf_counter())
        ran.append(n)

    async with app.open_async():
        row = await app.connector.execute_query_one_async("SELECT to_regclass('procrastinate_jobs')::text AS there")
        if row["there"] is None:
            await app.schema_manager.apply_schema_async()
        for start in range(0, jobs, 1000):
            await noop.batch_defer_async(*[{"n": n} for n in range(start, min(start + 1000, jobs))])
        await app.run_worker_async(
            concurrency=CONCURRENCY, wait=False, delete_jobs="always", install_signal_handlers=False
        )
        seconds = time.perf_counter() - first[0]
        row = await app.connector.execute_query_one_async("SELECT count(*) AS left FROM procrastinate_jobs")
        assert row["left"] == 0, f"{row['left']} jobs are left"
    print(json.dumps([seconds, len(ran), len(set(ran))]))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=part("uvloop").new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2])))
