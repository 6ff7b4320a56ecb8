"""`penstock worker` as a child process of a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.postgres import desk

ROOT = Path(__file__).parents[2]


class WorkerProcess:
    """`penstock worker` as a child process."""

    def __init__(self, url: str, trace: Path, app: str = "tests.postgres.jobs:app", **settings: object) -> None:
        environment = {
            **os.environ, "TRACE": str(trace), "PENSTOCK_DATABASE_URL": url, "PENSTOCK_QUEUE": "q",
            "PENSTOCK_HTTP_PORT": "0", "PENSTOCK_POLL_SECONDS": "0.5", "PENSTOCK_BACKOFF_BASE_SECONDS": "0.01",
            "PENSTOCK_BACKOFF_STRATEGY": "constant", "PENSTOCK_DRAIN_TIMEOUT_SECONDS": "8",
            **{f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()},
        }  # fmt: skip
        command = [sys.executable, "-m", "penstock", "worker", app]
        self.process = subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self._url = url

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
            with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def metric(self, db: psycopg.Connection, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.get(db, "/metrics")[1])
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = 15) -> tuple[int, str]:
        """Send a signal and wait; exit code and what it said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=timeout)
        print(said)  # what a failed test shows
        return self.process.returncode, said


def lines(trace: Path) -> list[str]:
    return trace.read_text(encoding="utf-8").splitlines()
