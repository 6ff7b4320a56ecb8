"""The store's statements, one connection at a time: what each does and what it refuses."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from penstock.errors import (
    ClaimRefused,
    DatabaseUnavailable,
    InvalidDatabaseURL,
    MigrationFailed,
    ReadOnlyServer,
    RejectedByDatabase,
    SchemaMismatch,
    SchemaMissing,
)
from penstock.job import ENDED, Finished, JobState, NewJob, OutcomeState
from penstock.store import (
    AsyncClient,
    Registry,
    Store,
    SyncClient,
    check_schema,
    enqueue_on,
    enqueue_on_async,
    latest_version,
    migrate,
    migration_sql,
)
from tests.postgres import desk


def new(**values) -> NewJob:
    return NewJob(**{"task": "work", "args": "{}", "queue": "q", **values})


async def claim(store: Store, worker: desk.Worker, count: int = 10):
    return await store.claim(worker.id, worker.queue, "q", count, desk.token())


# -- enqueue ------------------------------------------------------------------------------------------------------


def test_ids_come_in_the_order_of_the_jobs_across_queues(client, db):
    """A bulk enqueue over two queues answers position by position."""
    jobs = [new(queue=f"q{n % 2}", args=f'{{"n": {n}}}') for n in range(20)]
    ids = client.enqueue(jobs)
    rows = db.execute("SELECT args FROM penstock.job ORDER BY id").fetchall()
    assert ids == sorted(ids)
    assert [row[0]["n"] for row in rows] == list(range(20))


def test_an_enqueue_in_the_callers_transaction_is_committed_and_rolled_back_with_it(pg, db):
    """The job is there exactly when the caller's own write is."""
    with pg.connect() as connection:
        with connection.transaction():
            (kept,) = enqueue_on(connection, [new()])
        with pytest.raises(ZeroDivisionError), connection.transaction():
            enqueue_on(connection, [new()])
            raise ZeroDivisionError
    assert [row[0] for row in db.execute("SELECT id FROM penstock.job")] == [kept]


async def test_an_async_connection_carries_an_enqueue_too(pg, db):
    """The same inside an asynchronous transaction."""
    async with await psycopg.AsyncConnection.connect(pg.url) as connection:
        (kept,) = await enqueue_on_async(connection, [new()])
        assert desk.state_of(db, kept) == "gone"
    assert desk.state_of(db, kept) == "queued"


async def test_the_async_client_enqueues_and_looks_up(pg):
    """An id in, the job's state out; an id that nobody has gives None."""
    client = AsyncClient(pg.url)
    try:
        (job,) = await client.enqueue([new(priority=2, headers='{"trace": "x"}')])
        info = await client.info(job)
        assert info is not None
        assert (info.state, info.priority, info.headers) == (JobState.QUEUED, 2, {"trace": "x"})
        assert await client.info(job + 1000) is None
    finally:
        await client.close()


def test_delay_and_time_defer_on_the_databases_clock(client, db):
    """A delay and a time ahead are scheduled; a time that has passed is ready at once."""
    ahead, past = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)
    jobs = client.enqueue([new(delay=60), new(at=ahead), new(at=past), new(delay=0)])
    assert [desk.state_of(db, job) for job in jobs] == ["scheduled", "scheduled", "queued", "queued"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"priority": 4},
        {"priority": -1},
        {"queue": "no spaces"},
        {"queue": ""},
        {"args": "{"},
        {"task": ""},
        {"max_attempts": 0},
    ],
    ids=str,
)
def test_a_value_that_breaks_a_rule_is_refused_whole(wrong, client, db):
    """One wrong job among right ones: one error, nothing written, no queue made."""
    with pytest.raises(RejectedByDatabase):
        client.enqueue([new(), new(**wrong), new()])
    assert db.execute(
        "SELECT (SELECT count(*) FROM penstock.job), (SELECT count(*) FROM penstock.queue)"
    ).fetchone() == (0, 0)


def test_the_queues_max_attempts_hold_where_a_job_says_nothing(client, db):
    """The options' come first, then the queue's."""
    client.enqueue([new()])
    db.execute("UPDATE penstock.queue SET max_attempts = 7")
    client.enqueue([new(), new(max_attempts=2)])
    rows = db.execute("SELECT max_attempts FROM penstock.job ORDER BY id").fetchall()
    assert rows == [(5,), (7,), (2,)]


def test_a_plain_sql_call_enqueues(db):
    """Any language can: one function, named arguments."""
    row = db.execute(
        """SELECT penstock.enqueue('emails', 'send', '{"user": 1}', p_priority => 0::smallint)"""
    ).fetchone()
    assert desk.state_of(db, row[0]) == "queued"


# -- claim --------------------------------------------------------------------------------------------------------


async def test_a_claim_comes_in_order_of_priority_and_entry(store, client, db):
    """Lower numbers first, then who came first."""
    ids = client.enqueue([new(priority=p) for p in (3, 1, 0, 1, 2, 0)])
    jobs = await claim(store, desk.register(db), 6)
    assert [job.id for job in jobs] == [ids[n] for n in (2, 5, 1, 3, 4, 0)]


async def test_lower_numbers_come_first_when_not_all_fit(store, client, db):
    """But for the floor: of a claim of 20 one is kept for each level below, and the rest goes to the first."""
    client.enqueue([new(priority=p) for p in (3, 2, 1, 0) for _ in range(50)])
    jobs = await claim(store, desk.register(db), 20)
    counts = [sum(job.priority == p for job in jobs) for p in range(4)]
    assert sum(counts) == 20
    assert counts[0] >= 14
    assert all(1 <= count <= 2 for count in counts[1:])


async def test_a_floor_that_has_no_job_is_given_to_others(store, client, db):
    """No slot is wasted on an empty level."""
    client.enqueue([new(priority=0) for _ in range(100)])
    assert len(await claim(store, desk.register(db), 60)) == 60


async def test_no_level_starves_behind_an_endless_higher_one(store, client, db):
    """Claims of one job at a time: the twentieth comes by chance, and 200 claims bring some of the last level."""
    client.enqueue([new(priority=0) for _ in range(400)] + [new(priority=3) for _ in range(40)])
    worker = desk.register(db)
    jobs = [job for _ in range(200) for job in await claim(store, worker, 1)]
    assert 0 < sum(job.priority == 3 for job in jobs) < 40


async def test_a_claim_never_brings_more_than_was_asked(store, client, db):
    """Whatever is there."""
    client.enqueue([new(priority=n % 4) for n in range(40)])
    worker = desk.register(db)
    assert [len(await claim(store, worker, 7)) for _ in range(6)] == [7, 7, 7, 7, 7, 5]


async def test_a_claim_is_refused_without_a_live_lease(store, client, db):
    """Cordoned, lost and lapsed workers get nothing, and hear why."""
    client.enqueue([new()])
    for change in ("state = 'cordoned'", "state = 'lost'", "lease_until = clock_timestamp()"):
        worker = desk.register(db)
        db.execute(f"UPDATE penstock.worker SET {change} WHERE id = {worker.id}")
        with pytest.raises(ClaimRefused, match="not running with a live lease"):
            await claim(store, worker)


async def test_a_paused_queue_gives_nothing(store, client, db):
    """And gives again when it is resumed."""
    client.enqueue([new()])
    worker = desk.register(db)
    db.execute("UPDATE penstock.queue SET paused_at = now()")
    assert await claim(store, worker) == []
    db.execute("UPDATE penstock.queue SET paused_at = NULL")
    assert len(await claim(store, worker)) == 1


async def test_a_claim_says_how_long_the_job_waited_and_sets_its_deadline(store, client, db):
    """Wait from ready to claimed on the database's clock; the deadline is the queue's."""
    client.enqueue([new()])
    db.execute("UPDATE penstock.queue SET job_deadline = '50 minutes'")
    db.execute("UPDATE penstock.job SET ready_at = ready_at - interval '10 seconds'")
    (job,) = await claim(store, desk.register(db))
    assert 10 <= job.wait < 60
    assert db.execute("SELECT deadline - claimed_at FROM penstock.job").fetchone() == (timedelta(minutes=50),)


async def test_claims_are_hot(store, client, db):
    """A claim changes no index: every update of a claimed page stays on its page."""
    client.enqueue([new() for _ in range(50)])
    worker = desk.register(db)
    await claim(store, worker, 50)
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'job'"
    desk.until(lambda: db.execute(query).fetchone() == (50, 50))


# -- ack, release, rescue -----------------------------------------------------------------------------------------


async def test_a_mixed_batch_puts_each_job_where_it_belongs(store, client, db):
    """Completed, failed, cancelled, retried and snoozed in one call."""
    client.enqueue([new() for _ in range(5)])
    worker = desk.register(db)
    jobs = await claim(store, worker)
    states = [
        OutcomeState.COMPLETED,
        OutcomeState.FAILED,
        OutcomeState.CANCELLED,
        OutcomeState.RETRY,
        OutcomeState.SNOOZE,
    ]
    batch = [
        Finished(job=job, state=state, delay=60, reason="why", error='{"message": "no"}', result='"yes"')
        for job, state in zip(jobs, states, strict=True)
    ]
    assert await store.ack(worker.id, batch) == []
    found = [desk.state_of(db, job.id) for job in jobs]
    assert found == ["completed", "dead", "cancelled", "scheduled", "scheduled"]
    attempts = db.execute("SELECT attempt, reason, errors FROM penstock.job ORDER BY id").fetchall()
    assert attempts == [(1, "why", [{"message": "no"}]), (0, "why", [{"message": "no"}])]
    assert db.execute("SELECT state, final FROM penstock.outcome ORDER BY job_id").fetchall() == [
        ("completed", True), ("failed", True), ("cancelled", True), ("retry", False),
    ]  # fmt: skip


async def test_a_result_and_a_dead_letters_history_can_be_read(store, client, db):
    """What the view shows of ended jobs."""
    done, dead = client.enqueue([new(args='{"n": 1}'), new(max_attempts=1)])
    worker = desk.register(db)
    first, second = await claim(store, worker)
    failed = Finished(job=second, state=OutcomeState.FAILED, reason="exhausted", error='{"message": "no"}')
    await store.ack(worker.id, [Finished(job=first, state=OutcomeState.COMPLETED, result="[1, 2]"), failed])
    info = client.info(done)
    assert info is not None
    assert (info.state, info.result, info.args) == (JobState.COMPLETED, [1, 2], {"n": 1})
    info = client.info(dead)
    assert info is not None
    assert (info.state, info.reason, info.errors) == (JobState.DEAD, "exhausted", [{"message": "no"}])
    assert info.state in ENDED


async def test_the_history_keeps_the_last_five_errors(store, client, db):
    """Older ones are in their outcomes."""
    client.enqueue([new(max_attempts=100)])
    worker = desk.register(db)
    for number in range(1, 8):
        (job,) = await claim(store, worker)
        await store.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY, error=f'{{"n": {number}}}')])
        await store.promote()
    errors = db.execute("SELECT errors FROM penstock.job").fetchone()[0]
    assert [error["n"] for error in errors] == [3, 4, 5, 6, 7]


async def test_one_unstorable_outcome_refuses_its_batch_and_writes_nothing(store, client, db):
    """So that the caller may halve the batch and find it."""
    client.enqueue([new(), new()])
    worker = desk.register(db)
    first, second = await claim(store, worker)
    wrong = Finished(job=second, state=OutcomeState.COMPLETED, result='"\\u0000"')
    with pytest.raises(RejectedByDatabase):
        await store.ack(worker.id, [Finished(job=first, state=OutcomeState.COMPLETED), wrong])
    assert [desk.state_of(db, job.id) for job in (first, second)] == ["running", "running"]


async def test_release_refunds_the_attempt_and_goes_behind_those_that_wait(store, client, db):
    """A fresh ord, the same ready_at."""
    ids = client.enqueue([new(), new()])
    worker = desk.register(db)
    ready_at = db.execute("SELECT ready_at FROM penstock.job WHERE id = %s", [ids[0]]).fetchone()
    first = await claim(store, worker, 1)
    assert await store.release(worker.id, first) == 1
    assert [job.id for job in await claim(store, worker, 2)] == ids[::-1]
    assert db.execute("SELECT ready_at FROM penstock.job WHERE id = %s", [ids[0]]).fetchone() == ready_at
    assert db.execute("SELECT attempt FROM penstock.job WHERE id = %s", [ids[0]]).fetchone() == (1,)


async def test_the_third_crash_makes_a_dead_letter_and_spares_the_neighbours(store, client, db):
    """A job whose worker is lost three times is poison; one that sat beside it once is not."""
    (poison,) = client.enqueue([new()])
    desk.lead_for_long(db)
    for crash in range(1, 4):
        worker = desk.register(db)
        (neighbour,) = client.enqueue([new()])
        assert len(await claim(store, worker, 2)) == 2
        desk.lapse(db, worker)
        rescue = await store.rescue("leader", desk.QUIET_LEASE)
        assert rescue == ((1, 2, 0) if crash < 3 else (1, 1, 1))
        assert desk.state_of(db, neighbour) == "scheduled"
        db.execute("DELETE FROM penstock.job WHERE id = %s", [neighbour])
        db.execute("UPDATE penstock.job SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
        await store.promote()
    info = client.info(poison)
    assert info is not None
    assert (info.state, info.reason, info.crashes) == (JobState.DEAD, "poison", 3)


async def test_promotion_keeps_the_due_time_as_the_begin_of_the_wait(store, client, db):
    """A late promotion shows as waiting; the next due time is told."""
    first, _ = client.enqueue([new(delay=0.001), new(delay=500)])
    desk.until(lambda: db.execute("SELECT min(due_at) < clock_timestamp() FROM penstock.job").fetchone() == (True,))
    due = db.execute("SELECT due_at FROM penstock.job WHERE id = %s", [first]).fetchone()
    promotion = await store.promote()
    assert promotion.promoted == 1
    assert promotion.next_due == pytest.approx(500, abs=5)
    assert db.execute("SELECT ready_at FROM penstock.job WHERE id = %s", [first]).fetchone() == due


async def test_a_snapshot_counts_every_queue_in_one_query(store, client, db):
    """Ready, deferred, due soon, in flight, dead, the oldest, and the workers; a cap bounds the counting."""
    client.enqueue([new() for _ in range(6)] + [new(delay=5), new(delay=500), new(queue="other")])
    worker = desk.register(db)
    db.execute("UPDATE penstock.job SET ready_at = ready_at - interval '1 minute' WHERE queue = %s", [worker.queue])
    jobs = await claim(store, worker, 2)
    await store.ack(worker.id, [Finished(job=jobs[0], state=OutcomeState.FAILED, reason="exhausted")])
    by_name = {state.name: state for state in await store.snapshot()}
    q = by_name["q"]
    assert (q.ready, q.deferred, q.due_soon, q.in_flight, q.dead, q.capped) == (4, 2, 1, 1, 1, False)
    assert q.oldest == pytest.approx(60, abs=10)
    assert [w["id"] for w in q.workers] == [worker.id]
    assert (by_name["other"].ready, by_name["other"].workers, by_name["other"].declared) == (1, [], False)
    capped = {state.name: state for state in await store.snapshot(cap=2)}["q"]
    assert capped.capped
    assert capped.ready <= 3


async def test_declaring_a_queue_mirrors_its_settings_and_ignores_an_older_generation(store, db):
    """The newest generation of one declarer wins, whatever order they arrive in."""
    await store.declare_queue("q", declared_by="uid", generation=2, max_attempts=9, job_deadline=60)
    await store.declare_queue("q", declared_by="uid", generation=1, max_attempts=3)
    row = db.execute("SELECT max_attempts, job_deadline, generation FROM penstock.queue").fetchone()
    assert row == (9, timedelta(minutes=1), 2)


def test_the_registry_knows_who_is_there_and_forgets_who_left_empty(pg, db):
    """Renewal reports what is in flight; leaving with claims open marks the worker lost instead."""
    registry = Registry(pg.url)
    try:
        values: Any = {"queue": "q", "identity": "host:1", "version": "1", "concurrency": 2, "lease": 15.0}
        one, two = registry.register(**values), registry.register(**values)
        renewal = registry.renew(one.worker, lease=15, held=[], in_flight={"q": 2}, done={"q": 7}, drained=False)
        assert renewal == ("running", [], [])
        assert db.execute("SELECT in_flight, done FROM penstock.worker ORDER BY id LIMIT 1").fetchone() == (
            {"q": 2},
            {"q": 7},
        )
        registry.deregister(one.worker, empty=True)
        registry.deregister(two.worker, empty=False)
        assert db.execute("SELECT id, state FROM penstock.worker").fetchall() == [(two.worker, "lost")]
    finally:
        registry.close()


def test_a_cordoned_worker_reports_drained_and_can_be_called_back(pg, db):
    """Only an empty cordoned worker becomes drained; both states end with the call."""
    worker = desk.register(db)
    registry = Registry(pg.url)
    try:
        db.execute("SELECT penstock.cordon(%s, true)", [[worker.id]])
        states = []
        for drained in (False, True):
            renewal = registry.renew(worker.id, lease=15, held=[], in_flight={}, done={}, drained=drained)
            states.append(renewal.state)
        assert states == ["cordoned", "drained"]
        assert db.execute("SELECT penstock.cordon(%s, false)", [[worker.id]]).fetchall() == [(worker.id,)]
        assert db.execute("SELECT state FROM penstock.worker").fetchone() == ("running",)
    finally:
        registry.close()


# -- schema -------------------------------------------------------------------------------------------------------


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
        client.enqueue([new()])
    client.close()
    migrate(pg_blank.url)
    with pg_blank.connect() as connection:
        connection.execute("DELETE FROM penstock.schema_version WHERE version = %s", [latest_version()])
    with pytest.raises(SchemaMismatch, match="is older than"):
        check_schema(pg_blank.url)


def test_partitions_stand_fourteen_days_ahead_and_old_ones_go(db):
    """Made by migrate and by upkeep; dropped once past every queue's retention."""
    count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'penstock.outcome'::regclass"
    assert db.execute(count).fetchone()[0] >= 15
    db.execute("CREATE TABLE penstock.outcome_20200101 (LIKE penstock.outcome INCLUDING ALL)")
    db.execute(
        "ALTER TABLE penstock.outcome ATTACH PARTITION penstock.outcome_20200101 "
        "FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00')"
    )
    assert db.execute("SELECT penstock.drop_partitions()").fetchone() == (1,)
    assert db.execute("SELECT penstock.drop_partitions()").fetchone() == (0,)


# -- bad servers --------------------------------------------------------------------------------------------------


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
        client.enqueue([new()])
    assert "hunter2" not in str(refused.value)


def test_a_read_only_server_is_named(client, db):
    """Nothing is written, and the reason is said."""
    name = db.execute("SELECT current_database()").fetchone()[0]
    db.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(ReadOnlyServer):
        client.enqueue([new()])


# -- plans --------------------------------------------------------------------------------------------------------


async def test_plans_made_on_empty_tables_still_find_rows_by_index_when_there_are_many(store, client, db):
    """Twelve empty polls, 100,000 rows, no ANALYZE: claim, ack and promotion never read the table in sequence."""
    worker = desk.register(db)
    db.execute("ALTER TABLE penstock.job SET (autovacuum_enabled = off)")
    for _ in range(12):
        await claim(store, worker)
        await store.promote()
    desk.enqueue(db, 50_000)
    desk.enqueue(db, 50_000, p_delays=[3600.0] * 50_000)
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'job'"
    db.execute("SELECT pg_stat_force_next_flush()")
    before = db.execute(scans).fetchone()
    for _ in range(3):
        jobs = await claim(store, worker, 100)
        assert len(jobs) == 100
        await store.ack(worker.id, [Finished(job=job, state=OutcomeState.COMPLETED) for job in jobs[:50]])
        await store.ack(worker.id, [Finished(job=job, state=OutcomeState.RETRY, delay=9) for job in jobs[50:75]])
        await store.release(worker.id, jobs[75:])
        await store.promote()
        await store.snapshot(cap=100)
    await store.close()  # a backend that ends has told all its counts
    db.execute("SELECT pg_stat_clear_snapshot()")
    assert db.execute(scans).fetchone() == before
