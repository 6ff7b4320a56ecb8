"""The tasks that worker pods of these tests run; mounted into them as one file, so it imports nothing of the tests.

Each attempt writes a row when it starts and one when it finishes, over a connection of its own: the tasks' side
of the story, which does not pass through Penstock. A row is written until the database has it.
"""

from __future__ import annotations

import asyncio
import os
import time

import psycopg

from penstock import App, Context

app = App()
TABLE = """
CREATE TABLE public.ran (job bigint, attempt int, worker text, phase text, at timestamptz DEFAULT now());
GRANT SELECT, INSERT ON public.ran TO penstock_worker;
"""


def note(ctx: Context, phase: str) -> None:
    """Write a row; again until it is there, because a cut connection must not look like an attempt that never ended."""
    row = [ctx.job.id, ctx.attempt, os.environ.get("PENSTOCK_POD_NAME", ""), phase]
    while True:
        try:
            with psycopg.connect(os.environ["PENSTOCK_DATABASE_URL"], autocommit=True, connect_timeout=2) as connection:
                connection.execute("INSERT INTO public.ran (job, attempt, worker, phase) VALUES (%s, %s, %s, %s)", row)
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return


@app.task(name="work")
async def work(ctx: Context, seconds: float) -> None:
    """Take so long."""
    await asyncio.to_thread(note, ctx, "start")
    await asyncio.sleep(seconds)
    await asyncio.to_thread(note, ctx, "end")


@app.task(name="block")
async def block(ctx: Context, seconds: float, *, always: bool = False) -> None:
    """Block the event loop so long; only at the first attempt, unless `always`."""
    note(ctx, "start")
    if always or ctx.attempt == 1:
        time.sleep(seconds)  # noqa: ASYNC251 - this is the fault
    note(ctx, "end")


def fill(mebibytes: int) -> int:
    """Make so much memory resident."""
    kept = bytearray(mebibytes << 20)
    kept[::4096] = b"x" * len(kept[::4096])
    time.sleep(1)  # part of the fault: a moment in which the kernel and the worker can measure it
    return len(kept)


@app.task(name="fill_worker")
async def fill_worker(ctx: Context, mebibytes: int) -> None:
    """Take so much memory in the worker's process, at the first attempt."""
    await asyncio.to_thread(note, ctx, "start")
    if ctx.attempt == 1:
        await asyncio.to_thread(fill, mebibytes)
    await asyncio.to_thread(note, ctx, "end")


@app.task(name="fill_child", executor="process")
def fill_child(ctx: Context, mebibytes: int) -> None:
    """Take so much memory in a child, at the first attempt."""
    note(ctx, "start")
    if ctx.attempt == 1:
        fill(mebibytes)
    note(ctx, "end")
