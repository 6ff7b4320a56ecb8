"""`penstock schedules` on a real server: what is listed, what changes, by whom, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from penstock.cli.schedules import pause_or_resume
from penstock.errors import PenstockError
from penstock.schedules import Schedule
from penstock.store import Store, grants_sql
from penstock.store.schedules import ScheduleRow, Schedules
from tests.postgres.logins import Owned, logins
from tests.postgres.shell import Shell
from tests.support.postgres import Database

MORNING = Schedule(
    name="morning",
    task="shop.jobs:report",
    cron="0 9 * * MON-FRI",
    time_zone="Europe/Berlin",
    queue="reports",
    args={"kind": "daily"},
    missed="All",
    missed_limit=7,
    overlap="Queue",
)
POLL = Schedule(name="poll", task="shop.jobs:poll", every=timedelta(minutes=15), queue="orders")


@pytest.fixture
def shell(pg_newest: Database, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """As the owner, with a schedule in each of two queues."""
    declare(pg_newest, MORNING)
    declare(pg_newest, POLL, source="jobqueue")
    return Shell(pg_newest.url, capsys, monkeypatch)


@pytest.fixture
def db(pg_newest: Database) -> Iterator[psycopg.Connection[Any]]:
    with pg_newest.connect() as connection:
        yield connection


def declare(database: Database, *schedules: Schedule, source: str = "code") -> None:
    """Declare schedules of one queue."""

    async def run() -> None:
        async with Store(database.url) as store:
            await store.schedules.declare(schedules[0].queue, source, schedules)

    asyncio.run(run())


def test_a_list_has_recurrence_ticks_state_and_source(shell, db):
    """In plain language and in the schedule's zone; JSON has the whole row."""
    code, out, err = shell.run("schedules", "list")
    head, poll, morning = out.splitlines()
    assert (code, err) == (0, "")
    assert head.split() == ["QUEUE", "NAME", "RECURRENCE", "NEXT", "LAST", "STATE", "SOURCE"]
    assert poll.split()[:5] == ["orders", "poll", "every", "15", "minutes"]
    assert poll.split()[-3:] == ["-", "active", "JobQueue"]
    assert "at 09:00 on weekdays, Europe/Berlin" in morning
    assert " 09:00:00+0" in morning
    assert morning.split()[-2:] == ["active", "code"]
    [one] = shell.value("schedules", "list", "--queue", "reports")
    assert (one["recurrence"], one["state"], one["zone"]) == (
        "at 09:00 on weekdays, Europe/Berlin",
        "active",
        "Europe/Berlin",
    )
    assert "args" not in one


def test_nothing_declared_is_said_on_stderr(pg_newest, db, capsys, monkeypatch):
    """For people; a program gets an empty list. A queue without schedules is no error."""
    shell = Shell(pg_newest.url, capsys, monkeypatch)
    db.execute("INSERT INTO penstock.queue (name) VALUES ('emails')")
    assert shell.run("schedules", "list") == (0, "", "no schedules\n")
    assert shell.run("schedules", "next") == (0, "", "no ticks to come\n")
    assert shell.value("schedules", "list", "--queue", "emails") == []
    assert shell.run("schedules", "list", "--queue", "email")[::2] == (
        1,
        "penstock: there is no queue 'email'; did you mean emails?\n",
    )


def test_one_schedule_is_shown_with_policies_last_job_and_next_ticks(shell, db):
    """The last job has its state; the ticks are the next five weekdays at nine."""
    job = shell.value("schedules", "run-now", "morning")["id"]
    one = shell.value("schedules", "show", "morning")
    assert (one["missed"], one["missed_limit"], one["overlap"]) == ("All", 7, "Queue")
    assert (one["last_job"], one["last_job_state"], one["busy"]) == (job, "queued", True)
    ticks = [datetime.fromisoformat(tick) for tick in one["next_ticks"]]
    assert len(ticks) == 5
    assert ticks == sorted(ticks)
    assert all(tick.astimezone(UTC).hour in {7, 8} and tick.weekday() < 5 for tick in ticks)
    code, out, _ = shell.run("schedules", "show", "morning")
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    for line in ("missed All, at most 7", "overlap Queue", f"last job {job} (queued)"):
        assert line in lines
    assert out.count(" 09:00:00+0") == 5
    db.execute("DELETE FROM penstock.job")
    assert shell.value("schedules", "show", "morning")["last_job_state"] == "no longer kept"


def test_a_failure_is_shown(shell, db):
    """The error of the last ticks that could not fire."""
    db.execute("UPDATE penstock.schedule SET last_error = E'StoreError: \\x1b[2J' WHERE name = 'poll'")
    code, out, _ = shell.run("schedules", "show", "poll")
    assert (code, "\x1b" in out) == (0, False)
    assert out.splitlines()[-8].split(maxsplit=1) == ["error", "StoreError: \\x1b[2J"]
    assert "failing" in shell.run("schedules", "list")[1]


def test_the_next_ticks_of_one_and_of_all(shell):
    """Five by default, at most a hundred; those of all are merged by time."""
    ticks = [one["tick"] for one in shell.value("schedules", "next", "poll")]
    assert len(ticks) == 5
    assert {tick[14:16] for tick in ticks} <= {"00", "15", "30", "45"}
    assert len(shell.value("schedules", "next", "morning", "--limit", "100")) == 100
    assert [one["name"] for one in shell.value("schedules", "next", "--queue", "reports", "--limit", "1")] == [
        "morning"
    ]
    merged = shell.value("schedules", "next", "--limit", "100")
    assert [one["tick"] for one in merged] == sorted(one["tick"] for one in merged)
    assert shell.run("schedules", "next", "--limit", "101")[0] == 2
    assert shell.run("schedules", "next", "--limit", "0")[0] == 2
    assert shell.run("schedules", "next", "poll", "--limit", "1")[1].split()[:5] == [
        "AT",
        "IN",
        "QUEUE",
        "NAME",
        "TASK",
    ]


def test_a_schedule_is_paused_and_resumed(shell, db):
    """The login is recorded, a redeploy leaves the pause alone, and the first tick after a resume is in the future."""
    assert shell.run("schedules", "pause", "poll", "--dry-run")[1] == "would pause poll; nothing was changed\n"
    assert shell.value("schedules", "list", "--queue", "orders")[0]["state"] == "active"
    assert shell.value("schedules", "pause", "poll", "poll") == {"paused": ["poll"], "dry_run": False}
    assert shell.value("schedules", "pause", "poll")["paused"] == []
    [row] = shell.value("schedules", "list", "--queue", "orders")
    assert (row["paused"], row["paused_by"]) == (True, db.info.user)
    assert f"by {db.info.user}" in shell.run("schedules", "list")[1]
    code, out, err = shell.run("schedules", "next", "poll")
    assert (code, len(out.splitlines()), "none of these ticks fires" in err) == (0, 6, True)
    assert {one["name"] for one in shell.value("schedules", "next")} == {"morning"}
    db.execute("UPDATE penstock.schedule SET next_at = clock_timestamp() - interval '9 days' WHERE name = 'poll'")
    assert shell.run("schedules", "resume", "poll") == (0, "resumed poll\n", "")
    left = db.execute(
        "SELECT paused_at, paused_by, next_at > clock_timestamp() FROM penstock.schedule WHERE name = 'poll'"
    )
    assert left.fetchone() == (None, None, True)
    assert shell.run("schedules", "resume", "poll") == (0, "resumed nothing\n", "")


def test_a_resume_cannot_end_what_the_declaration_suspends(shell, pg_newest):
    """A note says so, as for a queue that its JobQueue pauses."""
    declare(
        pg_newest, Schedule(name="poll", task="work", every=POLL.every, queue="orders", suspend=True), source="jobqueue"
    )
    shell.run("schedules", "pause", "poll")
    code, out, err = shell.run("schedules", "resume", "poll")
    assert (code, out) == (0, "resumed poll\n")
    assert "the declaration of schedule poll suspends it" in err
    assert shell.value("schedules", "show", "poll")["state"] == "suspended"


def test_a_job_is_run_now(shell, db):
    """With the declared arguments and no tick moved, while the schedule is paused too; a dry run enqueues nothing."""
    before = db.execute("SELECT next_at, last_tick FROM penstock.schedule ORDER BY id").fetchall()
    shell.run("schedules", "pause", "morning")
    dry = shell.run("schedules", "run-now", "morning", "--dry-run")[1]
    assert dry == "would enqueue a job of schedule morning (shop.jobs:report) to queue reports; nothing was changed\n"
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,)
    code, out, err = shell.run("schedules", "run-now", "morning")
    assert (code, err) == (0, "")
    found = db.execute("SELECT id, task, args, headers ->> 'penstock-schedule' FROM penstock.job").fetchall()
    assert found == [(int(out), "shop.jobs:report", {"kind": "daily"}, "morning")]
    assert db.execute("SELECT next_at, last_tick FROM penstock.schedule ORDER BY id").fetchall() == before
    assert db.execute("SELECT manual, state FROM penstock.schedule_tick").fetchall() == [(True, "enqueued")]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "mornin"], 1, "there is no schedule 'mornin'; did you mean morning?"),
        (["pause", "poll", "mornin"], 1, "there is no schedule 'mornin'; did you mean morning?"),
        (["resume", "x\x1b[2J"], 1, "there is no schedule 'x\\x1b[2J'"),
        (["run-now", "nowhere"], 1, "there is no schedule 'nowhere'"),
        (["run-now", "poll", "--queue", "reports"], 1, "there is no schedule 'poll'"),
        (["next", "poll", "--queue", "order"], 1, "there is no queue 'order'; did you mean orders?"),
        (["pause", "twice"], 2, "schedule 'twice' exists in the queues orders, reports: give --queue"),
        (["pause"], 2, "NAME"),
        (["list", "-o", "xml"], 2, "xml"),
    ],
)
def test_a_name_that_cannot_be_found_is_one_line_and_changes_nothing(shell, pg_newest, db, arguments, code, message):
    """With near names, if there are any."""
    for queue, source, kept in (("orders", "jobqueue", POLL), ("reports", "code", MORNING)):
        declare(pg_newest, kept, Schedule(name="twice", task="work", every=POLL.every, queue=queue), source=source)
    found, out, err = shell.run("schedules", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err
    assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM penstock.schedule WHERE paused_at IS NOT NULL").fetchone() == (0,)


def test_an_operator_may_change_what_an_observer_may_only_read(shell, pg_newest, db, capsys, monkeypatch):
    """What is refused says which grants are missing; the pause names the login."""
    reads = [["list"], ["show", "poll"], ["next"], ["next", "poll"]]
    changes = [["pause", "poll"], ["run-now", "poll"], ["resume", "poll"]]
    with logins(pg_newest, "observer", "operator") as both:
        for role, login in zip(("observer", "operator"), both, strict=True):
            db.execute(grants_sql(role, login.partition(":")[0]).encode())
            other = Shell(Owned(pg_newest, login).url(login), capsys, monkeypatch)
            for command in reads:
                code, _, err = other.run("schedules", *command)
                assert code == 0, (role, command, err)
            for command in changes:
                code, _, err = other.run("schedules", *command)
                refused = role == "observer" and command[0] != "resume"  # nothing is paused
                assert code == (1 if refused else 0), (role, command, err)
                assert code == 0 or "`penstock grants`" in err
                paused = shell.value("schedules", "show", "poll")["paused_by"]
                assert paused in {None, login.partition(":")[0]}


async def test_a_resume_uses_the_declaration_that_is_in_force(pg_newest, db):
    """It was declared again between the read and the statement: the first tick is of the new declaration."""
    async with Store(pg_newest.url) as store:
        await store.schedules.declare("orders", "code", [POLL])
        [row] = await store.schedules.list()
        await pause_or_resume(store.schedules, row, paused=True)
        yearly = Schedule(name="poll", task="work", cron="@yearly", queue="orders")
        await store.schedules.declare("orders", "code", [yearly])
        await pause_or_resume(store.schedules, row, paused=False)
        [row] = await store.schedules.list()
    assert row.paused_at is None
    assert row.next_at is not None
    assert row.next_at.astimezone(UTC).strftime("%m-%d %H:%M") == "01-01 00:00"


async def test_a_schedule_that_is_removed_or_always_declared_is_one_error(pg_newest, db):
    """A resume gives up after a few declarations, and changes nothing."""

    class Declared(Schedules):
        """Declares the schedule again after each read."""

        async def list(self, queues: Sequence[str] | None = None) -> list[ScheduleRow]:
            rows = await super().list(queues)
            days = rows[0].generation + 1
            again = Schedule(name="poll", task="work", every=timedelta(days=days), queue="orders")
            await self.declare("orders", "code", [again])
            return rows

    async with Store(pg_newest.url) as store:
        await store.schedules.declare("orders", "code", [POLL])
        [row] = await store.schedules.list()
        await pause_or_resume(store.schedules, row, paused=True)
        restless = Declared(store.connections)
        [row] = await restless.list()
        with pytest.raises(PenstockError, match="schedule 'poll' is being declared all the time"):
            await pause_or_resume(restless, row, paused=False)
        assert [one.paused_at is not None for one in await store.schedules.list()] == [True]
        await store.schedules.declare("orders", "code", [])
        with pytest.raises(PenstockError, match="schedule 'poll' was removed meanwhile"):
            await pause_or_resume(store.schedules, row, paused=False)
