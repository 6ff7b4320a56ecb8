"""The App that the children of `test_child_pool` import."""

from __future__ import annotations

import os
import sys
import threading

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
