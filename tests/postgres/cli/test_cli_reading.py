"""The commands that only read, on a real server: what they print, in which form, and for which roles."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml

from penstock.store import grants_sql
from tests.postgres import desk
from tests.postgres.logins import Owned, logins
from tests.postgres.shell import EVIL, SECRET, Shell, a_scene, put
from tests.support.postgres import Database

READING = [
    ["queues", "list"],
    ["queues", "stats"],
    ["jobs", "list"],
    ["jobs", "show", "1"],
    ["jobs", "show", "2"],
    ["jobs", "why", "1"],
    ["dead", "list"],
    ["dead", "list", "--counts"],
    ["dead", "show", "2"],
    ["workers"],
    ["top", "--once"],
]


@pytest.fixture
def shell(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """As the owner."""
    return Shell(pg_newest.url, capsys, monkeypatch)


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection[Any]]:
    with pg_newest.connect() as connection:
        yield connection


@pytest.mark.parametrize("role", ["observer", "operator"])
def test_an_observer_sees_states_and_no_contents(pg_newest, db, capsys, monkeypatch, role: str):
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
    """On stderr, with the table."""
    put(db, count=3)
    code, out, err = shell.run("jobs", "list", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert err == "penstock: listed the first 2; next page: --before 2\n"
    assert shell.run("jobs", "list", "--state", "dead") == (0, "", "no jobs match\n")


def test_stats_count_the_outcomes_of_a_time(shell, db):
    """By how attempts ended; with waits and run times."""
    a_scene(db)
    by_name = {row["name"]: row for row in shell.value("queues", "stats", "--since", "10m")}
    q = by_name["q"]
    assert (q["completed"], q["retried"], q["dead"], q["cancelled"]) == (1, 1, 1, 0)
    assert q["wait_p50"] >= 0
    assert by_name["other"]["completed"] == 0
    assert shell.value("queues", "stats", "q", "--since", "1s")[0]["name"] == "q"


def test_workers_are_listed_with_their_oldest_claim(shell, db):
    """And a lease that is over is reported."""
    worker = desk.register(db)
    put(db, count=2)
    assert shell.value("workers")[0]["oldest_job"] is None
    db.execute(desk.CLAIM, [worker.id, worker.queue, 2, desk.token()])
    desk.lapse(db, worker)
    [row] = shell.value("workers", "--queue", "q")
    assert (row["oldest_job"], row["oldest_task"], row["queues"]) == (1, "work", ["q"])
    assert row["lease_left"] < 0
    assert "running, lease expired" in shell.run("workers")[1]
    assert shell.value("workers", "--queue", "other") == []


def test_top_prints_one_view_or_one_after_the_other(shell, db, monkeypatch):
    """Without a terminal the views follow each other; the second one has a rate."""
    a_scene(db)
    view = shell.value("top", "--once", "--queue", "q")
    assert [row["name"] for row in view["queues"]] == ["q"]
    assert [row["id"] for row in view["dead"]] == [2]
    from penstock.cli import top as module
    from penstock.store.inspect.inspection import Reader

    now = iter([0.0, 2.0])
    with Reader(shell.url) as reader:
        sampler = module.TopSampler(reader, queue=None, clock=lambda: next(now))
        assert sampler.sample()["per_second"] is None
        db.execute("UPDATE penstock.worker SET done = '{\"q\": 10}'")
        second = sampler.sample()
    assert second["per_second"] == 5.0
    assert "1 worker, 5.0 jobs/s" in module.render_view(second)


def test_top_is_redrawn_on_a_terminal_until_somebody_interrupts_it(pg_newest, db):
    """And then has ended well, the terminal as it was."""
    put(db)
    ours, theirs = pty.openpty()
    environ = {**os.environ, "PENSTOCK_DATABASE_URL": pg_newest.url, "TERM": "xterm"}
    command = [sys.executable, "-m", "penstock", "top", "--interval", "0.2"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a suite in the background ignores it, inherited
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    signal.signal(signal.SIGINT, before)
    os.close(theirs)
    shown = b""
    try:
        while shown.count(b"1 queue, 0 workers") < 2:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the terminal's other end is gone
            while more := os.read(ours, 65536):
                shown += more
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert shown.rstrip().endswith(b"\x1b[?1049l")


def test_a_query_that_takes_too_long_is_canceled_with_advice(pg_newest, db):
    """The server ends it; the next query works."""
    from penstock.errors import StoreError
    from penstock.store.inspect.inspection import Reader

    put(db)
    with Reader(pg_newest.url, timeout=0.05) as reader, psycopg.connect(pg_newest.url) as holder:
        holder.execute("LOCK TABLE penstock.job IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="narrow it by queue"):
            reader.queues()
        holder.rollback()

        def works() -> bool:
            with contextlib.suppress(StoreError):  # a slow machine may need longer than the limit once more
                return len(reader.queues()) == 1
            return False

        desk.until(works)
