"""The whole thing on one machine, in less than a minute: `make demo`.

Starts a PostgreSQL of its own and runs the queues of `jobqueues.yaml` as `penstock dev` would: nothing runs until there
is work, then as many workers as the work needs, then nothing again. It enqueues a few hundred real jobs in two waves
(mails to a sink on this machine, pictures in other sizes, users fetched over HTTP, reports, computing, jobs that fail),
and at the end accounts for every one of them. Exits with 1 if one is missing. `--keep` leaves everything up until
Ctrl-C.
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

from penstock.dev.http import Endpoint
from penstock.dev.reaper import Guard
from penstock.dev.run_dev import DevOptions, database, hand_over, load_policies, private_folder, show, stop_on_signals
from penstock.dev.session import local_run
from penstock.dev.view import view_for

from . import account, jobs
from .pictures import pictures
from .smtp_sink import SmtpSink
from .users_api import UsersApi

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock import NewJob
    from penstock.dev.session import LocalRun
    from penstock.dev.view import Picture, View

LONGEST_SECONDS = 300.0
SECOND_WAVE_SECONDS = 12.0
LEASE_SECONDS = "6"
"""Workers report what they have done with every third of their lease: the view is the livelier for it."""


def first_wave() -> list[NewJob]:
    """Something for every queue; ten jobs that fail, of which three never succeed."""
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
    """More of what was busy, after the first has been worked off."""
    return [
        *(jobs.send_welcome_email.job(user_id) for user_id in range(81, 181)),
        *(jobs.resize_image.job(name, side, side) for name in pictures() for side in range(200, 280, 20)),
        *(jobs.heavy_job.job(ms=15) for _ in range(130)),
        *(jobs.sync_user_data.job(user_id) for user_id in range(41, 61)),
        *(jobs.failing_job.job(times=1) for _ in range(2)),
    ]


async def demo(*, keep: bool, console: Console, watch: Callable[[Picture], None] = lambda _: None) -> int:
    """Run the demonstration; the exit code. `watch` is handed each picture that is shown."""
    policies = load_policies([account.HERE / "jobqueues.yaml"])
    console.print("Starting a PostgreSQL of our own, then the queues of jobqueues.yaml.", highlight=False)
    async with contextlib.AsyncExitStack() as stack:
        guard = Guard()
        stack.callback(guard.close)
        folder = stack.enter_context(private_folder(guard))
        url, told = await stack.enter_async_context(database(DevOptions(files=[])))
        sink = await stack.enter_async_context(SmtpSink())
        users = stack.enter_context(UsersApi())
        os.environ |= {"PENSTOCK_DATABASE_URL": url, "PENSTOCK_LEASE_SECONDS": LEASE_SECONDS}
        os.environ |= {"SHOP_SMTP": sink.address, "SHOP_USERS": users.url, "SHOP_OUTPUT": str(folder / "output")}
        stack.push_async_callback(jobs.app.close_async)
        log = stack.enter_context((folder / "workers.log").open("ab"))
        run = await stack.enter_async_context(
            local_run(policies=policies, database_url=url, log=log, guard=guard, title=f"The shop on {told}")
        )
        endpoint = stack.enter_context(Endpoint(lambda: run.loop.queues))
        run.footer = f"metrics {endpoint.url}/metrics, workers {endpoint.url}/sd"
        view = view_for(console)
        with view:
            ids = await _work(run, view, watch)
        accounted = await account.take(jobs.app, ids, run=run, sink=sink)
        account.tell(accounted, console)
        if keep:
            await _keep(run, view, url=url, folder=folder)
        if accounted.problems:
            said = (folder / "workers.log").read_text()[-4000:]
            console.print(f"The workers said:\n{said}", markup=False, highlight=False, soft_wrap=True)
        return 1 if accounted.problems else 0


async def _work(run: LocalRun, view: View, watch: Callable[[Picture], None]) -> list[int]:
    """Enqueue both waves and watch until all is done and every worker has gone; ids of the jobs."""
    ids = await jobs.app.enqueue_many_async(first_wave())
    view.say(f"{len(ids)} jobs are enqueued; {SECOND_WAVE_SECONDS:g} s later there will be more.")
    enqueued = time.monotonic()
    ends, second = enqueued + LONGEST_SECONDS, enqueued + SECOND_WAVE_SECONDS
    pending = True
    while time.monotonic() < ends and (pending or not _at_rest(run, since=enqueued)):
        if pending and time.monotonic() >= second:
            more = await jobs.app.enqueue_many_async(second_wave())
            view.say(f"{len(more)} more jobs are enqueued.")
            ids += more
            pending, enqueued = False, time.monotonic()
        picture = run.picture()
        view.show(picture)
        watch(picture)
        await asyncio.sleep(0.2)
    view.show(run.picture())
    return ids


def _at_rest(run: LocalRun, *, since: float) -> bool:
    """Nothing waits, nothing runs and nobody serves, by a look that is younger than the last enqueue."""
    looks = [queue.snapshot for queue in run.loop.queues]
    idle = all(
        seen is not None and seen.sampled_at > since and not (seen.ready or seen.in_flight or seen.deferred)
        for seen in looks
    )
    return idle and not run.fleet.members()


async def _keep(run: LocalRun, view: View, *, url: str, folder: Path) -> None:
    hand_over(url, folder / "database-url")
    stop = stop_on_signals()
    with view:
        view.say(f"Kept up until Ctrl-C; {run.footer}, output {folder / 'workers.log'}")
        view.say(f"export PENSTOCK_DATABASE_URL=$(cat {folder / 'database-url'}) PYTHONPATH=examples")
        view.say(""".venv/bin/penstock enqueue shop.jobs:hello --app shop.jobs:app --args '{"name": "World"}'""")
        await show(run, view, stop)


def main() -> int:
    """Parse the arguments and run; the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="Penstock's main job on one machine.")
    parser.add_argument("--keep", action="store_true", help="leave everything up until Ctrl-C")
    keep = parser.parse_args().keep
    try:
        return asyncio.run(demo(keep=keep, console=Console(width=None if sys.stdout.isatty() else 130)))
    except KeyboardInterrupt:
        return 0 if keep else 130


if __name__ == "__main__":
    sys.exit(main())
