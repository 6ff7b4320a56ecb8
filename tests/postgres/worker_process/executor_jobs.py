"""Tasks of the executors' tests: they crash, hang, flood, fork, leave the interpreter, and say in which process."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
import time
from collections.abc import AsyncIterator

from penstock import NEVER, App, Backoff, Context, Snooze
from penstock.errors import ChildCrashed
from tests.postgres.jobs import trace


class Odd(BaseException):
    """What no `except Exception` stops."""


APP = "tests.postgres.worker_process.executor_jobs:app"

app = App()


@app.lifespan
async def opened() -> AsyncIterator[None]:
    """Once per worker and once per child."""
    if os.environ.get("PENSTOCK_TEST_BROKEN") and sys.argv[0] == "penstock child":
        raise RuntimeError("not in a child")
    trace(f"opened {os.getpid()}")
    yield
    trace(f"closed {os.getpid()}")


@app.task(name="whoami", queue="q", executor="process")
def whoami() -> list[int]:
    return [os.getpid(), os.getppid()]


@app.task(name="whoami_async", queue="q", executor="process")
async def whoami_async(ctx: Context) -> list[int]:
    await asyncio.sleep(0)
    return [os.getpid(), ctx.job.id, ctx.attempt]


@app.task(name="own_loop", queue="q", executor="process")
def own_loop() -> str:
    return asyncio.run(asyncio.sleep(0, "ran"))


@app.task(name="crash", queue="q", executor="process", max_attempts=10, retry={LookupError: NEVER})
def crash(how: str) -> str:
    trace(f"crash {how} {os.getpid()}")
    match how:
        case "exit":
            sys.exit(4)
        case "_exit":
            os._exit(3)
        case "signal":
            ctypes.string_at(0)
        case "key":
            raise KeyError(how)
        case "interrupt":
            raise KeyboardInterrupt
        case "close":
            os.closerange(3, 256)  # as programs do that turn themselves into daemons
        case "memory":  # what the kernel does when a limit of memory is reached
            os.kill(os.getpid(), signal.SIGKILL)
    return how


@app.task(name="crash_once", queue="q", executor="process", retry={ChildCrashed: Backoff(base_seconds=0.05)})
def crash_once(ctx: Context) -> int:
    if ctx.job.crashes == 0:
        os._exit(1)
    return ctx.job.crashes


@app.task(name="greedy", queue="q", executor="process", max_attempts=1)
def greedy() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return len(bytearray(1 << 31))


@app.task(name="sleepy", queue="q", executor="process", timeout=0.2, max_attempts=1)
def sleepy(seconds: float) -> None:
    time.sleep(seconds)


@app.task(name="sleepy_async", queue="q", executor="process", timeout=0.2, max_attempts=1)
async def sleepy_async(seconds: float) -> None:
    await asyncio.sleep(seconds)


@app.task(name="deaf", queue="q", executor="process", hard_timeout=1.5, max_attempts=1)
def deaf() -> None:
    child = os.fork()
    if child:
        trace(f"deaf {os.getpid()}")
        trace(f"deaf {child}")
    while True:
        try:
            time.sleep(60)
        except BaseException:
            if child == 0:
                raise


@app.task(name="slow_thread", queue="q", timeout=0.1, max_attempts=1)
def slow_thread(ctx: Context) -> str:
    while not ctx.cancelled:
        time.sleep(0.01)
    trace("cancel seen")
    return "late"


@app.task(name="patient", queue="q", executor="process")
def patient(ctx: Context) -> str:
    trace(f"start {ctx.job.id}")
    while not ctx.cancelled:
        time.sleep(0.01)
    trace(f"noticed {ctx.job.id}")
    return "stopped"


@app.task(name="waiting", queue="q", executor="process")
async def waiting(ctx: Context, *, deaf: bool = False) -> None:
    trace(f"start {ctx.job.id}")
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        trace(f"noticed {ctx.job.id}")
        if deaf:
            await asyncio.sleep(600)
        raise


@app.task(name="sole", queue="q", executor="process", exclusive=True)
def sole(ctx: Context, seconds: float, *, first: float = 0) -> int:
    """Takes so many seconds; `first` instead if no worker was lost around it yet."""
    trace(f"start {ctx.job.id} {os.getpid()}")
    time.sleep(first if first and not ctx.job.crashes else seconds)
    trace(f"end {ctx.job.id} {os.getpid()}")
    return ctx.job.crashes


@app.task(name="sole_async", queue="q", exclusive=True)
async def sole_async(ctx: Context, seconds: float) -> None:
    trace(f"start {ctx.job.id}")
    try:
        await asyncio.sleep(0 if ctx.job.crashes else seconds)
        trace(f"end {ctx.job.id}")
    except asyncio.CancelledError:
        trace(f"stopped {ctx.job.id}")
        raise


@app.task(name="talk", queue="q", executor="process")
def talk(lines: int) -> int:
    for number in range(lines):
        print(f"line {number} of many")
    sys.stderr.write("the last words")
    return lines


@app.task(name="fork", queue="q")
async def fork(*, wait: bool = False) -> str:
    child = os.fork()
    if wait:
        await asyncio.sleep(0)
    trace(f"fork {os.getpid()}")
    return str(bool(child))


@app.task(name="hum", queue="q")
async def hum(turns: int) -> None:
    """Is ready to go on at every turn of the loop; says so if it does in another process."""
    process = os.getpid()
    for _ in range(turns):
        await asyncio.sleep(0)
        if os.getpid() != process:
            trace(f"hummed {os.getpid()}")


@app.task(name="fork_in_thread", queue="q")
def fork_in_thread() -> str:
    os.fork()
    trace(f"fork {os.getpid()}")
    return "done"


@app.task(name="fork_in_child", queue="q", executor="process")
def fork_in_child(*, linger: float = 0) -> str:
    if os.fork() == 0:
        time.sleep(linger)
    trace(f"fork {os.getpid()}")
    return "done"


@app.task(name="odd", queue="q", max_attempts=1)
async def odd(what: str) -> None:
    match what:
        case "cancelled":
            raise asyncio.CancelledError
        case "base":
            raise Odd
        case "interrupt":
            raise KeyboardInterrupt


@app.task(name="odd_in_thread", queue="q", max_attempts=1)
def odd_in_thread(what: str) -> None:
    raise {"stop": StopIteration, "cancelled": asyncio.CancelledError, "exit": SystemExit}[what]


@app.task(name="book", queue="q", executor="process")
def book(ctx: Context) -> None:
    with ctx.transaction() as connection:
        connection.execute("INSERT INTO booking VALUES (%s)", [ctx.job.id])


@app.task(name="follow", queue="q", executor="process")
def follow(ctx: Context) -> list[int]:
    return ctx.enqueue(whoami.job())


@app.task(name="snoozing", queue="q", executor="process")
def snoozing() -> None:
    raise Snooze(3600, "later")


@app.task(name="large", queue="q", executor="process")
def large() -> str:
    return "x" * 300_000
