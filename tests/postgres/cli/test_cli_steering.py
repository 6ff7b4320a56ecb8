"""The commands that change something, on a real server: what they change, after which question, by whom."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from penstock.store import grants_sql
from tests.postgres import desk
from tests.postgres.logins import Owned, logins
from tests.postgres.shell import Shell, a_scene, end, put
from tests.support.postgres import Database


@pytest.fixture
def shell(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """As the owner."""
    return Shell(pg_newest.url, capsys, monkeypatch)


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection[Any]]:
    with pg_newest.connect() as connection:
        yield connection


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["jobs", "show", "99"], 1, "there is no job 99"),
        (["dead", "show", "99"], 1, "there is no dead letter 99"),
        (["dead", "show", "4"], 1, "no dead letter 4: the job is queued"),
        (["queues", "pause", "q", "nowhere"], 1, "there is no queue nowhere; nothing was changed"),
        (["queues", "stats", "nowhere"], 1, "there is no queue nowhere"),
        (["queues", "pause", "a b"], 2, "name must be"),
        (["jobs", "list", "--state", "lost"], 2, "state must be one of"),
        (["jobs", "list", "--since", "soon"], 2, "since must be"),
        (["jobs", "show", "0"], 2, "ID"),
        (["jobs", "list", "-o", "xml"], 2, "xml"),
        (["jobs", "cancel"], 2, "which jobs?"),
        (["jobs", "cancel", "1", "--queue", "q"], 2, "not both"),
        (["jobs", "cancel", "--state", "dead"], 2, "state must be one of scheduled, queued, running"),
        (["dead", "redrive"], 2, "which dead letters?"),
        (["jobs", "cancel", "--all"], 2, "Cancel 3 jobs? There is no terminal to answer: give --yes"),
        (["jobs", "retry", "--all"], 2, "Make 1 deferred job ready? There is no terminal"),
        (["dead", "redrive", "--all"], 2, "Redrive 1 dead letter? There is no terminal"),
        (["dead", "discard", "--queue", "q"], 2, "Discard 1 dead letter? There is no terminal"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(shell, db, monkeypatch, arguments, code, named):
    """Exit code 1: it does not exist; 2: invalid input."""
    a_scene(db)
    monkeypatch.setattr(sys, "stdin", open("/dev/null", encoding="utf-8"))  # noqa: PTH123, SIM115
    before = db.execute("SELECT id, state FROM penstock.jobs ORDER BY id").fetchall()
    found, out, err = shell.run(*arguments)
    sys.stdin.close()
    assert (found, out) == (code, "")
    assert named in err
    assert db.execute("SELECT id, state FROM penstock.jobs ORDER BY id").fetchall() == before
    assert db.execute("SELECT count(*) FROM penstock.queue WHERE paused_at IS NOT NULL").fetchone() == (0,)


def test_jobs_are_cancelled_by_filter_after_a_dry_run(shell, db):
    """Waiting jobs are cancelled, running ones asked to stop; there are more jobs than one batch has."""
    worker = desk.register(db)
    put(db, count=1201)
    put(db, queue="other")
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
    dry = shell.value("jobs", "cancel", "--queue", "q", "--dry-run")
    assert dry == {"matched": 1201, "dry_run": True, "cancelled": 0, "cancelling": 0, "left": 0}
    assert (
        shell.run("jobs", "cancel", "--queue", "q", "--dry-run")[1] == "would cancel 1,201 jobs; nothing was changed\n"
    )
    done = shell.value("jobs", "cancel", "--queue", "q", "--yes", "--reason", "incident 7")
    assert done == {"matched": 1201, "dry_run": False, "cancelled": 1200, "cancelling": 1, "left": 0}
    left = db.execute("SELECT state, count(*) FROM penstock.jobs GROUP BY state ORDER BY state").fetchall()
    assert left == [("cancelled", 1200), ("queued", 1), ("running", 1)]
    assert db.execute("SELECT DISTINCT reason FROM penstock.outcome").fetchone() == ("incident 7",)
    assert shell.value("jobs", "cancel", "2", "99")["left"] == 2
    last = db.execute("SELECT max(id) FROM penstock.job").fetchone()
    assert last is not None
    assert shell.value("jobs", "cancel", str(last[0]))["cancelled"] == 1
    assert "on the command line" in shell.value("jobs", "why", str(last[0]))["message"]


def test_deferred_jobs_are_made_ready(shell, db):
    """By id or filter; what is not deferred is left."""
    put(db, count=2, p_delays=[60.0, 60.0])
    put(db)
    assert shell.run("jobs", "retry", "1", "3")[1] == "1 ready, 1 left\n"
    assert shell.value("jobs", "retry", "--queue", "q", "--yes") == {
        "matched": 1,
        "dry_run": False,
        "ready": 1,
        "left": 0,
    }
    assert db.execute("SELECT count(*) FROM penstock.job WHERE ord IS NOT NULL").fetchone() == (3,)


def test_dead_letters_are_redriven_and_discarded_by_filter(shell, db):
    """Counted first; a dead letter whose unique key is taken is left and named."""
    worker = desk.register(db)
    put(db, p_unique_keys=["k"])
    put(db, count=2)
    end(db, worker, "failed", "exhausted", count=2)
    end(db, worker, "failed", "invalid_arguments")
    put(db, p_unique_keys=["k"])
    counts = shell.value("dead", "list", "--counts")
    assert [(one["reason"], one["count"]) for one in counts] == [("exhausted", 2), ("invalid_arguments", 1)]
    dry = shell.value("dead", "redrive", "--error", "valueerror", "--dry-run")
    assert dry == {"matched": 3, "dry_run": True, "redriven": 0, "left": 0, "kept": {}}
    code, out, err = shell.run("dead", "redrive", "--reason", "exhausted", "--yes")
    assert (code, out) == (0, "1 redriven, 1 left\n  1: left, because its unique key belongs to job 4\n")
    assert "exhausted" in err
    assert shell.value("dead", "redrive", "1", "--drop-key") == {
        "matched": 1,
        "dry_run": False,
        "redriven": 1,
        "left": 0,
        "kept": {},
    }
    assert shell.value("dead", "discard", "--all", "--yes") == {
        "matched": 1,
        "dry_run": False,
        "discarded": 1,
        "left": 0,
    }
    assert shell.run("dead", "discard", "--all", "--yes")[1] == "no dead letters match; nothing was changed\n"
    assert db.execute("SELECT count(*) FROM penstock.dead").fetchone() == (0,)


def test_an_operator_may_change_what_an_observer_may_not(pg_newest, db, capsys, monkeypatch):
    """What is refused says which grants are missing."""
    commands = [
        ["queues", "pause", "q"],
        ["queues", "resume", "q"],
        ["jobs", "retry", "1"],
        ["jobs", "cancel", "4"],
        ["dead", "redrive", "2"],
        ["dead", "discard", "2"],
    ]
    a_scene(db)
    with logins(pg_newest, "observer", "operator") as both:
        for role, login in zip(("observer", "operator"), both, strict=True):
            db.execute(grants_sql(role, login.partition(":")[0]).encode())
            shell = Shell(Owned(pg_newest, login).url(login), capsys, monkeypatch)
            for command in commands:
                code, _, err = shell.run(*command)
                assert code == (1 if role == "observer" and command[1] != "resume" else 0), (role, command, err)
                assert code == 0 or "`penstock grants`" in err


def test_a_queue_is_paused_and_resumed(shell, db):
    """The list says for how long and by whom; a pause by the JobQueue itself gives a warning that it will return."""
    db.execute("SELECT penstock.declare_queue('q', 'uid', 1, false, 5::smallint, NULL, NULL, 60, '{}')")
    assert shell.run("queues", "pause", "q", "--dry-run")[1] == "would pause q; nothing was changed\n"
    assert shell.value("queues", "pause", "q")["paused"] == ["q"]
    [row] = shell.value("queues", "list")
    assert (row["paused"] >= 0, row["paused_by"]) == (True, db.info.user)
    assert f"by {db.info.user}" in shell.run("queues", "list")[1]
    assert shell.value("queues", "pause", "q")["paused"] == []
    assert shell.run("queues", "resume", "q") == (0, "resumed q\n", "")
    db.execute("SELECT penstock.declare_queue('q', 'uid', 2, true, 5::smallint, NULL, NULL, 60, '{}')")
    code, out, err = shell.run("queues", "resume", "q")
    assert (code, out) == (0, "resumed q\n")
    assert "spec.stopPolicy" in err


def test_a_bench_measures_and_leaves_nothing(shell, db):
    """Each job finishes once; only the owner may run it, because it deletes."""
    put(db)
    found = shell.value("bench", "--jobs", "50", "--concurrency", "5", "--timeout", "100")
    assert (found["jobs"], found["each_exactly_once"]) == (50, True)
    assert min(found["enqueue_per_second"], found["drain_per_second"], found["idle_wait_p50_ms"]) > 0
    for table, count in (("queue", 1), ("job", 1), ("outcome", 0), ("worker", 0)):
        assert db.execute(f"SELECT count(*) FROM penstock.{table}".encode()).fetchone() == (count,)


def test_a_bench_by_a_login_that_may_not_delete_writes_nothing(pg_newest, db, capsys, monkeypatch):
    """It is refused before the first job."""
    with logins(pg_newest, "operator") as [login]:
        db.execute(grants_sql("operator", login.partition(":")[0]).encode())
        code, _, err = Shell(Owned(pg_newest, login).url(login), capsys, monkeypatch).run("bench")
    assert (code, "needs the schema's owner" in err) == (1, True)
    assert db.execute("SELECT count(*) FROM penstock.queue").fetchone() == (0,)
