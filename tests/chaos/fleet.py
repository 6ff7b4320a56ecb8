"""What a chaos run is made of: a server that can be killed, worker processes, producers that know what they committed.

Faults are in faults.py, what must hold afterwards in verdict.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from penstock.job import NewJob, UniqueKey
from penstock.store import enqueue_on, migrate
from tests.chaos import jobs
from tests.support.postgres_proxy import Proxy

if TYPE_CHECKING:
    from penstock.dev.postgres.server import EmbeddedPostgres

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 1.0
WORKERS = 3


class Site:
    """One server of our own, a proxy before it, and workers that connect through the proxy."""

    def __init__(
        self, server: EmbeddedPostgres, ledger_url: str, folder: Path, app: str = "tests.chaos.jobs:app"
    ) -> None:
        self.server, self.ledger_url, self.folder, self.app = server, ledger_url, folder, app
        migrate(server.url)
        with self.admin() as admin:
            admin.execute("CREATE TABLE orders (ids bigint[] NOT NULL)")
        self.proxy = Proxy(server.url)
        self.workers: list[Worker] = []
        self.ended_by_themselves: list[str] = []
        self._started = 0

    def admin(self) -> psycopg.Connection[Any]:
        """A connection past the proxy that may write whatever the server's default says."""
        return psycopg.connect(self.server.url, autocommit=True, options="-c default_transaction_read_only=off")

    def staff(self) -> None:
        """Have the full number of workers run; note those that ended although nobody ended them."""
        for worker in list(self.workers):
            if worker.process.poll() is not None:
                self.workers.remove(worker)
                if worker.served:
                    self.ended_by_themselves.append(worker.said[-2000:])
        while len(self.workers) < WORKERS:
            self._started += 1
            log = self.folder / f"worker-{self._started}.log"
            self.workers.append(Worker(self.proxy.url, self.ledger_url, log, self.app))

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.proxy.close()


class Worker:
    """`penstock worker` as a child process."""

    def __init__(self, url: str, ledger_url: str, log: Path, app: str) -> None:
        environment = {
            **os.environ,
            jobs.LEDGER: ledger_url,
            "PENSTOCK_DATABASE_URL": url,
            "PENSTOCK_QUEUE": jobs.QUEUE,
            "PENSTOCK_HTTP_PORT": "0",
            "PENSTOCK_POLL_SECONDS": "0.5",
            "PENSTOCK_BACKOFF_BASE_SECONDS": "0.05",
            "PENSTOCK_BACKOFF_STRATEGY": "constant",
            "PENSTOCK_LEASE_SECONDS": str(LEASE_SECONDS),
            "PENSTOCK_CONCURRENCY": "4",
            "PENSTOCK_DRAIN_TIMEOUT_SECONDS": "10",
        }
        self._log = log
        command = [sys.executable, "-m", "penstock", "worker", app]
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=file, stderr=file)

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def served(self) -> bool:
        """Whether it ever came to work; a worker that starts during an outage may give up."""
        return "worker started" in self.said

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(60)

    def terminate(self) -> int:
        """SIGTERM and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(90)


class Producer:
    """Enqueues in transactions that also write a row, through the proxy; some are rolled back."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site, self._rng = site, random.Random(seed)
        self.acknowledged: set[int] = set()
        self.rolled_back: set[int] = set()
        self.unknown = 0
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"producer-{seed}")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while not self.stopping.is_set():
            with contextlib.suppress(psycopg.Error), self._connect() as connection:
                while not self.stopping.wait(0.03):
                    self._transaction(connection)
            self.stopping.wait(0.05)

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._site.proxy.url, connect_timeout=2, tcp_user_timeout=2000)

    def _transaction(self, connection: psycopg.Connection) -> None:
        ids: list[int] = []
        try:
            ids = enqueue_on(connection, [self._job() for _ in range(self._rng.randint(1, 4))])
            if self._rng.random() < 0.2:
                connection.rollback()
                self.rolled_back.update(ids)
                return
            connection.execute("INSERT INTO orders VALUES (%s)", [ids])
            connection.commit()
            self.acknowledged.update(ids)
            if self._rng.random() < 0.05:
                connection.execute("SELECT penstock.cancel_jobs(%s)", [ids[:1]])
                connection.commit()
        except Exception as error:
            self.unknown += bool(ids)
            raise psycopg.OperationalError(str(error)) from error

    def _job(self) -> NewJob:
        task = self._rng.choice(["write"] * 8 + ["falter", "put_off", "doomed"])
        args = f'{{"seconds": {self._rng.choice([0, 0, 0.01, 0.3]):g}}}' if task == "write" else "{}"
        delay = 0.2 if self._rng.random() < 0.1 else None
        unique = UniqueKey(key=str(time.monotonic_ns())) if self._rng.random() < 0.1 else None
        priority = self._rng.randint(0, 3)
        return NewJob(task=task, args=args, queue=jobs.QUEUE, delay=delay, unique=unique, priority=priority)
