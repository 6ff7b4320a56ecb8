"""The application of the worker's tests: tasks that succeed, fail, take long, block, and leave a trace."""

from __future__ import annotations

import asyncio
import os
import pathlib
import time

from penstock import App, Cancel, Context, Retry, Snooze

app = App()


def trace(line: str) -> None:
    """One line in the file that the test reads: what really ran, whatever the database says."""
    with pathlib.Path(os.environ["TRACE"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def go() -> pathlib.Path:
    """The file by which a test lets `gated`, `block` and `book` go on."""
    return pathlib.Path(os.environ["TRACE"]).with_name("go")


@app.task(name="add", queue="q")
async def add(a: int, b: int) -> int:
    trace(f"add {a} {b}")
    return a + b


@app.task(name="fail", queue="q", max_attempts=3)
async def fail(text: str) -> None:
    raise ValueError(text + "\0pipe")


@app.task(name="sleep", queue="q")
async def sleep(ctx: Context, seconds: float) -> int:
    trace(f"start {ctx.job.id} {ctx.attempt} {os.getpid()}")
    await asyncio.sleep(seconds)
    trace(f"end {ctx.job.id} {ctx.attempt} {os.getpid()}")
    return ctx.attempt


@app.task(name="gated", queue="q")
async def gated(ctx: Context) -> int:
    """The first attempt goes on once the test says so, however slow the machine is; any other one at once."""
    trace(f"start {ctx.job.id} {ctx.attempt} {os.getpid()}")
    while ctx.attempt == 1 and not go().exists():
        await asyncio.sleep(0.01)
    trace(f"end {ctx.job.id} {ctx.attempt} {os.getpid()}")
    return ctx.attempt


@app.task(name="block", queue="q")
async def block() -> None:
    while not go().exists():
        time.sleep(0.01)  # noqa: ASYNC251 - what a careless task does to the event loop


@app.task(name="thread", queue="q")
def thread(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


@app.task(name="patient", queue="q")
def patient(ctx: Context) -> str:
    trace(f"start {ctx.job.id}")
    while not ctx.cancelled:
        time.sleep(0.01)
    trace(f"noticed {ctx.job.id}")
    return "stopped"


@app.task(name="book", queue="q", max_attempts=2)
async def book(ctx: Context, amount: int, problem: str = "") -> None:
    async with ctx.transaction() as connection:
        await connection.execute("INSERT INTO booking (job, amount) VALUES (%s, %s)", (ctx.job.id, amount))
        if problem == "inside" and ctx.attempt == 1:
            raise ValueError(problem)
        if problem == "gated" and ctx.attempt == 1:
            trace(f"booked {ctx.job.id}")
            while not go().exists():
                await asyncio.sleep(0.01)
    if problem == "after":
        raise ValueError(problem)


@app.task(name="book_sync", queue="q")
def book_sync(ctx: Context, amount: int) -> None:
    with ctx.transaction() as connection:
        connection.execute("INSERT INTO booking (job, amount) VALUES (%s, %s)", (ctx.job.id, amount))


@app.task(name="poison", queue="q")
async def poison() -> None:
    await asyncio.sleep(0.05)
    os._exit(9)


@app.task(name="say", queue="q")
async def say(what: str) -> object:
    match what:
        case "cancel":
            raise Cancel("not wanted any more")
        case "snooze":
            return Snooze(3600, "later")
        case "retry":
            return Retry(3600, "soon")
        case "exit":
            raise SystemExit(3)
        case "late":
            async with asyncio.timeout(0.01):
                await asyncio.sleep(1)
    return "said nothing"


@app.task(name="unstorable", queue="q")
async def unstorable() -> str:
    return "\0"


@app.task(name="timed", queue="q", timeout=0.05, max_attempts=1)
async def timed() -> None:
    await asyncio.sleep(10)
