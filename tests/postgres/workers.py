"""`penstock worker` as a child process of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.postgres import desk

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
"""How long a stop may take; a test of its speed measures it."""


class WorkerProcess:
    """`penstock worker` as a child process. What it says is read all along: a full pipe would block it."""

    def __init__(self, url: str, trace: Path, app: str = "tests.postgres.jobs:app", **settings: object) -> None:
        environment = {
            **os.environ,
            "TRACE": str(trace),
            "PENSTOCK_DATABASE_URL": url,
            "PENSTOCK_QUEUE": "q",
            "PENSTOCK_HTTP_PORT": "0",
            "PENSTOCK_POLL_SECONDS": "0.5",
            "PENSTOCK_BACKOFF_BASE_SECONDS": "0.01",
            "PENSTOCK_BACKOFF_STRATEGY": "constant",
            "PENSTOCK_DRAIN_TIMEOUT_SECONDS": "8",
            **{f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()},
        }
        command = [sys.executable, "-m", "penstock", "worker", app]
        self.process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        self._url = url
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, name=f"worker-{self.pid}-says", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def row(self, db: psycopg.Connection) -> tuple:
        """id, state and http address of this process in the registry."""
        query = "SELECT id, state, info ->> 'http' FROM penstock.worker WHERE identity LIKE %s ORDER BY id DESC LIMIT 1"
        desk.until(lambda: db.execute(query, [f"%:{self.pid}"]).fetchone())
        row = db.execute(query, [f"%:{self.pid}"]).fetchone()
        assert row is not None
        return row

    def get(self, db: psycopg.Connection, path: str) -> tuple[int, str]:
        address = self.row(db)[2]
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metric(self, db: psycopg.Connection, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.get(db, "/metrics")[1])
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def said(self) -> str:
        """What it has said so far."""
        return "".join(self._said)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait; exit code and what it said."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait until it and every process with its stderr have ended; exit code and what it said."""
        code = self.process.wait(SECONDS)
        self._reader.join(SECONDS)
        said = "".join(self._said)
        print(said)  # what a failed test shows
        assert not self._reader.is_alive(), "somebody still has the stderr of the worker, which has ended"
        return code, said

    def kill(self) -> None:
        """SIGKILL, frozen or not, and wait; ended already is well too."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.ended()

    def _read(self) -> None:
        stderr = self.process.stderr
        assert stderr is not None
        with stderr:
            self._said.extend(stderr)


def lines(trace: Path) -> list[str]:
    return trace.read_text(encoding="utf-8").splitlines()
