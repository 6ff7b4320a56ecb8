"""What the parts of `benchmarks/worker` share: the server, worker processes, and what they cost by /proc.

CPU of the server is that of its postmaster and of all backends, including those that have exited. /proc
counts in ticks of 10 ms, so a figure per job needs some ten thousand jobs.
"""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

ROOT = pathlib.Path(__file__).parent.parent
TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
SERVER = {"shared_buffers": "512MB", "max_wal_size": "4GB", "autovacuum_naptime": "10s"}
WHOLE_CLAIMS = {"PENSTOCK_CONCURRENCY": "500", "PENSTOCK_MAX_DEMAND": "1000", "PENSTOCK_MIN_DEMAND": "500"}


@dataclass(frozen=True, slots=True)
class Site:
    """One server and a connection to it that is not measured."""

    url: str
    control: psycopg.Connection[tuple[Any, ...]]

    def value(self, query: str) -> float:
        """The one number of a query."""
        row = self.control.execute(query.encode()).fetchone()
        assert row is not None
        return float(row[0])

    def column(self, query: str) -> list[float]:
        """The first column."""
        return [float(row[0]) for row in self.control.execute(query.encode())]

    def clear(self) -> None:
        """No jobs, no workers."""
        self.control.execute("TRUNCATE penstock.job, penstock.outcome, penstock.dead, penstock.worker")
        self.control.execute("CHECKPOINT")

    def server_cpu_us(self) -> float:
        """CPU of the server since its start, microseconds."""
        backend = _stat(int(self.value("SELECT pg_backend_pid()")))
        assert backend is not None
        postmaster = int(backend[1])
        total = 0.0
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
                if int(entry.name) == postmaster:
                    total += sum(map(int, fields[11:15]))  # with those that it has reaped
                elif int(fields[1]) == postmaster:
                    total += int(fields[11]) + int(fields[12])
        return total * TICK_US


class WorkerProcess:
    """A `penstock worker` of its own; `stop` says what it cost."""

    def __init__(self, site: Site, **settings: str) -> None:
        environment = {
            **os.environ,
            "PENSTOCK_DATABASE_URL": site.url,
            "PENSTOCK_HTTP_PORT": "0",
            "PENSTOCK_LOG_LEVEL": "error",
            **settings,
        }
        command = [sys.executable, "-m", "penstock", "worker", "benchmarks._worker_app:app", "--queue", "bench"]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT)

    def cpu_us(self) -> float:
        """CPU so far, microseconds."""
        fields = _stat(self.process.pid)
        assert fields is not None
        return (int(fields[11]) + int(fields[12])) * TICK_US

    def rss_mib(self) -> float:
        """Memory it has now."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; returns its CPU in microseconds, start-up included."""
        if self.process.returncode is not None:
            return 0.0
        self.process.send_signal(number)
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return (usage.ru_utime + usage.ru_stime) * 1e6


@contextmanager
def workers(site: Site, count: int = 1, **settings: str) -> Iterator[list[WorkerProcess]]:
    """So many, registered; stopped when the block is left."""
    running: list[WorkerProcess] = []
    try:
        running.extend(WorkerProcess(site, **settings) for _ in range(count))
        registered = "SELECT count(*) FROM penstock.worker WHERE state = 'running'"
        until(lambda: _alive(running) and site.value(registered) >= count)
        yield running
    finally:
        for one in running:
            one.stop()


def _alive(running: list[WorkerProcess]) -> bool:
    for one in running:
        assert one.process.poll() is None, f"a worker ended by itself with {one.process.returncode}"
    return True


def until(true: Callable[[], bool], seconds: float = 120.0, pause: float = 0.02) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the benchmark waited in vain"
        time.sleep(pause)


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the command; None if the process has exited."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
