"""The other bars of a worker: how soon a job starts, what an idle one costs, how soon another one takes over.

Times are of the machine's clock, on which workers, database and this process run. `since` is taken before
the call that enqueues, so the commit is part of the figure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

from benchmarks._contract import Report
from benchmarks._worker_app import app, hold, nap, stamp
from benchmarks._worker_site import ROOT, Site, quantile, until, workers

PICKUPS = 200
PRODUCERS = 4
OFFERED = 1000
OFFERED_SECONDS = 4
WATCH_SECONDS = 20.0
SETTLE_SECONDS = 12.0
"""Longer than the ten seconds after which an idle backend reports what it counted."""
LEASE_SECONDS = 5.0
NAPS = 2000


def results(site: Site, count: int) -> list[float]:
    """What so many jobs returned, each completed once."""
    until(lambda: site.value("SELECT count(*) FROM penstock.outcome") >= count)
    found = site.column("SELECT result::text FROM penstock.outcome WHERE state = 'completed'")
    assert len(found) == count, f"{len(found)} of {count} jobs completed"
    return found


def pickup(site: Site, report: Report) -> None:
    """Enqueue to start: on an idle worker, and at a thousand jobs a second."""
    site.clear()
    with workers(site):
        stamp.enqueue(time.time())  # the first opens connections on both sides
        results(site, 1)
        site.control.execute("TRUNCATE penstock.outcome")
        for number in range(PICKUPS):
            time.sleep(0.015 + 0.02 * (number % 7) / 7)
            stamp.enqueue(time.time())
        idle = results(site, PICKUPS)
        site.control.execute("TRUNCATE penstock.outcome")
        offered = [threading.Thread(target=_offer) for _ in range(PRODUCERS)]
        started = time.monotonic()
        for thread in offered:
            thread.start()
        for thread in offered:
            thread.join()
        rate = OFFERED * OFFERED_SECONDS / (time.monotonic() - started)
        loaded = results(site, OFFERED * OFFERED_SECONDS)
    for share, bar in ((50, 2.5), (95, 4), (99, 10)):
        report.add(f"pickup_ms_p{share}", quantile(idle, share / 100), "ms", bar=bar, better="lower")
    report.add("pickup_ms_p99_at_1000_per_second", quantile(loaded, 0.99), "ms", bar=25, better="lower")
    report.add("offered_jobs_per_second", rate, "jobs/s")


def _offer() -> None:
    """One producer's share, each job at its time; one that is late does not wait."""
    started = time.monotonic()
    for number in range(OFFERED * OFFERED_SECONDS // PRODUCERS):
        due = started + number * PRODUCERS / OFFERED
        time.sleep(max(0.0, due - time.monotonic()))
        stamp.enqueue(time.time())


def idle(site: Site, report: Report) -> None:
    """Two workers without jobs, of which one leads maintenance; and jobs that come due meanwhile."""
    site.clear()
    site.control.execute("ALTER SYSTEM SET autovacuum = off")  # its transactions would be counted
    site.control.execute("SELECT pg_reload_conf()")
    with workers(site) as (leader,):
        leading = _queries_per_second(site)
        with workers(site) as (other,):
            until(lambda: site.value("SELECT count(*) FROM penstock.worker WHERE state = 'running'") == 2)
            time.sleep(1.0)  # after its start-up
            cpu, started = other.cpu_us(), time.monotonic()
            both = _queries_per_second(site)
            share = (other.cpu_us() - cpu) / 1e6 / (time.monotonic() - started) * 100
            memory = other.rss_mib()
        site.control.execute("TRUNCATE penstock.outcome")
        for tenth in range(10):
            due = 2.0 + tenth / 4
            stamp.options(delay=timedelta(seconds=due)).enqueue(time.time() + due)
        late = results(site, 10)
        del leader
    site.control.execute("ALTER SYSTEM RESET autovacuum")
    site.control.execute("SELECT pg_reload_conf()")
    report.add("idle_leader_queries_per_second", leading, "1/s", bar=4, better="lower")
    report.add("idle_queries_per_second", both - leading, "1/s", bar=1, better="lower")
    report.add("idle_core_percent", share, "%", bar=1, better="lower")
    report.add("idle_rss_mib", memory, "MiB", bar=80, better="lower")
    report.add("scheduled_start_late_seconds", max(late) / 1000, "s", bar=1, better="lower")


def _queries_per_second(site: Site) -> float:
    """Transactions of the database without enqueues, minus those of this query."""
    query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
    time.sleep(SETTLE_SECONDS)
    before, started = site.value(query), time.monotonic()
    time.sleep(WATCH_SECONDS)
    return max(0.0, site.value(query) - before - 1) / (time.monotonic() - started)


def takeover(site: Site, report: Report) -> None:
    """The jobs of a killed worker run elsewhere; a terminated worker releases the jobs that it has not started."""
    site.clear()
    site.control.execute("TRUNCATE penstock.leader")  # of a run before
    lease = str(LEASE_SECONDS)
    with workers(site, PENSTOCK_LEASE_SECONDS=lease) as (first,):
        hold.enqueue()
        until(lambda: site.value("SELECT count(*) FROM penstock.job WHERE token IS NOT NULL") == 1)
        leads = f"SELECT count(*) FROM penstock.leader WHERE holder LIKE '%:{first.process.pid}'"
        until(lambda: site.value(leads) == 1)  # the worst to lose: its leadership has to run out as well
        with workers(site, PENSTOCK_LEASE_SECONDS=lease):
            until(lambda: site.value("SELECT count(*) FROM penstock.worker WHERE state = 'running'") == 2)
            first.stop(signal.SIGKILL)
            killed = time.time()
            again = results(site, 1)[0]
    report.add("rerun_seconds_after_the_lease", again - killed - LEASE_SECONDS, "s", bar=5, better="lower")
    site.clear()
    app.enqueue_many(nap.job(n) for n in range(NAPS))
    claimed = "SELECT count(*) FROM penstock.job WHERE token IS NOT NULL"
    with workers(site, PENSTOCK_CONCURRENCY="4", PENSTOCK_MAX_DEMAND="400", PENSTOCK_MIN_DEMAND="200") as (one,):
        until(lambda: site.value(claimed) > 100)
        number = one.process.pid
        terminated = time.monotonic()
        os.kill(number, signal.SIGTERM)
        until(lambda: site.value(claimed) <= 4, pause=0.005)
        report.add("release_seconds", time.monotonic() - terminated, "s", bar=1, better="lower")


def start_up(site: Site, report: Report) -> None:
    """How long the import of the public names takes."""
    del site
    program = "import time; t = time.perf_counter(); from penstock import App; print((time.perf_counter() - t) * 1000)"
    command = [sys.executable, "-c", program]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    report.add("import_ms", float(printed), "ms", bar=150, better="lower")
