"""The App that the children of `test_child_pool` import."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import threading
import time
from pathlib import Path

import msgspec

from penstock import App, Context

app = App()


@app.task(name="pid", executor="process")
def pid() -> int:
    return os.getpid()


@app.task(name="leave", executor="process")
def leave() -> None:
    sys.stderr.write("farewell\n")
    os._exit(7)


@app.task(name="say", executor="process")
def say(ctx: Context) -> None:
    ctx.progress(1, 2)
    thread = threading.Thread(target=ctx.progress, args=(2, 2, "all"))
    thread.start()
    thread.join()


@app.task(name="sole", executor="process", exclusive=True)
def sole() -> None:
    time.sleep(60)


@app.task(name="stuck", executor="process", hard_timeout=0.2)
def stuck() -> None:
    time.sleep(60)


@app.task(name="stuck_for_good", executor="process")
def stuck_for_good() -> None:
    time.sleep(600)


@app.task(name="linger", executor="process")
async def linger() -> None:
    await asyncio.sleep(60)


def write_frame(body: bytes) -> None:
    """To the worker, past the code that writes frames: every file of its process is open to a task."""
    for fd in (int(path.name) for path in Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, len(body).to_bytes(4) + body)
    time.sleep(60)


@app.task(name="forge", executor="process")
def forge(ctx: Context, what: str) -> None:
    """Report an outcome, or progress, as no child would."""
    claim = (ctx.job.id, ctx.job.token)
    ended = {"type": "AttemptOutcome", "claim": claim, "state": "failed", "duration": 0.1}
    forged = {
        "list": {**ended, "error": "[]"},
        "nan": {**ended, "duration": float("nan")},
        "past": {**ended, "state": "snooze", "delay": -1.0},
        "long": {**ended, "reason": "x" * 100_000},
        "note": {"type": "Progress", "claim": claim, "done": 1, "total": 2, "note": "a\0b"},
    }
    write_frame(msgspec.msgpack.encode(forged[what]))
