"""Roles: each can do its work, and not the next one's. Migrated by an owner who is no superuser, used by logins that
have one group role each; nothing here runs with more rights than the sentence says.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from penstock import App, JobState
from penstock.cli import main
from penstock.errors import ConfigurationError, StoreError
from penstock.job import Finished, NewJob, OutcomeState
from penstock.store import Registry, Store, check_schema, grants_sql, migrate, migration_sql, roles, roles_sql
from penstock.store.roles import executable
from tests.postgres import desk
from tests.support.postgres import Database

INTERNAL = {
    "ack_deferred", "ack_ended", "enqueue_unique", "limit_give_back", "limit_room", "pick", "retake_key", "take_back",
    "take_xid", "wake",
}  # fmt: skip
"""Functions that only other functions call (and the one that a COPY is followed by): nobody's entry."""
ALL = frozenset(roles())
ENQUEUERS = frozenset({"enqueuer", "client", "bulk_enqueuer", "worker"})
UPKEEP = frozenset({"worker", "operator"})
COUNTERS = frozenset({"operator", "observer"})
ALLOWED: dict[str, frozenset[str]] = {
    "SELECT penstock.enqueue('q', 'work')": ENQUEUERS,
    "SELECT penstock.enqueue_many(ARRAY['q'], ARRAY['work'], ARRAY['{}'::jsonb])": ENQUEUERS,
    "INSERT INTO penstock.job (queue, task, args) VALUES (1, 'work', '{}')": frozenset({"bulk_enqueuer"}),
    "INSERT INTO penstock.job (queue, task, args, ord) VALUES (1, 'work', '{}', 1)": frozenset(),
    "INSERT INTO penstock.job (queue, task, args, token, worker) VALUES (1, 'work', '{}', 1, 1)": frozenset(),
    "INSERT INTO penstock.job (queue, task, args, unique_key) VALUES (1, 'work', '{}', '1:k')": frozenset(),
    "SELECT id, name FROM penstock.queue": frozenset({"bulk_enqueuer"}),
    "SELECT worker FROM penstock.register('q', 'x', NULL, NULL, '0', 1, 9, '{}')": frozenset({"worker"}),
    "SELECT penstock.renew(1, 9, '{}', '{}', '{}', '{}', false)": frozenset({"worker"}),
    "SELECT penstock.deregister(1, true)": frozenset({"worker"}),
    "SELECT penstock.claim(1, 1, 1, 1)": frozenset({"worker"}),
    "SELECT penstock.ack(1, '{1}', '{1}')": frozenset({"worker"}),
    "SELECT penstock.release(1, '{1}', '{1}')": frozenset({"worker"}),
    "SELECT penstock.release_claim(1, 1, 1)": frozenset({"worker"}),
    "SELECT penstock.wait_mark('{1}', 9, false)": UPKEEP,
    "SELECT penstock.lead('maintenance', 'x', 9)": UPKEEP,
    "SELECT penstock.promote(9)": UPKEEP,
    "SELECT penstock.rescue('x', 9)": UPKEEP,
    "SELECT penstock.begin_marks()": UPKEEP,
    "SELECT penstock.publish_marks(1, 1)": UPKEEP,
    "SELECT penstock.count_limits(1)": UPKEEP,
    "SELECT penstock.make_partitions(14)": UPKEEP,
    "SELECT penstock.drop_partitions()": UPKEEP,
    "SELECT penstock.prune_workers()": UPKEEP,
    "SELECT penstock.snapshot(9, 9)": COUNTERS,
    "SELECT penstock.cordon('{1}', true)": frozenset({"operator"}),
    "SELECT penstock.declare_queue('q', 'x', 1, false, 5::smallint, '{}', 9, 9, '{}')": frozenset({"operator"}),
    "SELECT penstock.set_limit(1, 9)": frozenset({"operator"}),
    "SELECT penstock.pause('q', true)": frozenset({"operator"}),
    "SELECT penstock.retry_now('{1}')": frozenset({"operator"}),
    "SELECT penstock.redrive('{1}')": frozenset({"operator"}),
    "SELECT penstock.discard('{1}')": frozenset({"operator"}),
    "SELECT penstock.cancel_jobs('{1}')": frozenset({"operator", "client"}),
    "SELECT args, result FROM penstock.jobs": frozenset({"client"}),
    "SELECT id, state, reason, error FROM penstock.jobs_redacted": COUNTERS,
    "SELECT version FROM penstock.schema_version": UPKEEP | COUNTERS,
    "SELECT penstock.ack_ended(1, '{1}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL)": frozenset(),
    "SELECT penstock.take_back('{1}')": frozenset(),
    "SELECT args FROM penstock.job": frozenset(),
    "SELECT id, token FROM penstock.job": frozenset(),
    "SELECT args FROM penstock.dead": frozenset(),
    "SELECT result FROM penstock.outcome": frozenset(),
    "UPDATE penstock.job SET token = NULL, worker = NULL": frozenset(),
    "DELETE FROM penstock.job": frozenset(),
    "DELETE FROM penstock.outcome": frozenset(),
    "UPDATE penstock.worker SET state = 'running'": frozenset(),
    "UPDATE penstock.queue SET paused_at = NULL": frozenset(),
    "TRUNCATE penstock.job": frozenset(),
    "DROP TABLE penstock.job": frozenset(),
    "CREATE TABLE penstock.mine (id integer)": frozenset(),
    "CREATE FUNCTION penstock.claim() RETURNS integer LANGUAGE sql AS 'SELECT 1'": frozenset(),
}
"""Who may send what; everybody else is refused."""


@dataclass(frozen=True)
class Owned:
    """A database whose schema an ordinary login owns, and logins for it."""

    database: Database
    owner: str

    def url(self, login: str) -> str:
        parts = urlsplit(self.database.url)
        return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}"))


@contextmanager
def logins(database: Database, *suffixes: str, options: str = "") -> Iterator[list[str]]:
    """Logins of this test's own as user:password; dropped with all that they own."""
    names = [f"penstock_test_{os.getpid()}_{suffix}" for suffix in suffixes]
    passwords = [secrets.token_hex(8) for _ in names]
    with database.connect() as admin:
        for name, password in zip(names, passwords, strict=True):
            admin.execute(
                sql.SQL("CREATE ROLE {} LOGIN " + options + " PASSWORD {}").format(sql.Identifier(name), password)
            )
        try:
            yield [f"{name}:{password}" for name, password in zip(names, passwords, strict=True)]
        finally:
            for name in names:
                admin.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name)))
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def owned(pg_blank: Database) -> Iterator[Owned]:
    """Migrated with `roles=True` by a login that may create roles and schemas, and is no superuser."""
    with logins(pg_blank, "owner", options="CREATEROLE") as [owner]:
        found = Owned(pg_blank, owner)
        with pg_blank.connect() as admin:
            grant(admin, "GRANT CREATE ON DATABASE {} TO {}", urlsplit(pg_blank.url).path[1:], owner)
        migrate(found.url(owner), roles=True)
        yield found


def grant(admin: psycopg.Connection[Any], statement: str, *names: str) -> None:
    admin.execute(sql.SQL(statement).format(*(sql.Identifier(name.partition(":")[0]) for name in names)))


@contextmanager
def member(owned: Owned, role: str) -> Iterator[str]:
    """URL of a login that has one role."""
    with logins(owned.database, role) as [login]:
        with owned.database.connect() as admin:
            grant(admin, "GRANT {} TO {}", f"penstock_{role}", login)
        yield owned.url(login)


def new(**values: Any) -> NewJob:
    return NewJob(**{"task": "work", "args": '{"card": "secret"}', "queue": "q", **values})


# -- not the next one's work --------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", roles())
def test_a_role_may_do_its_own_and_nothing_else(role, owned):
    """Every statement of the table, as a login of that role: refused for want of a right, or not for that."""
    did: dict[str, bool] = {}
    with member(owned, role) as url, psycopg.connect(url) as connection:
        for statement in ALLOWED:
            try:
                connection.execute(statement.encode())
                did[statement] = True
            except psycopg.Error as error:
                did[statement] = not isinstance(error, psycopg.errors.InsufficientPrivilege)
            connection.rollback()
    assert did == {statement: role in who for statement, who in ALLOWED.items()}


def test_every_function_is_some_roles_or_internal(owned):
    """A new function that nobody may call, or that everybody may, is found here."""
    granted = {name for role in roles() for name in executable(role)}
    with owned.database.connect() as admin:
        names = {
            row[0] for row in admin.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'penstock'::regnamespace")
        }
        public = admin.execute(
            "SELECT p.proname FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a "
            "WHERE p.pronamespace = 'penstock'::regnamespace AND a.grantee = 0"
        ).fetchall()
    assert granted <= names
    assert names - granted == INTERNAL - granted
    assert public == []
    assert [name for name in granted - {"wake"} if not any(f"penstock.{name}(" in said for said in ALLOWED)] == []


def test_whatever_runs_as_the_owner_has_a_fixed_search_path_with_the_temporary_schema_last(owned):
    """Nobody's own function or table is found in place of a system one."""
    with owned.database.connect() as admin:
        rows = admin.execute(
            "SELECT proname, prosecdef, coalesce(array_to_string(proconfig, ';'), '') FROM pg_proc "
            "WHERE pronamespace = 'penstock'::regnamespace"
        ).fetchall()
    sealed = {name for name, definer, _ in rows if definer}
    assert {name for role in roles() for name in executable(role)} - sealed == {"enqueue", "wake"}
    assert [name for name, definer, config in rows if definer and "search_path=pg_catalog, pg_temp" not in config] == []


def test_a_callers_own_objects_deceive_no_function(owned):
    """A table and an operator of the caller's, first in its search_path, change nothing."""
    with member(owned, "enqueuer") as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TEMPORARY TABLE unnest (name text)")
        connection.execute(
            "CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'"
        )
        connection.execute("SET search_path = pg_temp, pg_catalog")
        connection.execute("SELECT penstock.enqueue('q', 'work')")
    with owned.database.connect() as admin:
        assert admin.execute("SELECT count(created_at) FROM penstock.job").fetchone() == (1,)


# -- its own work -------------------------------------------------------------------------------------------------


async def test_the_whole_life_of_a_job_runs_under_the_worker(owned):
    """Through the library: register, wait, claim, renew, acknowledge, release, upkeep, leave."""
    with member(owned, "worker") as url, App(url) as app, closing(Registry(url)) as registry:
        assert check_schema(url) > 0
        app.enqueue_many([new(), new(), new(), new(delay=0.001)])
        worker, queue = registry.register(queue="q", identity="host:1", version="1", concurrency=2, lease=15)
        async with Store(url, lanes=1) as store:
            assert await store.wait_mark([queue], 20) > 0
            first, second, third = (await store.claim(worker, queue, "q", 3, desk.token()))[:3]
            held = [(job.id, job.token) for job in (first, second, third)]
            assert registry.renew(worker, lease=15, held=held, in_flight={}, done={}, drained=False).fenced == []
            batch = [
                Finished(job=first, state=OutcomeState.COMPLETED, result="1"),
                Finished(job=second, state=OutcomeState.RETRY, error="{}"),
            ]
            assert await store.ack(worker, batch) == []
            assert await store.release(worker, [third]) == 1
            assert await store.lead("maintenance", "x", 15) is not None
            assert (await store.promote()).promoted > 0
            await store.rescue("x", 0.01)
            await store.count_limits()
            assert await store.make_partitions() == await store.drop_partitions() == await store.prune_workers() == 0
            assert await store.oldest_xid() > 0
        registry.deregister(worker, empty=True)


async def test_the_operator_watches_scales_and_does_what_people_ask(owned):
    """Snapshot, declare, limit, cordon, cancel; the arguments of a job it never sees."""
    with member(owned, "enqueuer") as url, App(url) as app:
        [job] = app.enqueue_many([new()])
    with member(owned, "operator") as url:
        async with Store(url, lanes=1) as store:
            queue = await store.declare_queue("q", declared_by="uid", generation=1)
            [state] = await store.snapshot()
            assert (state.name, state.ready, state.declared) == ("q", 1, True)
            assert await store.wait_mark([queue], 20, operator=True) > 0
            await store.set_limit(queue, 3)
            assert await store.cordon([1]) == []
        with psycopg.connect(url) as connection:
            query = "SELECT verdict FROM penstock.cancel_jobs(%s)"
            assert connection.execute(query, [[job]]).fetchone() == ("cancelled",)
        with App(url) as app, pytest.raises(StoreError, match="penstock grants"):
            app.job(job).info()


def test_a_client_follows_its_jobs(owned):
    """Enqueue, state, cancel, through handles."""
    with member(owned, "client") as url, App(url) as app:
        [job] = app.enqueue_many([new()])
        assert app.job(job).status() is JobState.QUEUED
        app.job(job).cancel()
        assert app.job(job).status() is JobState.CANCELLED


def test_a_copy_makes_ready_jobs_in_order_and_wakes_who_waits(owned):
    """By column; id, ord and times are the table's. Deferred jobs are refused: they go through the function."""
    with owned.database.connect() as admin, member(owned, "bulk_enqueuer") as url, psycopg.connect(url) as connection:
        worker = desk.register(admin)
        admin.execute("SELECT penstock.wait_mark(%s, 60, false)", [[worker.queue]])
        admin.execute("LISTEN penstock_work")
        query = "COPY penstock.job (queue, task, args) FROM STDIN"
        with connection.cursor().copy(query) as copy:
            for number in range(500):
                copy.write_row((worker.queue, "work", f'{{"n": {number}}}'))
        connection.execute("SELECT penstock.wake(%s)", [[worker.queue]])
        connection.commit()
        assert next(admin.notifies(timeout=10)).payload == str(worker.queue)
        claimed = admin.execute(
            "SELECT id, ord FROM penstock.claim(%s, %s, 500, 7)", [worker.id, worker.queue]
        ).fetchall()
        assert len(claimed) == 500
        assert [ord_ for _, ord_ in sorted(claimed)] == sorted(ord_ for _, ord_ in claimed)
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            connection.cursor().copy("COPY penstock.job (queue, task, args, due_at) FROM STDIN"),
        ):
            pass


async def test_an_observer_sees_states_and_error_types_and_no_contents(owned):
    """Neither column nor value of arguments, results, headers, messages and tracebacks."""
    secret = "4929-1234"
    with owned.database.connect() as admin:
        worker = desk.register(admin)
        with App(owned.database.url) as app:
            app.enqueue_many(new(args=f'{{"card": "{secret}"}}', headers=f'{{"h": "{secret}"}}') for _ in range(4))
        async with Store(owned.database.url, lanes=1) as store:
            jobs = await store.claim(worker.id, worker.queue, "q", 3, desk.token())
            error = f'{{"type": "builtins.ValueError", "message": "{secret}", "traceback": "{secret}"}}'
            ends = zip(jobs, (OutcomeState.COMPLETED, OutcomeState.FAILED, OutcomeState.RETRY), strict=True)
            batch = [Finished(job=job, state=end, result=f'"{secret}"', error=error) for job, end in ends]
            assert await store.ack(worker.id, batch) == []
    with member(owned, "observer") as url, psycopg.connect(url) as connection:
        rows = connection.execute("SELECT * FROM penstock.jobs_redacted ORDER BY id").fetchall()
        seen = connection.execute("SELECT penstock.snapshot(9, 9)::text").fetchall()
        states = connection.execute("SELECT state, error FROM penstock.jobs_redacted ORDER BY id").fetchall()
    assert secret not in f"{rows}{seen}"
    kind = "builtins.ValueError"
    assert states == [("completed", kind), ("dead", kind), ("scheduled", kind), ("queued", None)]


# -- handing out ---------------------------------------------------------------------------------------------------


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
        for role in roles():  # other tests of this server may have made them
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"penstock_{role}")))
        url = Owned(pg_blank, owner).url(owner)
        with pytest.raises(StoreError, match="penstock grants --for ROLE --to LOGIN"):
            migrate(url, roles=True)
        assert admin.execute("SELECT to_regnamespace('penstock')").fetchone() == (None,)
        assert migrate(url).version > 0


def test_a_login_that_may_not_migrate_hears_it_in_one_sentence(owned):
    """Neither as a worker nor on a database where it may create nothing."""
    with owned.database.connect() as admin:
        admin.execute("UPDATE penstock.schema_function SET checksum = 'older'")
    with member(owned, "worker") as url, pytest.raises(StoreError, match="lacks a right"):
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
