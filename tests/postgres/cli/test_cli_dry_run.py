"""A dry run by id, on a real server: what would become of each job."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.postgres import desk
from tests.postgres.shell import Shell, end, put
from tests.support.postgres import Database


@pytest.fixture
def shell(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """As the owner."""
    return Shell(pg_newest.url, capsys, monkeypatch)


@pytest.fixture
def db(newest: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """On the newest server alone."""
    return newest


def test_a_dry_run_by_id_looks_up_each_job(shell, db):
    """Waiting, running, finished and unknown jobs; nothing is changed."""
    worker = desk.register(db)
    put(db, count=2)
    put(db, p_delays=[60.0])
    end(db, worker, "completed", "done")
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
    before = db.execute("SELECT id, state FROM penstock.jobs ORDER BY id").fetchall()
    asked = ("jobs", "cancel", "1", "2", "3", "99", "--dry-run")
    assert shell.value(*asked) == {
        "matched": 2,
        "dry_run": True,
        "jobs": [
            {"id": 1, "state": "completed", "would": "left"},
            {"id": 2, "state": "running", "would": "cancelling"},
            {"id": 3, "state": "scheduled", "would": "cancelled"},
            {"id": 99, "state": None, "would": "left"},
        ],
    }
    code, out, err = shell.run(*asked)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["ID", "STATE", "WOULD"],
        ["1", "completed", "left"],
        ["2", "running", "cancelling"],
        ["3", "scheduled", "cancelled"],
        ["99", "no", "such", "job", "left"],
        ["would", "cancel", "2", "jobs;", "nothing", "was", "changed"],
    ]
    assert db.execute("SELECT id, state FROM penstock.jobs ORDER BY id").fetchall() == before


def test_the_command_does_what_its_dry_run_reported(shell, db):
    """For `jobs retry`, by the same word."""
    put(db, p_delays=[60.0])
    put(db)
    dry = shell.value("jobs", "retry", "1", "2", "--dry-run")
    assert [one["would"] for one in dry["jobs"]] == ["ready", "left"]
    done = shell.value("jobs", "retry", "1", "2")
    assert (dry["matched"], done["ready"], done["left"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("command", "state", "result"),
    [
        ("jobs cancel", "queued", "cancelled"),
        ("jobs retry", "scheduled", "ready"),
        ("dead redrive", "dead", "redriven"),
        ("dead discard", "dead", "discarded"),
    ],
)
def test_all_bulk_commands_share_dry_run_counts_and_output(shell, db, command: str, state: str, result: str):
    """By id and by filter: the dry run reports what the command then does, and unknown ids are left."""
    worker = desk.register(db)
    if state == "dead":
        put(db)
        [job_id] = end(db, worker, "failed", "exhausted")
    else:
        [job_id] = put(db, p_delays=[60.0]) if state == "scheduled" else put(db)
    by_id = [*command.split(), str(job_id), "99"]
    dry = shell.value(*by_id, "--dry-run")
    assert dry == {
        "matched": 1,
        "dry_run": True,
        "jobs": [{"id": job_id, "state": state, "would": result}, {"id": 99, "state": None, "would": "left"}],
    }
    by_filter = shell.value(*command.split(), "--queue", "q", "--dry-run")
    assert (by_filter["matched"], by_filter[result], by_filter["left"]) == (1, 0, 0)
    done = shell.value(*by_id)
    assert (done["matched"], done["dry_run"], done[result], done["left"]) == (2, False, 1, 1)
    assert shell.run(*command.split(), "--queue", "nowhere", "--yes")[1].endswith("match; nothing was changed\n")
