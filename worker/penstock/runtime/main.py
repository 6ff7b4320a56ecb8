"""The process around a worker: logs, the schema's handshake, the event loop, and an exit that no thread can hold up."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from functools import partial

from penstock.app.app import App
from penstock.database.source import sources
from penstock.errors import StoreError
from penstock.runtime.process_exit import leave_now, leave_within
from penstock.settings import Settings
from penstock.store import check_login_and_schema, check_schema

from .config_warnings import log_config_warnings
from .event_loop import Runner, loop_factory
from .observe import logs
from .parts import WorkerParts
from .startup import Startup
from .worker import Worker

logger = logging.getLogger("penstock.worker")

AGAIN_SECONDS = 1.0
"""Until the database is asked again that had passed the check and then refused the worker's connections."""

EXIT_SECONDS = 10.0
"""For exit handlers and threads of the application; for lifespans what is left of the grace period, if that is more."""


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
    url, _ = sources(settings, app.password)

    def check() -> None:
        check_schema(url)
        check_login_and_schema(url, pooled=settings.pooled)

    ended = None
    while ended is None:
        if not Startup(check, settings).wait():
            return 0
        log_config_warnings(settings, url)
        if told := mismatch(app, settings.queue):
            logger.warning("%s", told)
        with Runner(loop_factory()) as runner:
            ended = runner.run(_run(app, settings))
    code, stuck = ended
    if stuck:  # a thread cannot be interrupted; its claim was released
        leave_now(code)
    return code


async def _run(app: App, settings: Settings) -> tuple[int, bool] | None:
    """Exit code, and whether a thread is stuck; None if the database went away after the check: nothing has begun."""
    parts = WorkerParts(app, settings)
    try:
        await parts.store.open()
    except StoreError as error:
        parts.health.close()
        logger.warning("cannot start yet, trying again: %s", error)
        await asyncio.sleep(AGAIN_SECONDS)
        return None
    os.register_at_fork(after_in_child=partial(parts.attempts.copied, parts.loop))
    gc.collect()
    gc.freeze()  # modules and tasks live as long as the process: no collection needs to visit them
    exit_within = lambda code: leave_within(max(EXIT_SECONDS, parts.drain.remaining), code)  # noqa: E731
    code = await Worker(parts, on_exit=exit_within).run()
    leave_within(EXIT_SECONDS, code)
    parts.threads.shutdown(wait=False, cancel_futures=True)
    return code, bool(parts.attempts.in_threads) or parts.hooks.stuck
