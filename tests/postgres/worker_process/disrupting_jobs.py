"""Tasks that change the process which runs them or leave something running in it, and tasks that show that it works."""

from __future__ import annotations

import asyncio
import atexit
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from penstock import App, Context

PATH = "tests.postgres.worker_process.disrupting_jobs:app"

app = App()


def in_a_removed_folder() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


def raising_in_a_thread() -> None:
    threading.excepthook = lambda _: sys.exit(3)
    thread = threading.Thread(target=int, args=("no number",))
    thread.start()
    thread.join()


def with_other_handlers() -> None:
    """Of the signals that a worker and its children listen to; only a main thread can."""
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        signal.alarm(1)


DISRUPTIONS: dict[str, Callable[[], Any]] = {
    "handlers": with_other_handlers,
    "stack": lambda: sys.setrecursionlimit(200),
    "environment": os.environ.clear,
    "folder": in_a_removed_folder,
    "timeouts": lambda: socket.setdefaulttimeout(0.001),
    "warnings": lambda: warnings.simplefilter("error"),
    "exit handler": lambda: atexit.register(sys.exit, 3),
    "thread hook": raising_in_a_thread,
    "a thread": lambda: threading.Thread(target=time.sleep, args=(600,), name="left by a task").start(),
}


async def deaf() -> None:
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


_left: list[object] = []


@app.task(name="disrupt_async", queue="q", max_attempts=1)
async def disrupt_async(how: str) -> str:
    _left.append(asyncio.create_task(deaf(), name="left by a task"))
    DISRUPTIONS[how]()
    return how


@app.task(name="disrupt_thread", queue="q", max_attempts=1)
def disrupt_thread(how: str) -> str:
    DISRUPTIONS[how]()
    return how


@app.task(name="disrupt_process", queue="q", max_attempts=1, executor="process")
def disrupt_process(how: str) -> str:
    DISRUPTIONS[how]()
    return how


@app.task(name="cancel_all", queue="q", max_attempts=2)
async def cancel_all(ctx: Context) -> int:
    """As scripts do when they exit."""
    if ctx.attempt == 1:
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(600)
    return ctx.attempt


@app.task(name="ping_async", queue="q", max_attempts=1)
async def ping_async() -> str:
    await asyncio.sleep(0)
    return "pong"


@app.task(name="ping_thread", queue="q", max_attempts=1)
def ping_thread() -> str:
    return "pong"


@app.task(name="ping_process", queue="q", max_attempts=1, executor="process", timeout=30)
def ping_process() -> str:
    return "pong"


@app.task(name="crash", queue="q", max_attempts=1, executor="process")
def crash() -> None:
    os._exit(3)
