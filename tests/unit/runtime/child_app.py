"""The App that the children of `test_child_pool` import."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

from penstock import App, Context

app = App()


@app.task(name="pid", executor="process")
def pid() -> int:
    return os.getpid()


@app.task(name="leave", executor="process")
def leave() -> None:
    sys.stderr.write("farewell\n")
    os._exit(7)


@app.task(name="tell", executor="process")
def tell(ctx: Context) -> None:
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


@app.task(name="linger", executor="process")
async def linger() -> None:
    await asyncio.sleep(60)
