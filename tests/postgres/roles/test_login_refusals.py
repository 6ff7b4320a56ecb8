"""What a login lacks is reported by its kind and with the SQL that helps; each kind on real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from penstock.errors import (
    DatabaseUnavailable,
    LoginRefused,
    MissingRights,
    NoSuchDatabase,
    PenstockError,
    TooManyConnections,
    WrongDatabase,
)
from penstock.store import check_login_and_schema, check_rights, check_schema, migrate
from penstock.store.same_database import check_same_database
from penstock_operator.database.address import Address
from penstock_operator.database.connection import Database
from penstock_operator.database.failure_reasons import reason_of
from tests.postgres import desk
from tests.postgres.logins import Owned, grant, logins, member, owned_by_a_login
from tests.postgres.workers import WorkerProcess
from tests.support.postgres import Database as Postgres
from tests.support.postgres import Servers


@pytest.fixture
def owned(pg_blank: Postgres) -> Iterator[Owned]:
    """A database of an owner without further rights, its roles made."""
    with owned_by_a_login(pg_blank) as made:
        yield made


async def refused(url: str) -> PenstockError:
    """What an operator meets that opens this database."""
    database = Database(address=Address(url=url, direct_url=url), holder="a", woken=lambda _: None)
    try:
        with pytest.raises(PenstockError) as raised:
            await database.open()
    finally:
        await database.close()
    return raised.value


async def test_an_operators_login_of_another_role_gets_the_grant(owned: Owned):
    """Also one that is no member of anything: the SQL has its own name, and running it helps."""
    for role in ("observer", "worker", "client", None):
        with ExitStack() as stack:
            if role is None:
                [login] = stack.enter_context(logins(owned.database, 'odd"name'))
                name, url = login.rpartition(":")[0].replace('"', '""'), owned.url(login.replace('"', "%22"))
            else:
                url = stack.enter_context(member(owned, role))
                name = str(urlsplit(url).username)
            error = await refused(url)
            assert (type(error), reason_of(error)) == (MissingRights, "MissingRights")
            statement = f'GRANT penstock_operator TO "{name}";'
            assert statement in str(error)
            assert str(urlsplit(url).password) not in str(error)
            with owned.database.connect() as admin:
                admin.execute(statement.encode())
            check_rights(url, "operator")


def test_the_documented_roles_lack_nothing_and_a_worker_of_another_role_gets_the_grant(owned: Owned):
    """The worker by its handshake, before anything is claimed."""
    for role in ("operator", "worker", "observer", "enqueuer", "client"):
        with member(owned, role) as url:
            check_rights(url, role)
    with member(owned, "operator") as url, pytest.raises(MissingRights, match=r"GRANT penstock_worker TO \""):
        check_login_and_schema(url)


def test_a_member_that_inherits_nothing_learns_what_makes_it_inherit(owned: Owned):
    """The statement differs by the server's version; running it helps."""
    with logins(owned.database, "silent", options="NOINHERIT") as [login], owned.database.connect() as admin:
        grant(admin, "GRANT penstock_operator TO {}", login)
        with pytest.raises(MissingRights) as raised:
            check_rights(owned.url(login), "operator")
        message = str(raised.value)
        assert "does not inherit" in message
        admin.execute(message[message.index("run: ") + 5 : message.index(";") + 1].encode())
        check_rights(owned.url(login), "operator")


def test_a_role_without_its_rights_and_a_missing_one_lead_to_migrate(owned: Owned):
    """Rights belong to one database, the role to the server."""
    with member(owned, "operator") as url, owned.database.connect() as admin:
        admin.execute("REVOKE EXECUTE ON FUNCTION penstock.declare_queue FROM penstock_operator")
        with pytest.raises(MissingRights, match=r"EXECUTE on declare_queue\..*penstock migrate --roles"):
            check_rights(url, "operator")
        admin.execute("REVOKE USAGE ON SCHEMA penstock FROM penstock_operator")
        with pytest.raises(MissingRights, match="declare_queue"):
            check_rights(url, "operator")


def _wrong_password(admin: psycopg.Connection[Any], login: str, database: str) -> None:
    _alter(admin, "PASSWORD 'another'", login)


def _expired(admin: psycopg.Connection[Any], login: str, database: str) -> None:
    _alter(admin, "VALID UNTIL '2000-01-01'", login)


def _no_login(admin: psycopg.Connection[Any], login: str, database: str) -> None:
    _alter(admin, "NOLOGIN", login)


def _no_connect(admin: psycopg.Connection[Any], login: str, database: str) -> None:
    grant(admin, "REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database)


def _no_room(admin: psycopg.Connection[Any], login: str, database: str) -> None:
    _alter(admin, "CONNECTION LIMIT 0", login)


def _no_database(admin: psycopg.Connection[Any], login: str, database: str) -> None:
    pass


def _alter(admin: psycopg.Connection[Any], change: str, login: str) -> None:
    admin.execute(sql.SQL("ALTER ROLE {} " + change).format(sql.Identifier(login)))


REFUSALS: tuple[tuple[Callable[..., None], type[PenstockError], str], ...] = (
    (_wrong_password, LoginRefused, "AuthFailed"),
    (_expired, LoginRefused, "AuthFailed"),
    (_no_login, LoginRefused, "AuthFailed"),
    (_no_room, TooManyConnections, "TooManyConnections"),
    (_no_database, NoSuchDatabase, "NoSuchDatabase"),
    (_no_connect, MissingRights, "MissingRights"),
)


async def test_a_refusal_to_connect_has_its_kind(owned: Owned):
    """And says no password, whatever the kind."""
    for spoil, kind, reason in REFUSALS:
        with member(owned, "operator") as url:
            check_schema(url)
            with owned.database.connect() as admin:
                spoil(admin, str(urlsplit(url).username), urlsplit(url).path[1:])
            used = urlunsplit(urlsplit(url)._replace(path="/penstock_nowhere")) if spoil is _no_database else url
            error = await refused(used)
            assert (type(error), reason_of(error)) == (kind, reason), error
            if spoil is _no_connect:
                database, login = urlsplit(url).path[1:], urlsplit(url).username
                assert f'GRANT CONNECT ON DATABASE "{database}" TO "{login}";' in str(error)
            assert str(urlsplit(url).password) not in str(error)


def test_a_migration_by_another_login_names_the_owner(owned: Owned):
    """Of a schema that is there, and of a database where nothing may be made."""
    with member(owned, "operator") as url, owned.database.connect() as admin:
        name = str(urlsplit(url).username)
        admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
        with pytest.raises(
            MissingRights, match=f'login "{name}" may not change the schema penstock; run it as the schema'
        ):
            migrate(url)


def test_nobody_at_the_address_is_no_refusal():
    """The kinds above are words of a server that answered."""
    with pytest.raises(DatabaseUnavailable) as raised:
        check_schema("postgresql://nobody@127.0.0.1:1/nothing")
    assert type(raised.value) is DatabaseUnavailable


async def test_a_direct_url_to_another_database_is_reported(pg: Postgres, servers: Servers):
    """Its wake-ups would never arrive; one that does not connect is no more than polling."""
    with servers.newest.database(migrated=False) as other:
        address = Address(url=pg.url, direct_url=other.url)
        database = Database(address=address, holder="a", woken=lambda _: None)
        with pytest.raises(WrongDatabase) as raised:
            await database.open()
        await database.close()
    assert reason_of(raised.value) == "WrongDatabase"
    check_same_database(pg.url, "postgresql://nobody@127.0.0.1:1/nothing")
    check_same_database(pg.url, pg.url + "?application_name=direct")


def test_a_worker_whose_login_is_refused_for_good_ends_with_the_reason(servers: Servers, trace: Path):
    """A container that starts again takes what its Secret holds by then; one lost connection ends nothing."""
    with (
        servers.newest.database(migrated=False) as blank,
        owned_by_a_login(blank) as owned,
        member(owned, "worker") as url,
        blank.connect() as admin,
    ):
        worker = WorkerProcess(url, trace, lease_seconds=1)
        try:
            number = worker.row(admin)[0]
            cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
            login = str(urlsplit(url).username)
            admin.execute(cut.encode(), [login])
            renewed = "SELECT lease_until FROM penstock.worker WHERE id = %s"
            before = admin.execute(renewed.encode(), [number]).fetchone()
            desk.until(lambda: admin.execute(renewed.encode(), [number]).fetchone() != before)
            _wrong_password(admin, login, "")
            admin.execute(cut.encode(), [login])
            code, said = worker.ended()
        finally:
            worker.kill()
    assert code == 1
    assert "login rejected for 2 s, exiting" in said
    assert "the server refused the login" in said
    assert str(urlsplit(url).password) not in said
