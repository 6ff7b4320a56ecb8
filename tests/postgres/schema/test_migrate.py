"""Migrations on a database that is in use, interrupted, changed by hand, or of another release than the worker."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.cli import main
from penstock.errors import DatabaseUnavailable, MigrationFailed, SchemaMismatch, SchemaMissing, StoreError
from penstock.store import check_schema, latest_version, migrate, schema_drift
from penstock.store.schema.migrate import ATTEMPTS
from penstock.store.sql_files import retired
from tests.postgres import desk, jobs
from tests.postgres.workers import WorkerProcess
from tests.support.postgres import Database

PENDING = 3
"""A migration that takes the strongest lock on job."""
UNDO = f"""
  DROP VIEW penstock.jobs_redacted;
  ALTER TABLE penstock.job ALTER ord DROP DEFAULT, ALTER ready_at DROP DEFAULT;
  DELETE FROM penstock.schema_version WHERE version = {PENDING};
"""


@pytest.fixture
def outdated(pg: Database) -> Database:
    """A database that lacks the migration PENDING."""
    with pg.connect() as connection:
        connection.execute(UNDO)
    return pg


@contextmanager
def long_transaction(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A transaction of another session that has read job and stays open."""
    with psycopg.connect(database.url, application_name="a report") as connection:
        connection.execute("SELECT count(*) FROM penstock.job")
        yield connection


def versions(database: Database) -> list[int]:
    with database.connect() as connection:
        return [row[0] for row in connection.execute("SELECT version FROM penstock.schema_version ORDER BY 1")]


# -- in use -------------------------------------------------------------------------------------------------------


def test_a_migration_waits_in_short_turns_for_a_table_that_is_in_use(outdated):
    """It asks again until the long transaction ends, then applies what is missing, once."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            report.rollback()

    with long_transaction(outdated) as report:
        assert migrate(outdated.url, lock_timeout=0.05, sleep=sleep).applied == [PENDING]
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_between_its_turns_a_migration_blocks_nobody(outdated):
    """Who waits after it waits for one lock timeout: in each pause others enqueue and claim."""
    waits: list[object] = []
    with long_transaction(outdated) as report, outdated.connect() as user:
        user.execute("SET statement_timeout = '30s'")
        worker = desk.register(user)

        def sleep(_: float) -> None:
            desk.enqueue(user)
            waits.append(
                user.execute("SELECT id FROM penstock.claim(%s, %s, 1, 5)", [worker.id, worker.queue]).fetchone()
            )
            if len(waits) == 2:
                report.rollback()

        assert migrate(outdated.url, lock_timeout=0.05, sleep=sleep).applied == [PENDING]
    assert None not in waits


def test_a_migration_that_never_gets_its_lock_names_who_has_it_and_changes_nothing(outdated):
    """After ten turns: one sentence with the other's pid and name."""
    before = versions(outdated)
    pauses: list[float] = []
    with long_transaction(outdated) as report:
        named = rf"pid {report.info.backend_pid} \(a report\); nothing was changed"
        with pytest.raises(MigrationFailed, match=named):
            migrate(outdated.url, lock_timeout=0.01, sleep=pauses.append)
    assert len(pauses) == ATTEMPTS - 1
    assert versions(outdated) == before
    assert migrate(outdated.url).applied == [PENDING]


def test_a_migration_whose_connection_is_cut_leaves_nothing_half_done(outdated):
    """Killed while it waits for its lock; the next run does it all."""
    before, messages = versions(outdated), []

    def run() -> None:
        try:
            migrate(outdated.url, lock_timeout=30)
        except DatabaseUnavailable as error:
            messages.append(error)

    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'penstock migrate' AND wait_event_type = 'Lock'"
    )
    with long_transaction(outdated), outdated.connect() as admin:
        runner = threading.Thread(target=run)
        runner.start()
        desk.until(lambda: admin.execute(waiting).fetchone())
        admin.execute(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS w")
        runner.join()
    assert len(messages) == 1
    assert versions(outdated) == before
    assert migrate(outdated.url).applied == [PENDING]
    assert schema_drift(outdated.url) == []


def test_functions_are_replaced_under_running_claims_without_an_error(pg):
    """An upgrade of the functions while another connection claims and acknowledges without a pause."""
    ended = threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        with pg.connect() as connection:
            worker = desk.register(connection)
            for token in itertools.count(1):
                desk.enqueue(connection)
                try:
                    [(job,)] = connection.execute(
                        "SELECT id FROM penstock.claim(%s, %s, 1, %s)", [worker.id, worker.queue, token]
                    ).fetchall()
                    connection.execute("SELECT penstock.ack(%s, %s, %s)", [worker.id, [job], [token]])
                except psycopg.Error as error:
                    errors.append(error)
                if ended.is_set() or errors:
                    return

    runner = threading.Thread(target=work)
    runner.start()
    with pg.connect() as admin:
        for _ in range(5):
            admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
            assert migrate(pg.url).functions
    ended.set()
    runner.join()
    assert errors == []


# -- changed by hand -----------------------------------------------------------------------------------------------


def test_a_migrated_schema_has_no_differences(pg):
    """Partitions aside, which are dates; nothing is left of the comparison."""
    assert schema_drift(pg.url) == []
    with pg.connect() as connection:
        assert connection.execute("SELECT to_regnamespace('penstock_twin')").fetchone() == (None,)


def test_a_migration_drops_the_functions_that_earlier_releases_called_differently(pg):
    """Each of them, whatever it returns; the schema is then the same as a new one."""
    names = re.findall(r"DROP FUNCTION IF EXISTS (penstock\.\w+\([^)]*\));", retired())
    assert names
    with pg.connect() as admin:
        for name in names:
            admin.execute(f"CREATE FUNCTION {name} RETURNS void LANGUAGE sql AS ''")
        admin.execute("UPDATE penstock.schema_function SET checksum = 'of an earlier release'")
        assert migrate(pg.url).functions
    assert schema_drift(pg.url) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("DROP INDEX penstock.job_due", "index job_due: missing"),
        ("CREATE INDEX mine ON penstock.job (token)", "index mine: not known to this release"),
        (
            "ALTER TABLE penstock.worker ALTER pod TYPE varchar(9)",
            "column worker.pod: is character varying(9), must be text",
        ),
        (
            "ALTER TABLE penstock.job ALTER queue DROP NOT NULL",
            "column job.queue: is integer, must be integer not null",
        ),
        ("ALTER TABLE penstock.job ADD mine integer", "column job.mine: not known to this release"),
        ("ALTER TABLE penstock.job SET (fillfactor = 90)", "table job: differs"),
        ("ALTER TABLE penstock.job DISABLE TRIGGER job_take_xid", "trigger job.job_take_xid: differs"),
        ("ALTER TABLE penstock.job DROP CONSTRAINT job_priority_check", "constraint job.job_priority_check: missing"),
        ("ALTER SEQUENCE penstock.job_ord_seq CACHE 20", "sequence job_ord_seq: is cache 20, must be cache 1"),
        ("DROP VIEW penstock.jobs_redacted", "view jobs_redacted: missing"),
        ("DROP FUNCTION penstock.lead", "function lead(p_name text, p_holder text, p_lease double precision): missing"),
        ("ALTER FUNCTION penstock.wake SET jit = on", "function wake(p_queues integer[]): differs"),
    ],
    ids=lambda text: text.partition(":")[0],
)
def test_what_was_changed_by_hand_is_named(change, difference, pg_newest):
    """One difference each, with its place; a definition that is short is reported."""
    with pg_newest.connect() as connection:
        connection.execute(change)
    assert schema_drift(pg_newest.url) == [difference]


def test_an_index_whose_build_failed_counts_as_changed(pg_newest):
    """CREATE INDEX CONCURRENTLY leaves an invalid one that slows writes and serves nobody."""
    with pg_newest.connect() as connection:
        connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'penstock.job_due'::regclass")
    assert schema_drift(pg_newest.url) == ["index job_due: differs"]


def test_a_schema_that_is_missing_or_outdated_is_not_compared_but_named(pg_blank, outdated):
    """With the command that mends it."""
    with pytest.raises(SchemaMissing, match="penstock migrate"):
        schema_drift(pg_blank.url)
    with pytest.raises(SchemaMismatch, match="0003_roles is not applied"):
        schema_drift(outdated.url)


def test_a_check_of_the_schema_needs_the_right_to_build_its_twin(pg_newest):
    """A login without it hears so; nothing is read from a wrong comparison."""
    with pg_newest.connect() as admin:
        admin.execute("CREATE ROLE penstock_test_reader LOGIN PASSWORD 'read'")
        try:
            admin.execute("GRANT USAGE ON SCHEMA penstock TO penstock_test_reader")
            admin.execute("GRANT SELECT ON penstock.schema_version TO penstock_test_reader")
            place = pg_newest.url.partition("@")[2]
            with pytest.raises(StoreError, match="lacks a right"):
                schema_drift(f"postgresql://penstock_test_reader:read@{place}")
        finally:
            admin.execute("DROP OWNED BY penstock_test_reader")
            admin.execute("DROP ROLE penstock_test_reader")


def test_the_command_line_checks_and_changes_nothing(pg_newest, capsys, monkeypatch):
    """`penstock migrate --check`: 0 and one line, or 1 and every difference."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", pg_newest.url)

    def check() -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["migrate", "--check"])
        out = capsys.readouterr()
        return exit_.value.code, out.out, out.err

    assert check() == (0, f"schema penstock: version {latest_version()}, unchanged since `penstock migrate`\n", "")
    with pg_newest.connect() as connection:
        connection.execute("DROP INDEX penstock.job_due; DROP INDEX penstock.job_unique")
    code, out, err = check()
    assert (code, out) == (1, "")
    assert "index job_due: missing; index job_unique: missing" in err


# -- of another release --------------------------------------------------------------------------------------------


def test_a_worker_waits_on_an_older_schema_until_it_is_migrated(pg_newest, tmp_path: Path):
    """It says both versions and the command meanwhile, and has no row in the registry."""
    trace = tmp_path / "trace"
    trace.touch()
    said = f"version {latest_version() - 1} is older than {latest_version()}"
    with pg_newest.connect() as connection:
        applied = connection.execute(
            "DELETE FROM penstock.schema_version WHERE version = %s RETURNING *", [latest_version()]
        ).fetchone()
        worker = WorkerProcess(pg_newest.url, trace)
        desk.until(lambda: said in worker.said())
        assert "penstock migrate" in worker.said()
        assert connection.execute("SELECT count(*) FROM penstock.worker").fetchone() == (0,)
        marks = ", ".join(["%s"] * len(applied))
        connection.execute(f"INSERT INTO penstock.schema_version VALUES ({marks})", applied)
        desk.until(lambda: connection.execute("SELECT count(*) FROM penstock.worker").fetchone() == (1,))
        assert worker.end()[0] == 0


def test_a_worker_runs_on_a_newer_schema(pg_newest, tmp_path: Path, monkeypatch):
    """Migrations are additive: during an upgrade the old workers go on."""
    trace = tmp_path / "trace"
    trace.touch()
    with pg_newest.connect() as connection:
        connection.execute("INSERT INTO penstock.schema_version VALUES (999, '0999_later', 'x')")
        assert check_schema(pg_newest.url) == 999
        [job] = desk.enqueue(connection)
        connection.execute("""UPDATE penstock.job SET task = 'add', args = '{"a": 1, "b": 2}'""")
        monkeypatch.setenv("TRACE", str(trace))
        worker = WorkerProcess(pg_newest.url, trace)
        desk.until(lambda: desk.state_of(connection, job) == "completed")
        assert worker.end()[0] == 0
        assert jobs.app.tasks["add"].name == "add"
