"""Workers whose clocks are years apart: every time that decides anything is the database's."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock import JobState
from tests.postgres import desk, jobs

SHIFT = """\"\"\"Loaded by Python at its start: the wall clock of this process is far off.\"\"\"
import os
import time

_shift = float(os.environ["CLOCK_SHIFT"])
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + _shift
time.time_ns = lambda: _time_ns() + int(_shift * 1e9)
"""
YEAR = 365.0 * 86_400


def test_clocks_that_are_years_apart_change_nothing(start, newest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One worker is a year ahead and one a year late: leases stand, delays pass, retries come, nobody is rescued."""
    (tmp_path / "sitecustomize.py").write_text(SHIFT, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    workers = []
    for shift in (YEAR, -YEAR):
        monkeypatch.setenv("CLOCK_SHIFT", str(shift))
        workers.append(start(lease_seconds=2, concurrency=2, max_demand=2))
    desk.until(lambda: newest.execute("SELECT count(*) FROM penstock.worker").fetchone() == (2,))
    handles = [jobs.gated.enqueue() for _ in range(12)]
    both = "SELECT count(DISTINCT worker), min(claimed_at) < clock_timestamp() - interval '5 s' FROM penstock.job"
    desk.until(lambda: newest.execute(both).fetchone() == (2, True))  # two leases and a half
    jobs.go().touch()
    later, failing = jobs.add.options(delay=0.7).enqueue(1, 2), jobs.fail.enqueue("again")
    assert [handle.result(timeout=60) for handle in handles] == [1] * 12
    assert later.result(timeout=60) == 3
    desk.until(lambda: failing.status() is JobState.DEAD)
    reported = newest.execute(
        "SELECT count(DISTINCT worker), max(crashes), bool_and(finished_at > claimed_at), "
        "max(finished_at) < clock_timestamp(), min(duration) >= 0 AND max(duration) < 10000 FROM penstock.outcome"
    ).fetchone()
    assert reported == (2, 0, True, True, True)
    assert newest.execute("SELECT count(*) FROM penstock.worker WHERE state = 'running'").fetchone() == (2,)
    early = "SELECT claimed_at - created_at >= interval '0.7 s' FROM penstock.outcome WHERE job_id = %s"
    assert newest.execute(early, [later.id]).fetchone() == (True,)
    for worker in workers:
        assert worker.end()[0] == 0
