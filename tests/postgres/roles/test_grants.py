"""Handing rights out: by groups, to a login directly, at an upgrade, and where the owner may not create roles."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from penstock.cli import main
from penstock.errors import ConfigurationError, StoreError
from penstock.store import grants_sql, migrate, migration_sql, roles, roles_sql
from tests.postgres.logins import Owned, grant, logins, member, owned_by_a_login
from tests.support.postgres import Database


@pytest.fixture
def owned(pg_blank: Database) -> Iterator[Owned]:
    """A database of an owner without further rights, its roles made."""
    with owned_by_a_login(pg_blank) as made:
        yield made


def test_migrating_again_with_roles_changes_nothing_and_mends_what_was_changed(owned):
    """A right that somebody added to a group is gone, one that somebody took is back."""
    with owned.database.connect() as admin:
        admin.execute("GRANT SELECT ON penstock.job TO penstock_observer")
        admin.execute("REVOKE EXECUTE ON FUNCTION penstock.claim FROM penstock_worker")
        assert migrate(owned.url(owned.owner), roles=True).functions is False
        rights = admin.execute(
            "SELECT has_table_privilege('penstock_observer', 'penstock.job', 'SELECT'), "
            "has_function_privilege('penstock_worker', 'penstock.claim(bigint,integer,integer,bigint)', 'EXECUTE')"
        ).fetchone()
    assert rights == (False, True)


def test_an_upgrade_grants_new_functions_to_the_roles_in_use(owned):
    """Without `--roles`, and by an owner who may create no role."""
    with owned.database.connect() as admin:
        grant(admin, "ALTER ROLE {} NOCREATEROLE", owned.owner)
        admin.execute("DROP FUNCTION penstock.snapshot")
        admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
        assert migrate(owned.url(owned.owner)).functions is True
    with member(owned, "observer") as url, psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM penstock.snapshot(9, 9)").fetchone() == (0,)


def test_without_roles_nothing_is_granted(pg_blank):
    """They are asked for: a server's roles are not this database's alone."""
    migrate(pg_blank.url)
    with pg_blank.connect() as admin:
        granted = admin.execute(
            "SELECT 1 FROM pg_namespace AS n, aclexplode(n.nspacl) AS a "
            "WHERE n.nspname = 'penstock' AND a.grantee <> n.nspowner"
        ).fetchall()
    assert granted == []


def test_an_owner_who_may_create_no_roles_hears_what_to_do(pg_blank):
    """One sentence with both ways out; the schema is not there either."""
    with logins(pg_blank, "plain") as [owner], pg_blank.connect() as admin:
        grant(admin, "GRANT CREATE ON DATABASE {} TO {}", urlsplit(pg_blank.url).path[1:], owner)
        try:
            for role in roles():  # other tests of this server may have made them
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"penstock_{role}")))
        except psycopg.errors.DependentObjectsStillExist:
            pytest.skip("another database of this server uses the roles")
        url = Owned(pg_blank, owner).url(owner)
        with pytest.raises(StoreError, match="penstock grants --for ROLE --to LOGIN"):
            migrate(url, roles=True)
        assert admin.execute("SELECT to_regnamespace('penstock')").fetchone() == (None,)
        assert migrate(url).version > 0


def test_a_login_that_may_not_migrate_hears_it_in_one_sentence(owned):
    """Neither as a worker nor on a database where it may create nothing."""
    with owned.database.connect() as admin:
        admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
    with (
        member(owned, "worker") as url,
        pytest.raises(StoreError, match="may not change the schema penstock; run"),
    ):
        migrate(url)


def test_the_printed_grants_give_a_login_its_role_without_a_group(owned):
    """What `penstock grants --for enqueuer --to LOGIN` prints, run by the owner; a strange name is quoted."""
    with logins(owned.database, 'odd"; DROP') as [login]:
        name = login.partition(":")[0]
        with psycopg.connect(owned.url(owned.owner), autocommit=True) as owner:
            owner.execute(grants_sql("enqueuer", name).encode())
            owner.execute(grants_sql("enqueuer", name).encode())
        with owned.database.connect() as admin:
            admin.execute(sql.SQL("SET SESSION AUTHORIZATION {}").format(sql.Identifier(name)))
            admin.execute("SELECT penstock.enqueue('q', 'work')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                admin.execute("SELECT penstock.promote(1)")


def test_the_printed_script_makes_the_roles_and_may_run_again(pg_blank):
    """`penstock grants`, and `penstock migrate --sql --roles` as one script."""
    with pg_blank.connect() as admin:
        admin.execute(migration_sql(roles=True).encode())
        admin.execute(roles_sql().encode())
        admin.execute("SET ROLE penstock_worker")
        assert admin.execute("SELECT promoted FROM penstock.promote(1)").fetchone() == (0,)


def test_grants_for_a_role_that_there_is_not_are_refused():
    """With the roles that there are."""
    with pytest.raises(ConfigurationError, match="must be one of enqueuer, client"):
        grants_sql("admin")
    for wrong in ("", "a\0b"):
        with pytest.raises(ConfigurationError, match="without NUL"):
            grants_sql("worker", wrong)


def test_the_command_line_prints_grants_without_a_database(capsys, monkeypatch):
    """All roles, one role, one login; a login without a role is bad input."""
    monkeypatch.delenv("PENSTOCK_DATABASE_URL", raising=False)

    def run(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["grants", *arguments])
        out = capsys.readouterr()
        return exit_.value.code, out.out, out.err

    assert run() == (0, roles_sql(), "")
    assert run("--for", "worker")[1] == grants_sql("worker")
    code, out, _ = run("--for", "worker", "--to", "shop")
    assert (code, out) == (0, grants_sql("worker", "shop"))
    assert 'TO "shop";' in out
    assert "CREATE ROLE" not in out
    assert run("--to", "shop")[0] == 2
    assert run("--for", "boss")[0] == 2


def test_the_command_line_migrates_with_roles_and_prints_the_same(pg_blank, capsys, monkeypatch):
    """`penstock migrate --roles`, and `--sql --roles` for who applies it by another tool."""
    monkeypatch.setenv("PENSTOCK_DATABASE_URL", pg_blank.url)

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            main(["migrate", *arguments])
        assert exit_.value.code == 0
        return str(capsys.readouterr().out)

    assert run("--roles").endswith(", roles granted\n")
    assert run("--sql", "--roles") == migration_sql(roles=True)
    with pg_blank.connect() as admin:
        admin.execute("SET ROLE penstock_enqueuer")
        admin.execute("SELECT penstock.enqueue('q', 'work')")
