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
from tests.support.postgres import Database

INTERNAL = {
    "ack_completed", "ack_deferred", "ack_ended", "append_worker_loss", "check_size", "deadline_error",
    "end_cancelled", "end_incompatible", "enqueue_unique", "ensure_partition", "expire_keys", "have_queues",
    "idle_queues", "integrity", "keep_queue", "limit_give_back", "limit_room", "limit_take", "limit_undeclared",
    "limit_wait", "lock_holders", "make_queue", "may_rescue", "miscounted_limits", "orphan_queues", "pick",
    "queues_below_marks", "reclaim", "refuse_orphans", "retake_key", "retry_delay", "row_holder",
    "lagging_sequences", "take_xid", "undeclared", "wake",
}  # fmt: skip
"""Functions that only other functions call, or the owner (and the one that a COPY is followed by): nobody's entry."""
ALL = frozenset(roles())
ENQUEUERS = frozenset({"enqueuer", "client", "bulk_enqueuer", "worker"})
MAINTENANCE = frozenset({"worker", "operator"})
COUNTERS = frozenset({"operator", "observer"})
ALLOWED: dict[str, frozenset[str]] = {
    "SELECT penstock.enqueue('q', 'work')": ENQUEUERS,
    "SELECT penstock.enqueue_many(ARRAY['q'], ARRAY['work'], ARRAY['{}'::jsonb])": ENQUEUERS,
    "SELECT penstock.enqueue_quietly(ARRAY['q'], ARRAY['work'], ARRAY['{}'::jsonb])": ENQUEUERS,
    "INSERT INTO penstock.job (queue, task, args) VALUES (1, 'work', '{}')": frozenset({"bulk_enqueuer"}),
    "INSERT INTO penstock.job (queue, task, args, ord) VALUES (1, 'work', '{}', 1)": frozenset(),
    "INSERT INTO penstock.job (queue, task, args, token, worker) VALUES (1, 'work', '{}', 1, 1)": frozenset(),
    "INSERT INTO penstock.job (queue, task, args, unique_key) VALUES (1, 'work', '{}', '1:k')": frozenset(),
    "SELECT ids FROM penstock.begin_copy('{q}', 3)": frozenset({"bulk_enqueuer"}),
    "SELECT queues FROM penstock.open_copy('{q}')": frozenset({"bulk_enqueuer"}),
    "SELECT penstock.close_copy(0, 0, '{1}')": frozenset({"bulk_enqueuer"}),
    "INSERT INTO penstock.job (id, queue, task, args) VALUES (9, 1, 'work', '{}')": frozenset(),
    "SELECT penstock.bury_unreadable(1, 9)": frozenset({"worker"}),
    "SELECT id, name FROM penstock.queue": frozenset({"bulk_enqueuer"}),
    "SELECT worker FROM penstock.register('q', 'x', NULL, NULL, '0', 1, 9, '{}')": frozenset({"worker"}),
    "SELECT penstock.renew(1, 9, '{}', '{}', '{}', '{}', false)": frozenset({"worker"}),
    "SELECT penstock.begin_drain(1)": frozenset({"worker"}),
    "SELECT penstock.deregister(1, true)": frozenset({"worker"}),
    "SELECT penstock.claim(1, 1, 1, 1)": frozenset({"worker"}),
    "SELECT penstock.ack(1, '{1}', '{1}')": frozenset({"worker"}),
    "SELECT penstock.ack_unlocked(1, '{1}', '{1}')": frozenset({"worker"}),
    "SELECT penstock.release_unlocked(1, '{1}', '{1}')": frozenset({"worker"}),
    "SELECT penstock.complete(1, 1, 1, 0.5)": frozenset({"worker"}),
    "SELECT penstock.release(1, '{1}', '{1}')": frozenset({"worker"}),
    "SELECT penstock.release_claim(1, 1, 1)": frozenset({"worker"}),
    "SELECT penstock.release_unknown(1, 1, '{}', '{}')": frozenset({"worker"}),
    "SELECT penstock.wait_mark('{1}', 9, false)": MAINTENANCE,
    "SELECT penstock.lead('maintenance', 'x', 9)": MAINTENANCE,
    "SELECT penstock.lead_ends('maintenance')": MAINTENANCE,
    "SELECT penstock.promote(9)": MAINTENANCE,
    "SELECT penstock.rescue('x', 9)": MAINTENANCE,
    "SELECT penstock.rescue_overdue('x', 9)": MAINTENANCE,
    "SELECT penstock.begin_marks()": MAINTENANCE,
    "SELECT penstock.publish_marks(1, 1)": MAINTENANCE,
    "SELECT penstock.count_limits()": MAINTENANCE,
    "SELECT penstock.make_partitions(14)": MAINTENANCE,
    "SELECT penstock.drop_partitions()": MAINTENANCE,
    "SELECT penstock.prune_workers()": MAINTENANCE,
    "SELECT penstock.prune_queues()": MAINTENANCE,
    "SELECT penstock.audit('limits')": MAINTENANCE,
    "SELECT penstock.end_refused(1, 1, 1, '{}')": frozenset({"worker"}),
    "SELECT penstock.limit_undeclared(9)": frozenset(),
    "SELECT penstock.depth(1, 9)": frozenset({"worker"}),
    "SELECT penstock.tell_dead('x', 9)": frozenset({"worker"}),
    "SELECT penstock.snapshot(9, 9)": COUNTERS,
    "SELECT penstock.sample('{q}', 9, 9)": COUNTERS,
    "SELECT penstock.held_by(1, 9)": frozenset({"operator"}),
    "SELECT * FROM penstock.lost_workers(1)": frozenset({"operator"}),
    "SELECT penstock.shorten_grace(1, 'p', 9)": frozenset({"operator"}),
    "SELECT penstock.grace_left(1)": frozenset({"worker"}),
    "SELECT penstock.note_end(1, 'p', now(), 'x')": frozenset({"operator"}),
    "SELECT penstock.recent_waits(60, 9)": frozenset({"operator"}),
    "SELECT * FROM penstock.list_queues(9)": COUNTERS,
    "SELECT * FROM penstock.queue_stats(NULL, 60)": COUNTERS,
    "SELECT * FROM penstock.list_workers(NULL, 9)": COUNTERS,
    "SELECT * FROM penstock.list_jobs('{dead}', NULL, NULL, NULL, NULL, NULL, 9)": COUNTERS | {"client"},
    "SELECT penstock.why_job(1)": COUNTERS | {"client"},
    "SELECT penstock.checkup()": COUNTERS,
    "SELECT penstock.cordon('{1}', true)": frozenset({"operator"}),
    "SELECT penstock.declarations()": frozenset({"operator"}),
    "SELECT penstock.declare_queue('q', 'x', 1, false, 5::smallint, '{}', 9, 9, '{}')": frozenset({"operator"}),
    "SELECT penstock.set_limit(1, 9)": frozenset({"operator"}),
    "SELECT penstock.pause('q', true)": frozenset({"operator"}),
    "SELECT penstock.remove_queue('q', true)": frozenset({"operator"}),
    "SELECT penstock.retry_now('{1}')": frozenset({"operator"}),
    "SELECT penstock.find_dead(NULL, 'q', NULL, NULL, NULL, NULL, NULL, NULL, true, 9)": COUNTERS,
    "SELECT penstock.redrive('{1}')": frozenset({"operator"}),
    "SELECT penstock.discard('{1}')": frozenset({"operator"}),
    "SELECT penstock.cancel_jobs('{1}')": frozenset({"operator", "client"}),
    "SELECT args, result FROM penstock.jobs": frozenset({"client"}),
    "SELECT id, state, reason, error FROM penstock.jobs_redacted": COUNTERS,
    "SELECT version FROM penstock.schema_version": MAINTENANCE | COUNTERS,
    "SELECT penstock.ack_ended(1, '{1}', '{1}', NULL, NULL, NULL, NULL, NULL, NULL)": frozenset(),
    "SELECT penstock.reclaim('{1}')": frozenset(),
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
