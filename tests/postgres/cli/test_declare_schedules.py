"""`penstock schedules declare` on a real server: what a release writes, and what it leaves to a JobQueue."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.schedules import Schedule
from penstock.store import Store
from tests.postgres.shell import Shell
from tests.support.postgres import Database

CODE = """
from datetime import timedelta

from penstock import App, every

app = App()


@app.task(queue="reports", schedule=every(timedelta(hours=1), name="hourly"))
def report() -> None: ...


@app.task(queue="orders", schedule=every(timedelta(hours=1), name="poll"))
def poll() -> None: ...


@app.task(queue="mail")
def send() -> None: ...
"""


@pytest.fixture
def shell(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """As the owner; code has declared `morning` and `old`, and the JobQueue of orders `poll`."""

    async def declare() -> None:
        async with Store(pg_newest.url) as store:
            for queue, source, name in (
                ("reports", "code", "morning"),
                ("mail", "code", "old"),
                ("orders", "jobqueue", "poll"),
            ):
                declared = Schedule(name=name, queue=queue, task="work", every=timedelta(hours=1))
                await store.schedules.declare(queue, source, [declared])

    asyncio.run(declare())
    return Shell(pg_newest.url, capsys, monkeypatch)


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection[Any]]:
    with pg_newest.connect() as connection:
        yield connection


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The path of an App with three queues, two of which have a schedule."""
    (tmp_path / "declared_by_release.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "declared_by_release:app"
    sys.modules.pop("declared_by_release", None)


def test_a_release_declares_the_schedules_of_all_queues_of_an_app(shell, db, code):
    """As workers would: what code no longer has is removed, what the JobQueue declares stays the JobQueue's."""
    assert shell.value("schedules", "declare", "--app", code) == [
        {"queue": "mail", "schedule": "old", "result": "removed"},
        {"queue": "orders", "schedule": "poll", "result": "not used: the JobQueue declares it"},
        {"queue": "reports", "schedule": "hourly", "result": "declared"},
        {"queue": "reports", "schedule": "morning", "result": "removed"},
    ]
    found = db.execute("SELECT name, source FROM penstock.schedule WHERE removed_at IS NULL ORDER BY name").fetchall()
    assert found == [("hourly", "code"), ("poll", "jobqueue")]
    assert db.execute("SELECT next_at > now() FROM penstock.schedule WHERE name = 'hourly'").fetchone() == (True,)


def test_declaring_again_changes_nothing_and_a_dry_run_writes_nothing(shell, db, code, monkeypatch):
    """A release may be repeated; the App may come from the environment."""
    monkeypatch.setenv("PENSTOCK_APP", code)
    out = shell.run("schedules", "declare", "--dry-run")[1]
    assert [line.split() for line in out.splitlines()[1:]] == [
        ["orders", "poll", "would", "be", "declared"],
        ["reports", "hourly", "would", "be", "declared"],
    ]
    assert db.execute("SELECT count(*) FROM penstock.schedule").fetchone() == (3,)
    shell.run("schedules", "declare")
    again = shell.value("schedules", "declare")
    assert [one["result"] for one in again if one["queue"] == "reports"] == ["unchanged"]


def test_declaring_without_an_app_is_refused(shell, monkeypatch):
    """In one line, before the database is asked."""
    monkeypatch.delenv("PENSTOCK_APP", raising=False)
    assert shell.run("schedules", "declare") == (
        2,
        "",
        "penstock: no App: give --app or PENSTOCK_APP, as package.module:attribute\n",
    )
