"""The jobs of `benchmarks/keda`: workers of both sides import it. Each attempt is recorded in a table of the benchmark.

An attempt that was interrupted has no `finished_at`. The record is written on a connection of its own, outside of the
queue's tables, and is what the benchmark counts: it does not depend on what either autoscaler or the queue reports.
"""

from __future__ import annotations

import asyncio
import os

import psycopg

from penstock import App, Context

LEDGER = """
CREATE TABLE attempts (
    job_id bigint NOT NULL,
    queue text NOT NULL,
    pod text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz
)
"""

app = App()


@app.task(name="work")
async def work(ctx: Context, queue: str, seconds: float) -> None:
    """Wait for so many seconds, and record when it started and finished."""
    pod = os.environ.get("PENSTOCK_POD_NAME", "")
    insert = "INSERT INTO attempts (job_id, queue, pod) VALUES (%s, %s, %s) RETURNING started_at"
    async with await psycopg.AsyncConnection.connect(os.environ["PENSTOCK_DATABASE_URL"], autocommit=True) as ledger:
        row = await (await ledger.execute(insert, [ctx.job.id, queue, pod])).fetchone()
        assert row is not None
        await asyncio.sleep(seconds)
        finish = (
            "UPDATE attempts SET finished_at = clock_timestamp() WHERE job_id = %s AND pod = %s AND started_at = %s"
        )
        await ledger.execute(finish, [ctx.job.id, pod, row[0]])
