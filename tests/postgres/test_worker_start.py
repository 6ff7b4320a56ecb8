"""A worker that has not come up yet: what a signal does to it."""

from __future__ import annotations

import pytest

from tests.postgres import desk, starting_jobs
from tests.postgres.executors import alive
from tests.postgres.workers import lines


@pytest.mark.parametrize("where", ["worker", "child"])
def test_on_sigterm_during_its_start_a_worker_ends_at_once(start, newest, trace, monkeypatch, where):
    """Nothing was claimed, so there is nothing to drain: a child has a minute to come up, a pod has half of that."""
    monkeypatch.setenv("PENSTOCK_TEST_HANGS", where)
    worker = start(app=starting_jobs.APP, drain_timeout_seconds=300)
    desk.until(lambda: [line for line in lines(trace) if line.startswith(where)], 30)
    code, said = worker.end()
    assert code == 0, said
    assert "told to leave before the start is over" in said
    assert newest.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
    assert not [line for line in lines(trace) if alive(int(line.split()[1]))]
