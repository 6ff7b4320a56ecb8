"""A worker that has not come up yet: what a signal does to it."""

from __future__ import annotations

import logging

import pytest

from penstock.runtime.config_warnings import log_config_warnings
from penstock.settings import Settings
from tests.postgres import desk
from tests.postgres.logins import member, owned_by_a_login
from tests.postgres.worker_process import starting_jobs
from tests.postgres.worker_process.executors import alive
from tests.postgres.workers import lines


@pytest.mark.parametrize("where", ["worker", "child"])
def test_on_sigterm_during_its_start_a_worker_ends_at_once(start, newest, trace, monkeypatch, where):
    """Nothing was claimed, so there is nothing to drain: a child has a minute to come up, a pod has half of that."""
    monkeypatch.setenv("PENSTOCK_TEST_HANGS", where)
    worker = start(app=starting_jobs.APP, drain_timeout_seconds=300)
    desk.until(lambda: [line for line in lines(trace) if line.startswith(where)], 30)
    code, said = worker.end()
    assert code == 0, said
    assert "signal received during the start" in said
    assert newest.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
    assert not [line for line in lines(trace) if alive(int(line.split()[1]))]


def test_a_deadline_that_nobody_declared_is_a_warning_at_the_start(start, newest):
    """The queue's row decides: set on a worker alone it had no effect, which nobody noticed."""
    worker = start(job_deadline_seconds=60)
    worker.row(newest)
    code, said = worker.end()
    assert code == 0
    assert "setting=PENSTOCK_JOB_DEADLINE_SECONDS value=60 queue=q declared=" in said


def test_a_login_that_may_not_see_the_declaration_starts_all_the_same(pg_blank, caplog):
    """The role of workers may not: it learns what decides, once, and nothing else happens."""
    caplog.set_level(logging.INFO)
    with owned_by_a_login(pg_blank) as database, member(database, "worker") as url:
        log_config_warnings(Settings(database_url=url, queue="q", job_deadline_seconds=60))
        log_config_warnings(Settings(database_url=url, queue="q"))
    [said] = caplog.records
    assert vars(said)["settings"] == "PENSTOCK_JOB_DEADLINE_SECONDS"
    assert "right" in vars(said)["error"]
