"""The jobs of `benchmarks/worker`: one that does nothing, and some that record when they started. Workers import it."""

from __future__ import annotations

import asyncio
import time

from penstock import App, Context

app = App()


@app.task(name="noop", queue="bench")
async def noop(n: int) -> None:
    """Nothing."""


@app.task(name="stamp", queue="bench")
async def stamp(since: float) -> float:
    """Milliseconds from `since` (seconds of the machine's clock) to now: the start of the job."""
    return (time.time() - since) * 1000


@app.task(name="nap", queue="bench")
async def nap(n: int) -> None:
    """Short, but it waits: the next jobs stay claimed and unstarted."""
    del n
    await asyncio.sleep(0.02)


@app.task(name="hold", queue="bench")
async def hold(ctx: Context) -> float:
    """Ends at its second attempt, with the time."""
    if ctx.job.attempt == 1:
        await asyncio.sleep(600)
    return time.time()
