"""Schedules of manifests in `penstock dev`: declared, a worker before the tick, withdrawn when the session ends."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from penstock.dev.reaper import Reaper
from penstock.dev.run_dev import load_policies
from penstock.dev.session import open_session
from penstock.errors import ManifestError, StoreError
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.jobqueue.policy import QueuePolicy, parse_policy
from penstock.scaling import Bound
from penstock.schedules import parse
from penstock.store import Store
from tests.postgres.scaling.test_dev_autoscaler import SPEC, RecordingFleet, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Database

YEAR = 366 * 86_400
"""The longest interval: no second tick comes while a test runs."""
EMPTY = "SELECT count(*) FROM penstock.job"
FAR = "2099-01-01T00:00:00Z"
YEARLY = {"name": "nightly", "task": "mail", "everySeconds": YEAR, "startDate": FAR}
DECLARED = "SELECT queue, name FROM penstock.schedule WHERE removed_at IS NULL ORDER BY queue, name"
ROWS = "SELECT name, spec, generation, removed_at FROM penstock.schedule"
LEFT_ALONE = "Queue emails is declared by uid-1, not by penstock dev; its declaration and schedules stay as they are."
REFUSED = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON penstock.schedule FOR EACH ROW WHEN ({}) EXECUTE FUNCTION refuse()
"""
NAMES = "SELECT name, source, next_at FROM penstock.schedule WHERE removed_at IS NULL ORDER BY name"


def scheduled(*schedules: dict[str, Any], queue: str = "emails") -> QueuePolicy:
    return parse_policy({"metadata": {"name": queue}, "spec": {**SPEC, "schedules": list(schedules)}})


def tick_in(ahead: timedelta, db: psycopg.Connection[Any], **changes: Any) -> dict[str, Any]:
    """A schedule with one tick, by the database's clock."""
    row = db.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    start = (row[0].astimezone(UTC) + ahead).isoformat()
    return {"name": "nightly", "task": "mail", "everySeconds": YEAR, "startDate": start} | changes


@pytest.fixture
def session(tmp_path: Path, pg_newest: Database):
    """Opens a session of `penstock dev` whose workers are recorded and not started."""
    with ExitStack() as stack:
        reaper = Reaper()
        stack.callback(reaper.close)
        log = stack.enter_context((tmp_path / "log").open("ab"))
        fleet = RecordingFleet()

        def opened(*policies: QueuePolicy):
            return open_session(
                policies=policies,
                database_url=pg_newest.url,
                log=log,
                reaper=reaper,
                environ={},
                wrap_fleet=lambda _: fleet,
            )

        yield opened, fleet


@pytest.fixture
def db(pg_newest: Database):
    with pg_newest.connect() as connection:
        yield connection


async def test_a_worker_is_started_before_the_tick_and_an_hours_lead_is_an_hour(session, db) -> None:
    """The tick is in 59 minutes and its lead 60: no job exists, and the decision names the schedule."""
    opened, fleet = session
    policy = scheduled(tick_in(timedelta(minutes=59), db, leadSeconds=3600, timeZone="Europe/Berlin"))
    async with opened(policy) as running:
        await until(lambda: len(fleet.present) == 1)
        [queue] = running.autoscaler.queues
        assert (queue.decision.desired, queue.decision.bound) == (1, Bound.SCHEDULED)
        assert queue.decision.explanation.startswith("For the tick of nightly at ")
        assert " Europe/Berlin in 3" in queue.decision.explanation
        assert db.execute(EMPTY).fetchone() == (0,)


async def test_no_worker_is_started_for_a_tick_that_is_far_or_of_a_paused_queue(session, db) -> None:
    """The far one is a second outside of lead, startup and margin by an hour; a pause starts none before a near one."""
    opened, fleet = session
    far = tick_in(timedelta(hours=2), db, name="far", leadSeconds=3600)
    async with opened(scheduled(far)) as running:
        await until(lambda: bool(running.autoscaler.queues) and running.autoscaler.queues[0].snapshot is not None)
        assert [tick.schedule for tick in running.autoscaler.queues[0].snapshot.ticks] == ["far"]
        assert running.autoscaler.queues[0].decision.desired == 0
        db.execute("UPDATE penstock.queue SET paused_at = clock_timestamp() WHERE name = 'emails'")
        await until(lambda: running.autoscaler.queues[0].snapshot.ticks == ())
        db.execute("UPDATE penstock.schedule SET next_at = clock_timestamp() + interval '5 minutes'")
    assert fleet.acts == []


async def test_a_tick_fires_without_any_worker(session, db) -> None:
    """Maintenance of the session fires it: one job, with the arguments of the manifest."""
    opened, fleet = session
    policy = scheduled(tick_in(timedelta(seconds=1), db, args={"to": "all"}))
    async with opened(policy):
        await until(lambda: db.execute(EMPTY).fetchone() == (1,))
        await until(lambda: len(fleet.present) == 1)
        assert db.execute("SELECT task, args FROM penstock.job").fetchall() == [("mail", {"to": "all"})]


async def test_the_schedules_of_a_session_end_with_it_and_code_keeps_its_own(session, db, pg_newest: Database) -> None:
    """An edited manifest is followed by the next session; nothing of it ticks afterwards."""
    opened, _ = session
    far = datetime(2099, 1, 1, tzinfo=UTC)
    entry = {"name": "nightly", "task": "mail", "everySeconds": YEAR, "startDate": FAR}
    async with Store(pg_newest.url) as store:
        async with opened(scheduled(entry, entry | {"name": "monthly"})):
            assert db.execute(NAMES).fetchall() == [("monthly", "jobqueue", far), ("nightly", "jobqueue", far)]
            await store.schedules.declare("emails", "code", [parse(entry | {"name": "weekly"}, queue="emails")])
        assert db.execute(NAMES).fetchall() == [("weekly", "code", far)]
        async with opened(scheduled(entry)):
            assert db.execute(NAMES).fetchall() == [("nightly", "jobqueue", far), ("weekly", "code", far)]


async def test_the_queue_of_a_jobqueue_is_left_alone_with_one_sentence(session, db, pg_newest: Database) -> None:
    """Neither its declaration nor its schedules change, with the same name in the manifest or without schedules."""
    opened, _ = session
    async with Store(pg_newest.url) as store:
        await store.queues.declare("emails", QueueDeclaration(declared_by="uid-1", generation=3))
        await store.schedules.declare("emails", "jobqueue", [parse(YEARLY, queue="emails")])
    rows = db.execute(ROWS).fetchall()
    for policy in (scheduled(YEARLY | {"everySeconds": 60, "suspend": True}), scheduled()):
        async with opened(policy) as running:
            assert running.left_alone == [LEFT_ALONE]
            assert db.execute(ROWS).fetchall() == rows
        assert db.execute(ROWS).fetchall() == rows
    assert db.execute("SELECT declared_by, generation FROM penstock.queue").fetchall() == [("uid-1", 3)]


async def test_schedules_of_a_killed_session_go_with_the_next_one_and_nobody_elses_do(
    session, db, pg_newest: Database
) -> None:
    """A manifest without schedules withdraws those that stand in a queue of a session, and none of any other queue."""
    opened, _ = session
    async with Store(pg_newest.url) as store:
        await store.queues.declare("emails", QueueDeclaration(declared_by="local"))
        for queue in ("emails", "notes"):
            await store.schedules.declare(queue, "jobqueue", [parse(YEARLY, queue=queue)])
    async with opened(scheduled(), scheduled(queue="notes")) as running:
        assert running.left_alone == []
        assert db.execute(DECLARED).fetchall() == [("notes", "nightly")]


async def test_of_two_sessions_the_first_that_ends_leaves_the_schedules_of_the_second(session, db) -> None:
    """The later declaration of the queue says whose they are."""
    opened, _ = session
    entered, leave = asyncio.Event(), asyncio.Event()

    async def earlier() -> None:
        async with opened(scheduled(YEARLY)):
            entered.set()
            await leave.wait()

    task = asyncio.create_task(earlier())
    await entered.wait()
    async with opened(scheduled(YEARLY)):
        leave.set()
        await task
        assert db.execute(DECLARED).fetchall() == [("emails", "nightly")]
    assert db.execute(DECLARED).fetchall() == []


async def test_a_start_that_fails_leaves_no_schedule(session, db) -> None:
    """The first queue's were declared when those of the second were refused."""
    opened, _ = session
    db.execute(REFUSED.format("NEW.queue = 'notes'"))
    with pytest.raises(StoreError):
        async with opened(scheduled(YEARLY), scheduled(YEARLY, queue="notes")):
            pytest.fail("the session started")
    assert db.execute(DECLARED).fetchall() == []
    assert db.execute("SELECT count(*) FROM penstock.schedule").fetchone() == (1,)


async def test_one_withdrawal_that_fails_stops_no_other(session, db) -> None:
    """Each queue's is tried."""
    opened, _ = session
    async with opened(scheduled(YEARLY), scheduled(YEARLY, queue="notes")):
        db.execute(REFUSED.format("NEW.queue = 'emails' AND NEW.removed_at IS NOT NULL"))
    assert db.execute(DECLARED).fetchall() == [("emails", "nightly")]


MANIFEST = """
apiVersion: penstock.dev/v1alpha1
kind: JobQueue
metadata: {name: notes}
spec:
  databaseRef: {secretRef: {name: notes}}
  worker:
    app: notes:app
    template: {spec: {containers: [{name: worker, image: notes}]}}
  schedules:
    - {name: nightly, task: note, cron: 0 0 30 2 *}
"""


def test_a_wrong_schedule_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """In a cluster it would be a condition; here a person reads the terminal."""
    path = tmp_path / "jobqueues.yaml"
    path.write_text(MANIFEST)
    with pytest.raises(ManifestError) as raised:
        load_policies([path])
    sentence = "schedule 'nightly': no date ever matches the cron expression '0 0 30 2 *'"
    assert str(raised.value) == f"{path}: {sentence}"
