"""The process around a worker: logs, the schema's handshake, the event loop, and an exit that no thread can hold up."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from functools import partial

from penstock.app import App
from penstock.settings import Settings
from penstock.store import check_schema, shake_hands

from . import logs
from .declared import tell_differences
from .loops import loop_factory
from .pipeline import Worker
from .startup import Startup

logger = logging.getLogger("penstock.worker")


def mismatch(app: App, queue: str) -> str:
    """A sentence if no task of the App has this queue, else empty: jobs are elsewhere unless their options differ."""
    queues = sorted({task.queue for task in app.tasks.values()})
    if not queues or queue in queues:
        return ""
    return f"no task of this App has the queue {queue!r} (--queue, PENSTOCK_QUEUE); they have {', '.join(queues)}"


def run_worker(app: App, settings: Settings) -> int:
    """Run one worker in this process until it is told to drain; returns the exit code.

    While the database is away or its schema is not migrated yet, the start waits.

    Raises:
        ConfigurationError, StoreError: it cannot start; nothing was claimed.
    """
    logs.configure(settings.log_level, settings.log_format)

    def check() -> None:
        check_schema(settings.database_url)
        shake_hands(settings.database_url, pooled=settings.pooled)

    if not Startup(check, settings).wait():
        return 0
    tell_differences(settings)
    if told := mismatch(app, settings.queue):
        logger.warning("%s", told)

    async def main() -> tuple[int, bool]:
        worker = Worker(app, settings)
        os.register_at_fork(after_in_child=partial(worker.attempts.copied, asyncio.get_running_loop()))
        gc.collect()
        gc.freeze()  # modules and tasks live as long as the process: no collection need look at them
        code = await worker.run()
        worker.threads.shutdown(wait=False, cancel_futures=True)
        return code, bool(worker.attempts.in_threads) or worker.announcer.stuck

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        code, stuck = runner.run(main())
    if stuck:  # a thread cannot be interrupted; its claim was handed back
        logging.shutdown()
        os._exit(code)
    return code
