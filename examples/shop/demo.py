"""The demo: all of Penstock on one machine, in less than a minute. Run it with `make demo`.

It starts its own PostgreSQL and runs the queues of `jobqueues.yaml` as `penstock dev` does: no worker until there are
jobs, then as many as the jobs need, then none again. It enqueues a few hundred jobs in two waves (mails to a sink on
this machine, resized pictures, users fetched over HTTP, reports, computations, jobs that fail) and checks at the end
what became of each of them. Exit code 1 if one is missing. `--keep` keeps everything running until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from datetime import date
from typing import TYPE_CHECKING

from rich.console import Console

from penstock.dev.http import MetricsServer
from penstock.dev.reaper import Reaper
from penstock.dev.run_dev import (
    DevOptions,
    database,
    load_policies,
    private_folder,
    show,
    stop_on_signals,
    write_private,
)
from penstock.dev.session import open_session
from penstock.dev.view import view_for

from . import account, jobs
from .pictures import pictures
from .smtp_sink import SmtpSink
from .users_api import UsersApi

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock import NewJob
    from penstock.dev.session import Session
    from penstock.dev.view import Status, View

MAX_SECONDS = 300.0
SECOND_WAVE_SECONDS = 12.0
LEASE_SECONDS = "6"
"""Workers report their progress every third of a lease; a short lease keeps the view up to date."""


def first_wave() -> list[NewJob]:
    """Jobs for every queue; ten of them fail, and three of those never succeed."""
    return [
        *(jobs.hello.job(name) for name in ("World", *(f"Person {number}" for number in range(1, 20)))),
        *(jobs.send_welcome_email.job(user_id) for user_id in range(1, 81)),
        *(jobs.resize_image.job(name, side, side) for name in pictures() for side in range(40, 200, 20)),
        *(jobs.heavy_job.job(ms=15) for _ in range(208)),
        *(jobs.sync_user_data.job(user_id) for user_id in range(1, 41)),
        *(jobs.generate_report.job(date(2026, month, 1), date(2026, month, 28)) for month in (1, 2)),
        *(jobs.failing_job.job(times=1 + number % 2) for number in range(7)),
        *(jobs.failing_job.job() for _ in range(3)),
    ]


def second_wave() -> list[NewJob]:
    """More jobs, after the first wave has finished."""
    return [
        *(jobs.send_welcome_email.job(user_id) for user_id in range(81, 181)),
        *(jobs.resize_image.job(name, side, side) for name in pictures() for side in range(200, 280, 20)),
        *(jobs.heavy_job.job(ms=15) for _ in range(130)),
        *(jobs.sync_user_data.job(user_id) for user_id in range(41, 61)),
        *(jobs.failing_job.job(times=1) for _ in range(2)),
    ]


async def demo(*, keep: bool, console: Console, watch: Callable[[Status], None] = lambda _: None) -> int:
    """Run the demo and return the exit code. `watch` is called with each status that is shown."""
    policies = load_policies([account.HERE / "jobqueues.yaml"])
    console.print("Starting an embedded PostgreSQL and the queues of jobqueues.yaml.", highlight=False)
    async with contextlib.AsyncExitStack() as stack:
        reaper = Reaper()
        stack.callback(reaper.close)
        folder = stack.enter_context(private_folder(reaper))
        url, description = await stack.enter_async_context(database(DevOptions(files=[])))
        sink = await stack.enter_async_context(SmtpSink())
        users = stack.enter_context(UsersApi())
        os.environ |= {"PENSTOCK_DATABASE_URL": url, "PENSTOCK_LEASE_SECONDS": LEASE_SECONDS}
        os.environ |= {"SHOP_SMTP": sink.address, "SHOP_USERS": users.url, "SHOP_OUTPUT": str(folder / "output")}
        stack.push_async_callback(jobs.app.close_async)
        log = stack.enter_context((folder / "workers.log").open("ab"))
        title = f"The shop on {description}"
        session = await stack.enter_async_context(
            open_session(policies=policies, database_url=url, log=log, reaper=reaper, title=title)
        )
        server = stack.enter_context(MetricsServer(lambda: session.autoscaler.queues))
        session.footer = f"metrics {server.url}/metrics, workers {server.url}/sd"
        view = view_for(console)
        with view:
            ids = await _enqueue_and_wait(session, view, watch)
        accounted = await account.take(jobs.app, ids, session=session, sink=sink)
        account.report(accounted, console)
        if keep:
            await _keep(session, view, url=url, folder=folder)
        if accounted.problems:
            output = (folder / "workers.log").read_text()[-4000:]
            console.print(f"Output of the workers:\n{output}", markup=False, highlight=False, soft_wrap=True)
        return 1 if accounted.problems else 0


async def _enqueue_and_wait(session: Session, view: View, watch: Callable[[Status], None]) -> list[int]:
    """Enqueue both waves and wait until all jobs are finished and all workers have exited; returns the jobs' ids."""
    ids = await jobs.app.enqueue_many_async(first_wave())
    view.print(f"Enqueued {len(ids)} jobs; the second wave follows in {SECOND_WAVE_SECONDS:g} s.")
    enqueued = time.monotonic()
    deadline, second = enqueued + MAX_SECONDS, enqueued + SECOND_WAVE_SECONDS
    pending = True
    while time.monotonic() < deadline and (pending or not _is_idle(session, since=enqueued)):
        if pending and time.monotonic() >= second:
            more = await jobs.app.enqueue_many_async(second_wave())
            view.print(f"Enqueued {len(more)} more jobs.")
            ids += more
            pending, enqueued = False, time.monotonic()
        status = session.status()
        view.show(status)
        watch(status)
        await asyncio.sleep(0.2)
    view.show(session.status())
    return ids


def _is_idle(session: Session, *, since: float) -> bool:
    """Whether no job waits or runs and no worker is left, in a sample taken after the last enqueue."""
    samples = [queue.snapshot for queue in session.autoscaler.queues]
    idle = all(
        one is not None and one.sampled_at > since and not (one.ready or one.in_flight or one.deferred)
        for one in samples
    )
    return idle and not session.fleet.workers()


async def _keep(session: Session, view: View, *, url: str, folder: Path) -> None:
    write_private(url, folder / "database-url")
    stop = stop_on_signals()
    with view:
        view.print(f"Running until Ctrl-C; {session.footer}, output {folder / 'workers.log'}")
        view.print(f"export PENSTOCK_DATABASE_URL=$(cat {folder / 'database-url'}) PYTHONPATH=examples")
        view.print(""".venv/bin/penstock enqueue shop.jobs:hello --app shop.jobs:app --args '{"name": "World"}'""")
        await show(session, view, stop)


def main() -> int:
    """Parse the arguments, run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="All of Penstock on one machine.")
    parser.add_argument("--keep", action="store_true", help="keep everything running until Ctrl-C")
    keep = parser.parse_args().keep
    try:
        return asyncio.run(demo(keep=keep, console=Console(width=None if sys.stdout.isatty() else 130)))
    except KeyboardInterrupt:
        return 0 if keep else 130


if __name__ == "__main__":
    sys.exit(main())
