"""A dry run by id looks the jobs up: which would be touched, and why the others would not."""

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


def test_cancelling_by_id_is_rehearsed_job_by_job(shell, db):
    """One that waits, one that runs, one that is over, one that never was; nothing is changed."""
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
        ["would", "cancel", "2", "of", "4;", "nothing", "was", "changed"],
    ]
    assert db.execute("SELECT id, state FROM penstock.jobs ORDER BY id").fetchall() == before


def test_what_a_rehearsal_foretells_is_what_is_done(shell, db):
    """By the same words, for those who retry too."""
    put(db, p_delays=[60.0])
    put(db)
    foretold = shell.value("jobs", "retry", "1", "2", "--dry-run")
    assert [one["would"] for one in foretold["jobs"]] == ["ready", "left"]
    done = shell.value("jobs", "retry", "1", "2")
    assert (foretold["matched"], done["ready"], done["left"]) == (1, 1, 1)
