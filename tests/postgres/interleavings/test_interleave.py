"""The harness itself: it sees waits, distinguishes waiting from done, and loses replies after the commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.postgres.interleave import ConnectionDied, Interleaving
from tests.support.postgres_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Database


@pytest.fixture
def play(pg_blank: Database) -> Iterator[Interleaving]:
    """A scratch table with one row."""
    with Interleaving(pg_blank.url) as running:
        running.query("CREATE TABLE scratch (id int PRIMARY KEY, n int NOT NULL)")
        running.query("INSERT INTO scratch VALUES (1, 0)")
        yield running


def test_a_second_update_waits_for_the_first_and_goes_on_after_its_commit(play: Interleaving) -> None:
    """The wait is seen on the server, with the name of who holds the lock."""
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run("UPDATE scratch SET n = n + 1")
    step = b.start("UPDATE scratch SET n = n + 1 RETURNING n")
    step.blocks_on(a)
    a.commit()
    assert step.finish() == [(2,)]


def test_three_connections_queue_for_one_row(play: Interleaving) -> None:
    """The third waits for somebody too, and everybody's change is there at the end."""
    a, b, c = (play.connection(name) for name in "abc")
    a.start_transaction()
    a.run("UPDATE scratch SET n = n + 1")
    second = b.start("UPDATE scratch SET n = n + 1")
    second.blocks_on(a)
    third = c.start("UPDATE scratch SET n = n + 1")
    assert third.blocks() <= {"a", "b"}
    a.rollback()
    second.finish()
    third.finish()
    assert play.query("SELECT n FROM scratch") == [(2,)]


def test_a_statement_that_does_not_wait_is_found_out(play: Interleaving) -> None:
    """`blocks` fails where nothing blocks: SKIP LOCKED steps over the row."""
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run("UPDATE scratch SET n = 1")
    step = b.start("SELECT id FROM scratch FOR UPDATE SKIP LOCKED")
    with pytest.raises(AssertionError, match="it ended"):
        step.blocks()
    assert step.finish() == []


def test_an_error_of_a_statement_reaches_the_test(play: Interleaving) -> None:
    """`finish` raises what the server said."""
    a = play.connection("a")
    with pytest.raises(psycopg.errors.UniqueViolation):
        a.run("INSERT INTO scratch VALUES (1, 1)")


def test_a_lost_reply_leaves_the_commit_and_an_uncommitted_one_leaves_nothing(play: Interleaving) -> None:
    """Autocommit keeps what it did; an open transaction is rolled back with its connection."""
    a, b = play.connection("a"), play.connection("b")
    with pytest.raises(ConnectionDied):
        a.lose_reply("UPDATE scratch SET n = 7")
    assert play.query("SELECT n FROM scratch") == [(7,)]
    b.start_transaction()
    with pytest.raises(ConnectionDied):
        b.lose_reply("UPDATE scratch SET n = 8")
    assert play.query("SELECT n FROM scratch") == [(7,)]


def test_a_dead_connection_frees_its_locks(play: Interleaving) -> None:
    """Who waited for it goes on."""
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction()
    a.run("UPDATE scratch SET n = 5")
    step = b.start("UPDATE scratch SET n = n + 1 RETURNING n")
    step.blocks_on(a)
    a.die()
    assert step.finish() == [(1,)]


def test_a_snapshot_of_repeatable_read_does_not_see_a_later_commit(play: Interleaving) -> None:
    """`start_transaction()` takes the isolation level."""
    a, b = play.connection("a"), play.connection("b")
    a.start_transaction("REPEATABLE READ")
    assert a.run("SELECT n FROM scratch") == [(0,)]
    b.run("UPDATE scratch SET n = 3")
    assert a.run("SELECT n FROM scratch") == [(0,)]
    a.commit()
    assert a.run("SELECT n FROM scratch") == [(3,)]


def test_the_proxy_loses_the_reply_after_the_commit(play: Interleaving) -> None:
    """The client hears that the connection died; the row is changed; only the reply asked for is lost."""
    with Proxy(play.url) as proxy, psycopg.connect(proxy.url, autocommit=True) as through:
        assert through.execute("SELECT n FROM scratch").fetchone() == (0,)
        proxy.drop_reply(to="UPDATE scratch")
        assert through.execute("SELECT n FROM scratch").fetchone() == (0,)
        with pytest.raises(psycopg.OperationalError):
            through.execute("UPDATE scratch SET n = 9")
        assert proxy.dropped == 1
        assert play.query("SELECT n FROM scratch") == [(9,)]


def test_a_reply_of_many_rows_is_lost_after_the_commit_too(play: Interleaving) -> None:
    """A large reply starts to arrive before the commit; the connection is cut only after the last byte."""
    with Proxy(play.url) as proxy, psycopg.connect(proxy.url, autocommit=True) as through:
        proxy.drop_reply()
        with pytest.raises(psycopg.OperationalError):
            through.execute(
                "INSERT INTO scratch SELECT i, 0 FROM generate_series(2, 20000) i RETURNING id, repeat('x', 50)"
            )
        assert play.query("SELECT count(*) FROM scratch") == [(20000,)]


def test_a_frozen_proxy_passes_nothing_until_it_is_thawed(play: Interleaving) -> None:
    """The statement does not reach the server while the network stands still."""
    with Proxy(play.url) as proxy, Interleaving(proxy.url) as far:
        a = far.connection("a")
        proxy.freeze()
        step = a.start("UPDATE scratch SET n = 4")
        assert play.query("SELECT n FROM scratch") == [(0,)]
        assert not step.ended
        proxy.thaw()
        step.finish()
        assert play.query("SELECT n FROM scratch") == [(4,)]


def test_a_cut_proxy_ends_every_connection(play: Interleaving) -> None:
    """As a failover does; a new connection goes through again."""
    with Proxy(play.url) as proxy:
        with psycopg.connect(proxy.url, autocommit=True) as through:
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                through.execute("SELECT 1")
        with psycopg.connect(proxy.url, autocommit=True) as again:
            assert again.execute("SELECT 1").fetchone() == (1,)
