"""The commands that look and steer, on a real server: what they say, what they change, and for whom."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml

from penstock.cli import main
from penstock.store import grants_sql
from tests.postgres import desk
from tests.postgres.logins import Owned, logins
from tests.support.postgres import Database

SECRET = "4929-1234"
EVIL = "work\x1b[2J"
ERROR = json.dumps({"type": "builtins.ValueError", "message": f"no {SECRET}", "traceback": f"at {SECRET}\x1b[2J"})
ACK = "SELECT * FROM penstock.ack(%s, %s, %s, %s, p_delays => %s, p_reasons => %s, p_errors => %s::jsonb[])"
READING = [
    ["queues", "list"], ["queues", "stats"], ["jobs", "list"], ["jobs", "show", "1"], ["jobs", "show", "2"],
    ["jobs", "why", "1"], ["dead", "list"], ["dead", "list", "--counts"], ["dead", "show", "2"], ["workers"],
    ["top", "--once"],
]  # fmt: skip


class Shell:
    """Runs commands in this process, as whoever `url` lets in."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.url, self._capsys, self._monkeypatch = url, capsys, monkeypatch
        monkeypatch.delenv("PENSTOCK_DIRECT_URL", raising=False)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        self._monkeypatch.setenv("PENSTOCK_DATABASE_URL", self.url)
        with pytest.raises(SystemExit) as exit_:
            main(list(arguments))
        said = self._capsys.readouterr()
        return int(exit_.value.code or 0), said.out, said.err

    def value(self, *arguments: str) -> Any:
        """What a command that succeeds gives as JSON, and the same as YAML."""
        code, out, err = self.run(*arguments, "-o", "json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def shell(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """As the owner."""
    return Shell(pg_newest.url, capsys, monkeypatch)


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection[Any]]:
    with pg_newest.connect() as connection:
        yield connection


def put(db: psycopg.Connection[Any], queue: str = "q", task: str = "work", count: int = 1, **columns: Any) -> list[int]:
    """Jobs with a secret in their arguments."""
    names = "".join(f", {name} => %s" for name in columns)
    args = [json.dumps({"card": SECRET})] * count
    query = f"SELECT penstock.enqueue_many(%s, %s, %s::jsonb[]{names})"
    row = db.execute(query.encode(), [[queue] * count, [task] * count, args, *columns.values()]).fetchone()
    assert row is not None
    return list(row[0])


def end(db: psycopg.Connection[Any], worker: desk.Worker, state: str, reason: str, *, count: int = 1) -> list[int]:
    """Claim and acknowledge; the ids."""
    token = desk.token()
    ids = [row[0] for row in db.execute(desk.CLAIM, [worker.id, worker.queue, count, token])]
    many = [[token] * len(ids), [state] * len(ids), [60.0] * len(ids), [reason] * len(ids), [ERROR] * len(ids)]
    assert db.execute(ACK, [worker.id, ids, *many]).fetchall() == []
    return ids


def a_scene(db: psycopg.Connection[Any]) -> desk.Worker:
    """Jobs 1 (deferred by an error), 2 (dead), 3 (completed), 4 (queued), 5 (of another queue)."""
    worker = desk.register(db)
    for state, reason in (("retry", "error"), ("failed", "exhausted"), ("completed", None)):
        put(db, task=EVIL)
        end(db, worker, state, reason)  # type: ignore[arg-type]
    put(db)
    put(db, queue="other", task="clean")
    return worker


@pytest.mark.parametrize("role", ["observer", "operator"])
def test_who_may_look_sees_states_and_no_contents(pg_newest, db, capsys, monkeypatch, role: str):
    """Every reading command, in every form: it works, and holds no argument, message or traceback."""
    a_scene(db)
    with logins(pg_newest, role) as [login]:
        db.execute(grants_sql(role, login.partition(":")[0]).encode())
        shell = Shell(Owned(pg_newest, login).url(login), capsys, monkeypatch)
        for command in READING:
            for form in ("table", "json", "yaml"):
                code, out, err = shell.run(*command, "-o", form)
                assert (code, bool(out)) == (0, True), (command, err)
                assert SECRET not in out + err
                assert "\x1b" not in out + err
        assert shell.value("jobs", "show", "2")["redacted"] is True
        assert shell.value("jobs", "list", "--error", "valueerror", "--state", "dead")[0]["message"] is None
        assert shell.value("jobs", "list", "--error", SECRET) == []
        assert shell.value("dead", "list", "--error", SECRET) == []


def test_the_owner_sees_everything_and_a_hostile_text_as_escapes(shell, db):
    """Arguments, messages and tracebacks; a terminal stays as it is."""
    a_scene(db)
    for command in READING:
        code, out, err = shell.run(*command)
        assert (code, bool(out)) == (0, True), (command, err)
        assert "\x1b" not in out + err
    out = shell.run("dead", "show", "2")[1]
    assert SECRET in out
    assert "work\\x1b[2J" in out
    assert f"  at {SECRET}\\x1b[2J" in out
    shown = shell.value("jobs", "show", "3")
    assert shown["job"]["args"] == {"card": SECRET}
    assert [one["state"] for one in shown["attempts"]] == ["completed"]
    assert shell.value("jobs", "list", "--error", SECRET)[0]["task"] == EVIL
    assert yaml.safe_load(shell.run("jobs", "show", "3", "-o", "yaml")[1]) == shown


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ([], [5, 4, 3, 2, 1]),
        (["--queue", "q"], [4, 3, 2, 1]),
        (["--queue", "nowhere"], []),
        (["--task", "clean"], [5]),
        (["--state", "dead", "--state", "completed"], [3, 2]),
        (["--state", "scheduled"], [1]),
        (["--error", "NO 4929"], [3, 2, 1]),
        (["--error", "exhausted"], [2]),
        (["--since", "1h"], [5, 4, 3, 2, 1]),
        (["--since", "0s"], []),
        (["--limit", "2"], [5, 4]),
        (["--limit", "2", "--before", "4"], [3, 2]),
    ],
)
def test_a_list_has_what_its_filter_says(shell, db, arguments: list[str], ids: list[int]):
    """Newest first; ended ones too."""
    a_scene(db)
    assert [row["id"] for row in shell.value("jobs", "list", *arguments)] == ids


def test_a_full_list_says_how_to_go_on(shell, db):
    """On stderr, beside the table."""
    put(db, count=3)
    code, out, err = shell.run("jobs", "list", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert err == "penstock: the first 2; the next: --before 2\n"
    assert shell.run("jobs", "list", "--state", "dead") == (0, "", "no such jobs\n")


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["jobs", "show", "99"], 1, "there is no job 99"),
        (["dead", "show", "99"], 1, "there is no dead letter 99"),
        (["dead", "show", "4"], 1, "no dead letter 4: it is queued"),
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
        (["jobs", "cancel", "--all"], 2, "Cancel 3 jobs? nobody can answer here: give --yes"),
        (["jobs", "retry", "--all"], 2, "Make 1 deferred jobs ready now? nobody can answer"),
        (["dead", "redrive", "--all"], 2, "Bring back 1 dead letters? nobody can answer"),
        (["dead", "discard", "--queue", "q"], 2, "Throw away 1 dead letters? nobody can answer"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(shell, db, monkeypatch, arguments, code, named):
    """Exit code 1: it is not there; 2: it was asked for in a wrong way."""
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
    """One that waits ends, one that runs is told, others are left; a batch is more than a page of a list."""
    worker = desk.register(db)
    put(db, count=1201)
    put(db, queue="other")
    db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
    dry = shell.value("jobs", "cancel", "--queue", "q", "--dry-run")
    assert dry == {"matched": 1201, "dry_run": True, "cancelled": 0, "cancelling": 0, "left": 0}
    assert shell.run("jobs", "cancel", "--queue", "q", "--dry-run")[1] == "would cancel 1,201; nothing was changed\n"
    done = shell.value("jobs", "cancel", "--queue", "q", "--yes", "--reason", "incident 7")
    assert done == {"matched": 1201, "dry_run": False, "cancelled": 1200, "cancelling": 1, "left": 0}
    left = db.execute("SELECT state, count(*) FROM penstock.jobs GROUP BY state ORDER BY state").fetchall()
    assert left == [("cancelled", 1200), ("queued", 1), ("running", 1)]
    assert db.execute("SELECT DISTINCT reason FROM penstock.outcome").fetchone() == ("incident 7",)
    assert shell.value("jobs", "cancel", "2", "99")["left"] == 2


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


def test_dead_letters_are_brought_back_and_thrown_away_by_filter(shell, db):
    """Counted before, done after; one whose key is taken stays and is named."""
    worker = desk.register(db)
    put(db, p_unique_keys=["k"])
    put(db, count=2)
    end(db, worker, "failed", "exhausted", count=2)
    end(db, worker, "failed", "invalid_arguments")
    put(db, p_unique_keys=["k"])
    counts = shell.value("dead", "list", "--counts")
    assert [(one["reason"], one["count"]) for one in counts] == [("exhausted", 2), ("invalid_arguments", 1)]
    dry = shell.value("dead", "redrive", "--error", "valueerror", "--dry-run")
    assert dry == {"matched": 3, "dry_run": True, "redriven": 0, "kept": {}}
    code, out, err = shell.run("dead", "redrive", "--reason", "exhausted", "--yes")
    assert (code, out) == (0, "1 redriven, 1 stay dead\n  1: its unique key is held by job 4\n")
    assert "exhausted" in err
    assert shell.value("dead", "redrive", "1", "--drop-key") == {
        "matched": 1,
        "dry_run": False,
        "redriven": 1,
        "kept": {},
    }
    assert shell.value("dead", "discard", "--all", "--yes") == {"matched": 1, "dry_run": False, "discarded": 1}
    assert shell.run("dead", "discard", "--all", "--yes")[1] == "no dead letters match; nothing was changed\n"
    assert db.execute("SELECT count(*) FROM penstock.dead").fetchone() == (0,)


def test_an_operator_steers_and_an_observer_does_not(pg_newest, db, capsys, monkeypatch):
    """The same commands, by rights; what is refused says which grants are missing."""
    commands = [
        ["queues", "pause", "q"], ["queues", "resume", "q"], ["jobs", "retry", "1"], ["jobs", "cancel", "4"],
        ["dead", "redrive", "2"], ["dead", "discard", "2"],
    ]  # fmt: skip
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
    """The list says since when and by whom; a pause by the JobQueue itself is told to come back."""
    db.execute("SELECT penstock.declare_queue('q', 'uid', 1, false, 5::smallint, NULL, NULL, 60, '{}')")
    assert shell.run("queues", "pause", "q", "--dry-run")[1] == "would have paused q; nothing was changed\n"
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


def test_stats_count_the_outcomes_of_a_time(shell, db):
    """By how attempts ended; waits and run times beside."""
    a_scene(db)
    by_name = {row["name"]: row for row in shell.value("queues", "stats", "--since", "10m")}
    q = by_name["q"]
    assert (q["completed"], q["retried"], q["dead"], q["cancelled"]) == (1, 1, 1, 0)
    assert q["wait_p50"] >= 0
    assert by_name["other"]["completed"] == 0
    assert shell.value("queues", "stats", "q", "--since", "1s")[0]["name"] == "q"


def test_workers_are_listed_with_what_they_have_held_for_longest(shell, db):
    """And a lease that is over is told."""
    worker = desk.register(db)
    put(db, count=2)
    assert shell.value("workers")[0]["oldest_job"] is None
    db.execute(desk.CLAIM, [worker.id, worker.queue, 2, desk.token()])
    desk.lapse(db, worker)
    [row] = shell.value("workers", "--queue", "q")
    assert (row["oldest_job"], row["oldest_task"], row["queues"]) == (1, "work", ["q"])
    assert row["lease_left"] < 0
    assert "running, lapsed" in shell.run("workers")[1]
    assert shell.value("workers", "--queue", "other") == []


def test_top_is_one_picture_or_one_after_the_other(shell, db, monkeypatch):
    """Elsewhere than on a terminal pictures follow each other; a second one has a rate."""
    a_scene(db)
    picture = shell.value("top", "--once", "--queue", "q")
    assert [row["name"] for row in picture["queues"]] == ["q"]
    assert [row["id"] for row in picture["dead"]] == [2]
    from penstock.cli import top as module
    from penstock.store.reading import Reader

    now = iter([0.0, 2.0])
    with Reader(shell.url) as reader:
        look = module.Top(reader, queue=None, clock=lambda: next(now))
        assert look.picture()["per_second"] is None
        db.execute("UPDATE penstock.worker SET done = '{\"q\": 10}'")
        second = look.picture()
    assert second["per_second"] == 5.0
    assert "1 workers, 5.0 jobs/s" in module.drawn(second)


def test_a_look_that_takes_too_long_is_given_up_with_advice(pg_newest, db):
    """The server ends it; the next look works."""
    from penstock.errors import StoreError
    from penstock.store.reading import Reader

    put(db)
    with Reader(pg_newest.url, timeout=0.05) as reader, psycopg.connect(pg_newest.url) as holder:
        holder.execute("LOCK TABLE penstock.job IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="ask for less"):
            reader.queues()
        holder.rollback()
        assert len(reader.queues()) == 1


def test_a_bench_measures_and_leaves_nothing(shell, db):
    """Each job once; only the owner may, because it deletes."""
    put(db)
    found = shell.value("bench", "--jobs", "50", "--concurrency", "5", "--timeout", "100")
    assert (found["jobs"], found["each_exactly_once"]) == (50, True)
    assert min(found["enqueue_per_second"], found["drain_per_second"], found["idle_wait_p50_ms"]) > 0
    for table, count in (("queue", 1), ("job", 1), ("outcome", 0), ("worker", 0)):
        assert db.execute(f"SELECT count(*) FROM penstock.{table}".encode()).fetchone() == (count,)


def test_a_bench_by_who_may_not_delete_writes_nothing(pg_newest, db, capsys, monkeypatch):
    """It is refused before the first job."""
    with logins(pg_newest, "operator") as [login]:
        db.execute(grants_sql("operator", login.partition(":")[0]).encode())
        code, _, err = Shell(Owned(pg_newest, login).url(login), capsys, monkeypatch).run("bench")
    assert (code, "needs the schema's owner" in err) == (1, True)
    assert db.execute("SELECT count(*) FROM penstock.queue").fetchone() == (0,)
