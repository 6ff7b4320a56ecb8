"""`penstock doctor` on real servers: healthy, unhealthy, and with logins of few rights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from penstock.cli import main
from tests.postgres import desk
from tests.postgres.logins import Owned, member, owned_by_a_login
from tests.support import pgbouncer
from tests.support.postgres import Database


class Doctor:
    """Runs the command in this process; its exit code and its findings by check."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        for name in ("PENSTOCK_DIRECT_URL", "PENSTOCK_LISTEN"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, url: str, *arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
        self._monkeypatch.setenv("PENSTOCK_DATABASE_URL", url)
        with pytest.raises(SystemExit) as exit_:
            main(["doctor", "-o", "json", *arguments])
        report: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return int(exit_.value.code or 0), {one["check"]: one for one in report["checks"]}


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """The command."""
    return Doctor(capsys, monkeypatch)


@pytest.fixture
def owned(pg_blank: Database) -> Iterator[Owned]:
    """A database of an owner without further rights, its roles made."""
    with owned_by_a_login(pg_blank) as made:
        yield made


def levels(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {check: one["level"] for check, one in found.items() if one["level"] != "ok"}


def test_a_migrated_database_is_well_for_its_owner(owned, doctor):
    """Every check is made but one: other logins' transactions are not the owner's to see."""
    code, found = doctor(owned.url(owned.owner))
    assert (code, levels(found)) == (0, {"oldest transaction": "skipped"})
    assert {"listen", "clock", "drift", "functions", "maintenance", "partitions", "queues paused"} <= set(found)


def test_what_a_login_may_not_see_is_skipped_and_its_role_is_reported(owned, doctor):
    """A worker's login may work; an enqueuer's may not, and hears which grants it lacks."""
    with member(owned, "worker") as url:
        code, found = doctor(url, "--for", "worker")
        assert code == 0
        assert levels(found) == dict.fromkeys(("drift", "oldest transaction", "state", "queues"), "skipped")
        assert found["rights"]["message"].endswith(": enqueuer, worker")
    with member(owned, "enqueuer") as url:
        code, found = doctor(url, "--for", "worker")
        assert (code, found["rights"]["level"]) == (1, "failure")
        assert "penstock grants --for worker" in found["rights"]["hint"]
        assert found["schema"]["level"] == "skipped"


def test_an_observer_sees_the_whole_state(owned, doctor):
    """Paused and unserved queues, late jobs, workers that are gone, tasks that nobody knows."""
    with owned.database.connect() as admin:
        desk.enqueue(admin, 2)
        admin.execute("SELECT penstock.enqueue('other', 'work')")
        admin.execute("SELECT penstock.enqueue('other', 'strange', p_delay => 60)")
        admin.execute(
            "UPDATE penstock.job SET due_at = now() - interval '1 minute', reason = 'task_unknown' WHERE id = 4"
        )
        admin.execute("UPDATE penstock.job SET ready_at = now() - interval '2 minutes' WHERE due_at IS NULL")
        admin.execute("SELECT penstock.pause('other', true)")
        desk.lapse(admin, desk.register(admin))
    with member(owned, "observer") as url:
        code, found = doctor(url)
    assert code == 1
    assert {check: found[check]["level"] for check in ("maintenance", "due jobs")} == dict.fromkeys(
        ("maintenance", "due jobs"), "failure"
    )
    assert "1 deferred job is due but not promoted" in found["due jobs"]["message"]
    assert "1 lapsed" in found["workers"]["message"]
    assert found["tasks known"]["message"].endswith("strange")
    assert found["queues paused"]["message"].startswith("other (for ")
    assert "q (2 ready, oldest 2m" in found["queues served"]["message"]


def test_a_database_without_the_schema_and_one_that_was_changed_fail(pg_blank, doctor):
    """Each with the command that mends it."""
    code, found = doctor(pg_blank.url)
    assert (code, found["schema"]["hint"]) == (1, "run `penstock migrate`")
    assert "partitions" not in found
    with owned_by_a_login(pg_blank) as owned:
        with owned.database.connect() as admin:
            admin.execute("DROP INDEX penstock.job_due")
            admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
            admin.execute("DELETE FROM penstock.schema_version WHERE version > 1")
        code, found = doctor(owned.url(owned.owner))
    assert code == 1
    assert "older than" in found["schema"]["message"]
    assert found["drift"]["level"] == "failure"
    assert found["functions"]["level"] == "warning"


def test_an_index_that_is_gone_is_drift(pg, doctor):
    """The schema's version alone would not show it."""
    with pg.connect() as admin:
        admin.execute("DROP INDEX penstock.job_due")
    code, found = doctor(pg.url)
    assert code == 1
    assert found["drift"]["message"].endswith("index job_due: missing")


def test_listening_through_a_pooler_is_found_out(pg_newest, doctor, monkeypatch):
    """It takes the LISTEN and delivers nothing; with a direct URL too all is well."""
    with pgbouncer.pooled(pg_newest.url) as pooled:
        code, found = doctor(pooled)
        assert (code, found["listen"]["level"]) == (0, "warning")
        assert "leads to a pooler" in found["listen"]["message"]
        assert "PENSTOCK_DIRECT_URL" in found["listen"]["hint"]
        monkeypatch.setenv("PENSTOCK_DIRECT_URL", pg_newest.url)
        code, found = doctor(pooled)
        assert (code, found["listen"]["level"]) == (0, "ok")
        assert "on the direct URL" in found["listen"]["message"]
    monkeypatch.setenv("PENSTOCK_LISTEN", "false")
    assert doctor(pg_newest.url)[1]["listen"]["level"] == "skipped"


def test_an_old_transaction_is_named(pg_newest, doctor):
    """By pid and state; its start is set back here, because nobody waits five minutes."""
    with psycopg.connect(pg_newest.url, application_name="forgotten") as idle:
        idle.execute("SELECT 1")
        _, found = doctor(pg_newest.url)
        assert found["oldest transaction"]["message"].startswith("open for ")


def test_the_holder_of_rows_or_a_table_is_named(pg_newest, newest, doctor):
    """By pid, with its locks and the sessions that wait for them; afterwards all is well."""
    worker = desk.register(newest)
    desk.enqueue(newest, 3)
    with psycopg.connect(pg_newest.url, application_name="lunch") as person:
        person.execute("UPDATE penstock.job SET cancel = cancel")
        _, found = doctor(pg_newest.url)
        assert found["row locks"]["level"] == "warning"
        pid = person.info.backend_pid
        assert found["row locks"]["message"].startswith(f"pid {pid} (lunch, idle in transaction) for ")
        assert "locks 3 rows, for example job 1" in found["row locks"]["message"]
        assert f"pg_terminate_backend({pid})" in found["row locks"]["hint"]
        person.rollback()
        person.execute("SELECT FROM penstock.worker WHERE id = %s FOR UPDATE", [worker.id])
        assert "locks 1 row, for example worker 1" in doctor(pg_newest.url)[1]["row locks"]["message"]
        person.execute("LOCK TABLE penstock.job, penstock.queue")
        found = doctor(pg_newest.url)[1]
        assert "locks the table job and the table queue" in found["table locks"]["message"]
        assert f"pid {pid} " in found["table locks"]["message"]
        assert found["state"]["level"] == "failure"
        person.rollback()
        found = doctor(pg_newest.url)[1]
        assert (found["row locks"]["level"], found["table locks"]["level"]) == ("ok", "ok")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "postgresql://shop:hunter2@127.0.0.1:1/shop", "postgresql://x:p/w@h/d"]
)
def test_a_url_that_leads_nowhere_fails_and_is_not_repeated(doctor, capsys, monkeypatch, url: str):
    """Neither in the findings nor as a table."""
    code, found = doctor(url)
    assert code == 1
    assert {one["level"] for one in found.values()} - {"ok"} == {"failure"}
    assert "hunter2" not in json.dumps(found)
    assert "p/w" not in json.dumps(found)
    with pytest.raises(SystemExit):
        main(["doctor"])
    out = capsys.readouterr()
    assert "hunter2" not in out.out + out.err
    assert "1 failure, " in out.out


def test_a_role_that_there_is_not_is_bad_input(capsys, monkeypatch):
    """With those that there are."""
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", "--for", "boss"])
    assert exit_.value.code == 2
    assert "enqueuer, client" in capsys.readouterr().err
