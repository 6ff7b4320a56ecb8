"""The application of the chaos runs. Every execution is written down in a table of another, undisturbed server.

A row of `ran` is one phase (start or end) of one attempt, named by job and token: what really ran, whatever the store
says of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import psycopg

from penstock import App, Context, Snooze

QUEUE = "chaos"
LEDGER = "CHAOS_LEDGER_URL"

app = App()
_ledger: list[psycopg.AsyncConnection] = []


@app.lifespan
async def ledger() -> AsyncIterator[None]:
    """One ordinary connection of this process."""
    async with await psycopg.AsyncConnection.connect(os.environ[LEDGER], autocommit=True) as connection:
        _ledger.append(connection)
        yield
    _ledger.clear()


async def note(ctx: Context, phase: str) -> None:
    await _ledger[0].execute(
        "INSERT INTO ran (job, token, worker, phase) VALUES (%s, %s, %s, %s)",
        [ctx.job.id, ctx.job.token, ctx.job.worker, phase],
    )


@app.task(name="write", queue=QUEUE, max_attempts=100)
async def write(ctx: Context, seconds: float) -> None:
    """The usual job: it ends well."""
    await note(ctx, "start")
    await asyncio.sleep(seconds)
    await note(ctx, "end")


@app.task(name="falter", queue=QUEUE, max_attempts=100)
async def falter(ctx: Context) -> None:
    """Fails at the first attempt."""
    await note(ctx, "start")
    if ctx.attempt == 1:
        raise ValueError("the first time always fails")
    await note(ctx, "end")


@app.task(name="doomed", queue=QUEUE, max_attempts=2)
async def doomed(ctx: Context) -> None:
    """Ends as a dead letter."""
    await note(ctx, "start")
    raise ValueError("this never works")


@app.task(name="put_off", queue=QUEUE, max_attempts=100)
async def put_off(ctx: Context) -> None:
    """Snoozes once in a while."""
    await note(ctx, "start")
    if ctx.job.token % 2:
        raise Snooze(0.05)
    await note(ctx, "end")
