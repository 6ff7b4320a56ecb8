"""Roles: each can do its work, and not the next one's. The owner is no superuser; a login has one group role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from penstock import App, JobState
from penstock.errors import StoreError
from penstock.job import Finished, NewJob, OutcomeState
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.store import Store, WorkerRegistry, check_schema, roles
from penstock.store.schema.roles import executable
from tests.postgres import desk
from tests.postgres.logins import Owned, member, owned_by_a_login
from tests.postgres.roles.role_rights import ALLOWED, INTERNAL
from tests.support.postgres import Database


@pytest.fixture
def owned(pg_blank: Database) -> Iterator[Owned]:
    """A database of an owner without further rights, its roles made."""
    with owned_by_a_login(pg_blank) as made:
        yield made


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
    assert {name for role in roles() for name in executable(role)} - sealed == {"wake"}
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
    """Through the library: register, wait, claim, renew, acknowledge, release, maintenance, leave."""
    with member(owned, "worker") as url, App(url) as app, closing(WorkerRegistry(url)) as registry:
        assert check_schema(url) > 0
        app.enqueue_many([new(), new(), new(), new(delay=0.001)])
        worker, queue = registry.register(queue="q", identity="host:1", version="1", concurrency=2, lease=15)
        async with Store(url, lanes=1) as store:
            assert await store.queues.mark_waiting([queue], 20) > 0
            first, second, third = (await store.jobs.claim(worker, queue, "q", 3, desk.token()))[:3]
            ours = [(job.id, job.token) for job in (first, second, third)]
            assert registry.renew(worker, lease=15, claims=ours, in_flight={}, done={}, drained=False).fenced == []
            batch = [
                Finished(job=first, state=OutcomeState.COMPLETED, result="1"),
                Finished(job=second, state=OutcomeState.RETRY, error="{}"),
            ]
            assert await store.jobs.ack(worker, batch) == []
            assert await store.jobs.release(worker, [third]) == 1
            chores = store.leadership
            assert (await chores.acquire("maintenance", "x", 15))[0] is not None
            assert (await chores.promote()).promoted > 0
            await chores.rescue("x", 0.01)
            await chores.count_limits()
            assert await chores.make_partitions() == await chores.drop_partitions() == await chores.prune_workers() == 0
            assert await store.queues.oldest_xid() > 0
        registry.deregister(worker, empty=True)


async def test_the_operator_watches_scales_and_does_what_people_ask(owned):
    """Snapshot, declare, limit, cordon, cancel; the arguments of a job it never sees."""
    with member(owned, "enqueuer") as url, App(url) as app:
        [job] = app.enqueue_many([new()])
    with member(owned, "operator") as url:
        async with Store(url, lanes=1) as store:
            queue = await store.queues.declare("q", QueueDeclaration(declared_by="uid", generation=1))
            [state] = await store.queues.snapshot()
            assert (state.name, state.ready, state.declared) == ("q", 1, True)
            assert await store.queues.mark_waiting([queue], 20, operator=True) > 0
            await store.queues.set_limit(queue, 3)
            assert await store.workers.cordon([1]) == []
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
        assert next(admin.notifies(timeout=60)).payload == str(worker.queue)
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
            jobs = await store.jobs.claim(worker.id, worker.queue, "q", 3, desk.token())
            error = f'{{"type": "builtins.ValueError", "message": "{secret}", "traceback": "{secret}"}}'
            ends = zip(jobs, (OutcomeState.COMPLETED, OutcomeState.FAILED, OutcomeState.RETRY), strict=True)
            batch = [Finished(job=job, state=end, result=f'"{secret}"', error=error) for job, end in ends]
            assert await store.jobs.ack(worker.id, batch) == []
    with member(owned, "observer") as url, psycopg.connect(url) as connection:
        rows = connection.execute("SELECT * FROM penstock.jobs_redacted ORDER BY id").fetchall()
        seen = connection.execute("SELECT penstock.snapshot(9, 9)::text").fetchall()
        states = connection.execute("SELECT state, error FROM penstock.jobs_redacted ORDER BY id").fetchall()
    assert secret not in f"{rows}{seen}"
    kind = "builtins.ValueError"
    assert states == [("completed", kind), ("dead", kind), ("scheduled", kind), ("queued", None)]
