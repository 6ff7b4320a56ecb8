"""Tasks that keep their own account: each attempt writes to the table `ledger` when it starts and when it finishes.

They run in pods, from the image of this folder, and must not import the tests. `LedgerDatabase.check_account` compares
their account with the job table's.
"""

from __future__ import annotations

import asyncio
import os
import time

import psycopg

from penstock import App, Context

app = App()

# Named with its schema: one named like the owner, `penstock`, comes first on the path of that login.
_WRITE = "INSERT INTO public.ledger (job_id, attempt, pod, event) VALUES (%s, %s, %s, %s)"


async def _write(ctx: Context, event: str) -> None:
    async with await psycopg.AsyncConnection.connect(
        os.environ["PENSTOCK_DATABASE_URL"], autocommit=True
    ) as connection:
        await connection.execute(_WRITE, (ctx.job.id, ctx.attempt, os.uname().nodename, event))


def _write_now(ctx: Context, event: str) -> None:
    with psycopg.connect(os.environ["PENSTOCK_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(_WRITE, (ctx.job.id, ctx.attempt, os.uname().nodename, event))


@app.task
async def nap(ctx: Context, seconds: float = 0.0) -> None:
    """Wait without using the CPU."""
    await _write(ctx, "started")
    await asyncio.sleep(seconds)
    await _write(ctx, "finished")


@app.task
async def block(ctx: Context, seconds: float) -> None:
    """Block the event loop of the worker, as a forgotten synchronous call does."""
    await _write(ctx, "started")
    time.sleep(seconds)  # noqa: ASYNC251 - that is the point
    await _write(ctx, "finished")


@app.task
async def allocate(ctx: Context, megabytes: int, until_attempt: int = 1) -> None:
    """Use that much memory in the worker's process, at the first `until_attempt` attempts."""
    await _write(ctx, "started")
    if ctx.attempt <= until_attempt:
        block = bytearray(megabytes * 1024 * 1024)
        block[:: os.sysconf("SC_PAGE_SIZE")] = b"\x01" * len(block[:: os.sysconf("SC_PAGE_SIZE")])
    await _write(ctx, "finished")


@app.task(executor="process")
def allocate_in_child(ctx: Context, megabytes: int, until_attempt: int = 1) -> None:
    """`allocate` in a process of the task's own."""
    _write_now(ctx, "started")
    if ctx.attempt <= until_attempt:
        block = bytearray(megabytes * 1024 * 1024)
        block[:: os.sysconf("SC_PAGE_SIZE")] = b"\x01" * len(block[:: os.sysconf("SC_PAGE_SIZE")])
    _write_now(ctx, "finished")
