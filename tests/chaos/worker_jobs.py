"""The application of the worker's chaos runs: tasks of every executor, most of which do to their worker what they can.

Executions are written down as in `jobs`, with the process they ran in; a task notes its finish last, before any harm.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time

import psycopg

from penstock import App, Context
from tests.chaos.jobs import LEDGER, QUEUE

APP = "tests.chaos.worker_jobs:app"

app = App()
_ledger: dict[int, psycopg.Connection] = {}


def note(ctx: Context, phase: str) -> None:
    """Over one connection per process, opened at the first use."""
    if os.getpid() not in _ledger:
        _ledger[os.getpid()] = psycopg.connect(os.environ[LEDGER], autocommit=True)
    _ledger[os.getpid()].execute(
        "INSERT INTO ran (job, token, worker, phase, pid) VALUES (%s, %s, %s, %s, %s)",
        [ctx.job.id, ctx.job.token, ctx.job.worker, phase, os.getpid()],
    )


@app.task(name="wait", queue=QUEUE, max_attempts=100)
async def wait(ctx: Context, seconds: float) -> None:
    """The usual job of the event loop."""
    note(ctx, "start")
    await asyncio.sleep(seconds)
    note(ctx, "end")


@app.task(name="compute", queue=QUEUE, max_attempts=100, executor="process")
def compute(ctx: Context, seconds: float) -> None:
    """The usual job of a child."""
    note(ctx, "start")
    time.sleep(seconds)
    note(ctx, "end")


@app.task(name="compute_async", queue=QUEUE, max_attempts=100, executor="process")
async def compute_async(ctx: Context, seconds: float) -> None:
    """The same, as a coroutine."""
    note(ctx, "start")
    await asyncio.sleep(seconds)
    note(ctx, "end")


@app.task(name="sole", queue=QUEUE, max_attempts=100, executor="process", exclusive=True)
def sole(ctx: Context, seconds: float) -> None:
    """Never twice at a time."""
    note(ctx, "start")
    time.sleep(seconds)
    note(ctx, "end")


@app.task(name="block", queue=QUEUE, max_attempts=100)
async def block(ctx: Context) -> None:
    """Stops the event loop for longer than a lease."""
    note(ctx, "start")
    time.sleep(1.3)  # noqa: ASYNC251 - on purpose
    note(ctx, "end")


@app.task(name="deaf", queue=QUEUE, max_attempts=100)
async def deaf(ctx: Context) -> None:
    """Ignores its cancellation, for a while."""
    note(ctx, "start")
    ends = time.monotonic() + 0.5
    while (left := ends - time.monotonic()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    note(ctx, "end")


@app.task(name="fork", queue=QUEUE, max_attempts=100)
async def fork(ctx: Context) -> None:
    """Comes back twice, on the loop."""
    note(ctx, "start")
    note(ctx, "end")
    os.fork()


@app.task(name="fork_in_child", queue=QUEUE, max_attempts=100, executor="process")
def fork_in_child(ctx: Context) -> None:
    """Comes back twice, in a child, the second time late."""
    note(ctx, "start")
    note(ctx, "end")
    if os.fork() == 0:
        time.sleep(1.0)


@app.task(name="flood", queue=QUEUE, max_attempts=100, executor="process")
def flood(ctx: Context) -> None:
    """Prints without end, until its time is up."""
    note(ctx, "start")
    ends = time.monotonic() + 0.5
    while time.monotonic() < ends:
        print("x" * 200)
    note(ctx, "end")


@app.task(name="leave", queue=QUEUE, max_attempts=2)
async def leave() -> None:
    """Leaves the interpreter, politely."""
    sys.exit(3)


@app.task(name="leave_in_thread", queue=QUEUE, max_attempts=2)
def leave_in_thread() -> None:
    """The same in a thread."""
    sys.exit(3)


@app.task(name="hang", queue=QUEUE, max_attempts=2, executor="process", hard_timeout=0.3)
def hang() -> None:
    """Stops every exception."""
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


@app.task(name="poison", queue=QUEUE, max_attempts=100, executor="process")
def poison(ctx: Context, how: str) -> None:
    """Ends its process, each time."""
    note(ctx, "start")
    match how:
        case "memory":  # as the kernel does
            os.kill(os.getpid(), signal.SIGKILL)
        case "signal":
            ctypes.string_at(0)
    os._exit(1)


@app.task(name="stumble", queue=QUEUE, max_attempts=100, executor="process")
def stumble(ctx: Context) -> None:
    """Ends its process the first time."""
    note(ctx, "start")
    if ctx.job.crashes == 0:
        os._exit(1)
    note(ctx, "end")
