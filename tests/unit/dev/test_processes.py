"""The process fleet with small programs in place of workers: real processes, no database."""

from __future__ import annotations

import asyncio
import io
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from penstock.dev.processes import ProcessFleet, WorkerProcessState
from penstock.dev.reaper import Reaper
from penstock.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

OBEDIENT = "import os, signal, sys; print('ready', os.environ['PENSTOCK_POD_NAME']); signal.sigwait([signal.SIGTERM])"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
CRASHING = "import sys; print('no such app'); sys.exit(3)"
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2)']); sys.exit(1)"


@asynccontextmanager
async def fleet_of(program: str, **environ: str) -> AsyncIterator[tuple[ProcessFleet, io.BytesIO]]:
    settings = {"emails": Settings(database_url="postgresql://localhost/x", app="shop.jobs:app", queue="emails")}
    log, reaper = io.BytesIO(), Reaper()
    try:
        fleet = ProcessFleet(
            settings=settings,
            log=log,
            reaper=reaper,
            environ=environ,
            command=lambda _: [sys.executable, "-c", program],
        )
        async with fleet:
            yield fleet, log
    finally:
        reaper.close()


async def until(condition: Callable[[], bool], within: float = 90) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        await asyncio.sleep(0.01)


async def test_members_run_under_names_of_their_own_and_their_output_is_kept_with_it() -> None:
    """Two workers, two names, two ports; each line of the log says whose it is."""
    async with fleet_of(OBEDIENT) as (fleet, log):
        fleet.start("emails", 2)
        await until(lambda: log.getvalue().count(b"ready") == 2)
        workers = fleet.workers("emails")
        assert len({worker.name for worker in workers}) == len({worker.metrics_url for worker in workers}) == 2
        for worker in workers:
            assert f"[{worker.name}] ready {worker.name}\n".encode() in log.getvalue()
            assert worker.state is WorkerProcessState.RUNNING
        assert fleet.workers("images") == []


async def test_a_stopped_member_ends_and_is_no_member_any_more() -> None:
    """It is stopping until its process has ended, however often it is asked."""
    async with fleet_of(OBEDIENT) as (fleet, log):
        fleet.start("emails", 2)
        await until(lambda: log.getvalue().count(b"ready") == 2)
        leaving, staying = fleet.workers()
        fleet.stop(leaving.name)
        fleet.stop(leaving.name)
        assert fleet.workers()[0].state is WorkerProcessState.STOPPING
        await until(lambda: len(fleet.workers()) == 1)
        assert fleet.workers()[0].name == staying.name
        fleet.stop(leaving.name)


async def test_a_crashed_worker_is_restarted_with_increasing_delays() -> None:
    """Its restarts are counted, and the last line of its output is kept."""
    async with fleet_of(CRASHING) as (fleet, log):
        fleet.start("emails", 1)
        await until(lambda: fleet.workers()[0].restarts == 2)
        (worker,) = fleet.workers()
        assert worker.state is WorkerProcessState.CRASHED
        assert worker.last_line == "no such app"
        assert b"exited with code 3; restarting in 0.5 s" in log.getvalue()
        assert b"exited with code 3; restarting in 1 s" in log.getvalue()


async def test_a_restart_keeps_the_name_and_is_no_crash() -> None:
    """After a change of code the same worker runs in a new process."""
    async with fleet_of(OBEDIENT) as (fleet, log):
        fleet.start("emails", 1)
        await until(lambda: log.getvalue().count(b"ready") == 1)
        (before,) = fleet.workers()
        fleet.restart(before.name)
        await until(lambda: log.getvalue().count(b"ready") == 2)
        (after,) = fleet.workers()
        assert (after.name, after.restarts) == (before.name, 0)
        assert after.pid != before.pid


async def test_closing_kills_what_ignores_sigterm() -> None:
    """After the grace, and nothing is left (the fixture would fail)."""
    async with fleet_of(STUBBORN) as (fleet, log):
        fleet.start("emails", 1)
        await until(lambda: b"ready" in log.getvalue())
        started = time.monotonic()
        await fleet.close(grace_seconds=0.1)
        assert time.monotonic() - started < 50  # it would go on for a minute
        assert fleet.workers() == []


async def test_a_member_whose_child_lives_on_is_seen_to_have_ended() -> None:
    """The child still holds the output's pipe."""
    async with fleet_of(PARENT) as (fleet, _):
        fleet.start("emails", 1)
        await until(lambda: fleet.workers()[0].state is WorkerProcessState.CRASHED, within=1.9)


async def test_a_member_gets_its_settings_and_none_of_ours() -> None:
    """A variable of Penstock in our own environment does not leak into a worker; others do."""
    show = "import os, signal; print(os.environ.get('PENSTOCK_LEASE_SECONDS'), os.environ['X']); signal.pause()"
    async with fleet_of(show, PENSTOCK_LEASE_SECONDS="3", X="kept") as (fleet, log):
        fleet.start("emails", 1)
        await until(lambda: b"\n" in log.getvalue())
        assert b"] 15 kept\n" in log.getvalue()
