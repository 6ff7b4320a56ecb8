"""A server that is killed and recovers: claims that were committed are found by their tokens, all others never were."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from penstock import App
from penstock.dev.postgres.server import EmbeddedPostgres
from penstock.store import migrate
from tests.postgres import desk
from tests.support.postgres import Servers
from tests.support.waiting import eventually


@pytest.fixture
def server(servers: Servers) -> Iterator[EmbeddedPostgres]:
    """One to be killed, of the newest version."""
    installed = servers.newest.embedded
    bin_dir = installed.installation.bin_dir if installed else None
    with EmbeddedPostgres(bin_dir=bin_dir, settings={"shared_buffers": "32MB", "fsync": "off"}) as made:
        migrate(made.url)
        yield made


def crash(server: EmbeddedPostgres) -> None:
    """SIGKILL to the server and all its processes; then recovery from the log."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="ascii").split()
    for pid in [server.pid, *map(int, children)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    server.stop()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the backends are gone")
    server.start()


def connect(server: EmbeddedPostgres) -> contextlib.closing[psycopg.Connection]:
    return contextlib.closing(psycopg.connect(server.url, autocommit=True))


def test_tokens_lead_to_their_claims_after_a_crash_of_the_server(server):
    """Acknowledged, claimed without a reply, claimed and not committed; places and ids go on above the old ones."""
    acked, known, lost, never = desk.token(), desk.token(), desk.token(), desk.token()
    with connect(server) as db, connect(server) as sleepy:
        worker = desk.register(db, 600)
        ids = desk.enqueue(db, 4)
        for mine in (acked, known):
            db.execute(desk.CLAIM, [worker.id, worker.queue, 1, mine])
        assert db.execute(desk.ACK, [worker.id, ids[:1], [acked], ["completed"]]).fetchall() == []
        db.execute("SET synchronous_commit = off")
        db.execute(desk.CLAIM, [worker.id, worker.queue, 1, lost])
        (highest,) = db.execute("SELECT max(ord) FROM penstock.job").fetchall()
        sleepy.execute("BEGIN")
        assert len(sleepy.execute(desk.CLAIM, [worker.id, worker.queue, 1, never]).fetchall()) == 1
        crash(server)
    with connect(server) as db:
        assert [desk.state_of(db, job) for job in ids] == ["completed", "running", "running", "queued"]
        assert db.execute(desk.ACK, [worker.id, ids[:1], [acked], ["completed"]]).fetchall() == []
        assert db.execute(desk.ACK, [worker.id, ids[1:2], [known], ["completed"]]).fetchall() == []
        assert db.execute(desk.RELEASE_CLAIM, [worker.id, worker.queue, never]).fetchone() == (0,)
        assert db.execute(desk.RELEASE_CLAIM, [worker.id, worker.queue, lost]).fetchone() == (1,)
        assert db.execute("SELECT ord FROM penstock.job WHERE id = %s", [ids[2]]).fetchall() > [highest]
        assert min(desk.enqueue(db, 2)) > max(ids)
        assert db.execute("SELECT count(*) FROM penstock.outcome").fetchone() == (2,)


def test_nobody_is_rescued_until_the_server_has_been_up_for_a_lease(server):
    """The leader before the crash finds every lease run out, and must let the fleet renew first."""
    with connect(server) as db:
        workers = [desk.register(db) for _ in range(3)]
        (job, *_) = desk.enqueue(db, 3)
        for worker in workers:
            db.execute(desk.CLAIM, [worker.id, worker.queue, 1, desk.token()])
        desk.lead_for_long(db)
        crash(server)
    with connect(server) as db:
        for worker in workers:
            desk.lapse(db, worker)
        assert db.execute(desk.RESCUE, ["leader", 600]).fetchone() == (0, 0, 0)
        for worker in workers[1:]:
            assert db.execute(desk.RENEW, [worker.id, 60, [], []]).fetchone() == ("running", None, None)
        up = "SELECT clock_timestamp() - pg_postmaster_start_time() > interval '60 ms'"
        desk.until(lambda: db.execute(up).fetchone() == (True,))
        assert db.execute(desk.RESCUE, ["leader", desk.QUIET_LEASE]).fetchone() == (1, 1, 0)
        assert desk.state_of(db, job) == "scheduled"


def restart(server: EmbeddedPostgres) -> None:
    """As an administrator does it: every session is over, nothing committed is lost."""
    server.stop()
    server.start()


@pytest.mark.parametrize("again", [restart, crash])
def test_no_call_fails_because_the_server_was_restarted_since_the_last(again, server):
    """Enqueues and status calls, sync and async: the pooled connections of both belong to a server that is gone."""
    app = App(server.url)
    send = app.task(name="send", queue="emails")(lambda: None)
    with asyncio.Runner() as loop:
        first, second = send.enqueue(), loop.run(send.enqueue_async())
        again(server)
        assert first.status() == "queued"
        assert loop.run(second.status_async()) == "queued"
        again(server)
        send.enqueue()
        loop.run(send.enqueue_async())
        app.close()
    with connect(server) as db:
        assert db.execute("SELECT count(*) FROM penstock.job").fetchone() == (4,)
