"""The schema and the server: migrated, checked, and each way to be unusable named."""

from __future__ import annotations

import threading

import psycopg
import pytest

from penstock.errors import (
    DatabaseUnavailable,
    InvalidDatabaseURL,
    MigrationFailed,
    ReadOnlyServer,
    SchemaMismatch,
    SchemaMissing,
)
from penstock.store import (
    Store,
    SyncClient,
    check_schema,
    latest_version,
    migrate,
    migration_sql,
)
from tests.postgres import desk
from tests.support.postgres import Servers


def test_databases_of_a_suite_that_runs_past_midnight_have_the_partitions_of_their_day(servers: Servers):
    """The template is made again: partitions stand for days ahead of the day on which they were made."""
    server = servers.newest
    with server.database() as before, psycopg.connect(before.url) as connection:
        (old,) = connection.execute("SELECT 'penstock.outcome'::regclass::oid").fetchone() or (None,)
    server._migrated_on = "2000-01-01"
    with server.database() as after, psycopg.connect(after.url) as connection:
        (new,) = connection.execute("SELECT 'penstock.outcome'::regclass::oid").fetchone() or (None,)
        assert connection.execute("SELECT penstock.make_partitions(14), penstock.drop_partitions()").fetchone() == (
            0,
            0,
        )
    with server.database() as again, psycopg.connect(again.url) as connection:
        assert connection.execute("SELECT 'penstock.outcome'::regclass::oid").fetchone() == (new,)
    assert new != old


def test_migrating_twice_and_at_once_applies_each_migration_once(pg_blank):
    """Two runners take turns; a third finds nothing to do."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(migrate(pg_blank.url))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(result.applied) for result in results) == [0, latest_version()]
    assert migrate(pg_blank.url) == ([], latest_version(), False)
    assert check_schema(pg_blank.url) == latest_version()


def test_the_printed_sql_builds_the_same_schema(pg_blank):
    """`penstock migrate --sql` through psql ends where `penstock migrate` ends."""
    with pg_blank.connect() as connection:
        connection.execute(migration_sql().encode())
    assert migrate(pg_blank.url) == ([], latest_version(), False)


def test_a_migration_that_reads_differently_is_not_applied_over(pg_blank):
    """The database's record and this release's text must agree."""
    migrate(pg_blank.url)
    with pg_blank.connect() as connection:
        connection.execute("UPDATE penstock.schema_version SET checksum = 'other' WHERE version = 1")
    with pytest.raises(MigrationFailed, match="0001_tables"):
        migrate(pg_blank.url)


def test_a_schema_from_the_future_is_not_migrated_but_served(pg_blank):
    """An old worker keeps running on a newer schema; an old release does not migrate it."""
    migrate(pg_blank.url)
    with pg_blank.connect() as connection:
        connection.execute("INSERT INTO penstock.schema_version VALUES (999, 'later', 'x')")
    with pytest.raises(SchemaMismatch, match="999 is newer"):
        migrate(pg_blank.url)
    assert check_schema(pg_blank.url) == 999


def test_a_missing_or_older_schema_is_named(pg_blank):
    """With the command that mends it."""
    with pytest.raises(SchemaMissing, match="penstock migrate"):
        check_schema(pg_blank.url)
    client = SyncClient(pg_blank.url)
    with pytest.raises(SchemaMissing, match="penstock migrate"):
        client.enqueue([desk.new()])
    client.close()
    migrate(pg_blank.url)
    with pg_blank.connect() as connection:
        connection.execute("DELETE FROM penstock.schema_version WHERE version = %s", [latest_version()])
    with pytest.raises(SchemaMismatch, match="is older than"):
        check_schema(pg_blank.url)


def test_partitions_stand_fourteen_days_ahead_and_old_ones_go(db):
    """Made by migrate and by maintenance; dropped once past every queue's retention."""
    count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'penstock.outcome'::regclass"
    assert db.execute(count).fetchone()[0] >= 15
    db.execute("CREATE TABLE penstock.outcome_20200101 (LIKE penstock.outcome INCLUDING ALL)")
    db.execute(
        "ALTER TABLE penstock.outcome ATTACH PARTITION penstock.outcome_20200101 "
        "FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00')"
    )
    assert db.execute("SELECT penstock.drop_partitions()").fetchone() == (1,)
    assert db.execute("SELECT penstock.drop_partitions()").fetchone() == (0,)


@pytest.mark.parametrize("url", ["", "   ", "postgresql://u:hunter2@host:%zz/x", "host=/tmp 'hunter2"])
def test_a_url_that_does_not_parse_is_refused_without_being_quoted(url):
    """A password must not travel in an error."""
    for attempt in (lambda: SyncClient(url), lambda: Store(url), lambda: migrate(url)):
        with pytest.raises(InvalidDatabaseURL) as refused:
            attempt()
        assert "hunter2" not in str(refused.value)
        assert refused.value.__cause__ is None


def test_a_server_that_is_not_there_is_named_by_address_and_not_by_password():
    """Refused connections end in one error."""
    client = SyncClient("postgresql://u:hunter2@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1") as refused:
        client.enqueue([desk.new()])
    assert "hunter2" not in str(refused.value)


def test_a_read_only_server_is_named(client, db):
    """Nothing is written, and the reason is said."""
    name = db.execute("SELECT current_database()").fetchone()[0]
    db.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(ReadOnlyServer):
        client.enqueue([desk.new()])
