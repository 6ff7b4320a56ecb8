"""Dead letters by filter: found, counted, brought back, thrown away; and by whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from penstock.job import NewJob
from penstock.store import DeadFilter, DeadLetters, SyncClient
from penstock.store import dead_letters as module
from tests.postgres.logins import member, owned_by_a_login
from tests.support.postgres import Database

ROWS = """
INSERT INTO penstock.queue (name) VALUES ('emails'), ('images') ON CONFLICT DO NOTHING;
INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, worker, reason,
                           task, args, error, errors, forensics)
SELECT n, (SELECT id FROM penstock.queue WHERE name = CASE WHEN n <= 4 THEN 'emails' ELSE 'images' END), 1, 3, 3, 0,
       now() - interval '1 day', now() - n * interval '1 hour', 7, CASE WHEN n = 6 THEN 'poison' ELSE 'exhausted' END,
       CASE WHEN n % 2 = 0 THEN 'mail' ELSE 'resize' END, '{"card": "secret"}',
       jsonb_build_object('type', 'x.Refused', 'message', 'Port ' || n || ' refused', 'attempt', 3),
       '[{"type": "x.First", "attempt": 1}]', '{"load": [0.5, 0.4, 0.3]}'
FROM generate_series(1, 6) AS n;
SELECT setval('penstock.job_id_seq', 1000);
"""


@pytest.fixture
async def dead(pg_newest: Database) -> AsyncIterator[DeadLetters]:
    with pg_newest.connect() as connection:
        connection.execute(ROWS)
    async with DeadLetters(pg_newest.url, lanes=1) as opened:
        yield opened


FILTERS: dict[str, tuple[DeadFilter, list[int]]] = {
    "all of them": (DeadFilter(), [1, 2, 3, 4, 5, 6]),
    "by id": (DeadFilter(ids=(2, 5, 99)), [2, 5]),
    "by queue": (DeadFilter(queue="images"), [5, 6]),
    "by task": (DeadFilter(task="mail"), [2, 4, 6]),
    "by reason": (DeadFilter(reason="poison"), [6]),
    "by message, in any case": (DeadFilter(contains="pORT 3"), [3]),
    "by the error's type": (DeadFilter(contains="refused", queue="images"), [5, 6]),
    "together": (DeadFilter(queue="emails", task="resize", contains="refused"), [1, 3]),
    "of a queue that is not there": (DeadFilter(queue="nowhere"), []),
}


def found_by(name: str) -> tuple[DeadFilter, list[int]]:
    """A filter and what it finds; times of this moment, for the tests are collected long before they run."""
    match name:
        case "since":
            return DeadFilter(since=datetime.now(UTC) - timedelta(hours=2.5)), [1, 2]
        case "before":
            return DeadFilter(before=datetime.now(UTC) - timedelta(hours=4.5)), [5, 6]
    return FILTERS[name]


@pytest.mark.parametrize("name", [*FILTERS, "since", "before"])
async def test_a_filter_means_the_same_to_the_list_the_dry_run_and_the_redrive(name, dead, newest):
    """What the dry run counts is what is listed and what comes back; the rest stays."""
    matching, ids = found_by(name)
    assert [letter.id for letter in await dead.list_dead(matching)] == ids  # the newest first: died an hour apart
    assert sum(count.count for count in await dead.count_dead(matching)) == len(ids)
    assert newest.execute("SELECT count(*) FROM penstock.dead").fetchone() == (6,)
    done = await dead.redrive_matching(matching)
    assert (done.redriven, done.kept) == (len(ids), {})
    assert [row[0] for row in newest.execute("SELECT id FROM penstock.job ORDER BY id")] == ids
    assert newest.execute("SELECT count(*) FROM penstock.dead").fetchone() == (6 - len(ids),)


async def test_a_dry_run_reports_how_many_of_what_and_since_when(dead):
    """By queue, task and reason."""
    counts = {(c.queue, c.task, c.reason): c for c in await dead.count_dead(DeadFilter())}
    assert {key: count.count for key, count in counts.items()} == {
        ("emails", "mail", "exhausted"): 2,
        ("emails", "resize", "exhausted"): 2,
        ("images", "resize", "exhausted"): 1,
        ("images", "mail", "poison"): 1,
    }
    both = counts["emails", "mail", "exhausted"]
    assert both.last - both.first == timedelta(hours=2)


async def test_one_dead_letter_is_shown_with_its_history_and_its_forensics(dead):
    """The last error included; None where there is none of that id."""
    shown = await dead.show_dead(2)
    assert (shown.queue, shown.task, shown.error, shown.message) == ("emails", "mail", "x.Refused", "Port 2 refused")
    assert [error["attempt"] for error in shown.errors] == [1, 3]
    assert shown.forensics == {"load": [0.5, 0.4, 0.3]}
    assert shown.args == {"card": "secret"}
    assert await dead.show_dead(99) is None


async def test_many_are_brought_back_in_batches_and_reported_after_each(dead, newest):
    """Each batch is a transaction of its own."""
    newest.execute(
        "INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, reason, "
        "task, args) SELECT n, 1, 1, 1, 1, 0, now(), now(), 'exhausted', 'many', '{}' FROM generate_series(100, %s) n",
        [100 + module.BATCH],
    )
    reported: list[int] = []
    done = await dead.redrive_matching(DeadFilter(task="many"), on_progress=reported.append)
    assert done.redriven == module.BATCH + 1
    assert reported == [module.BATCH, module.BATCH + 1]


async def test_what_dies_while_a_redrive_runs_is_left_for_the_next_one(dead, newest):
    """A task that fails at once again must not be brought back for ever."""
    died: list[int] = []

    def again(seen: int) -> None:
        died.append(seen)
        newest.execute(
            "INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, "
            "reason, task, args) VALUES (%s, 1, 1, 1, 1, 0, now(), clock_timestamp(), 'exhausted', 'mail', '{}')",
            [1000 + seen],
        )

    await dead.redrive_matching(DeadFilter(), on_progress=again)
    assert died == [6]
    assert [letter.id for letter in await dead.list_dead(DeadFilter())] == [1006]


async def test_one_whose_unique_key_is_taken_stays_and_names_its_holder(dead, newest, pg_newest):
    """Unless it is to come back without the key."""
    client = SyncClient(pg_newest.url)
    newest.execute("UPDATE penstock.dead SET unique_key = '1:k' WHERE id = 1")
    (holder,) = client.enqueue([NewJob(task="mail", args="{}", queue="emails")])
    client.close()
    newest.execute("UPDATE penstock.job SET unique_key = '1:k' WHERE id = %s", [holder])
    done = await dead.redrive_matching(DeadFilter(task="resize", queue="emails"))
    assert (done.redriven, done.kept) == (1, {1: holder})
    assert (await dead.redrive_matching(DeadFilter(ids=(1,)), drop_key=True)).redriven == 1


async def test_discarding_throws_away_what_matches_and_nothing_else(dead, newest):
    """For good."""
    assert await dead.discard_matching(DeadFilter(queue="emails")) == 4
    assert [row[0] for row in newest.execute("SELECT id FROM penstock.dead ORDER BY id")] == [5, 6]
    assert await dead.discard_matching(DeadFilter(queue="emails")) == 0


async def test_a_login_that_may_not_read_messages_finds_by_type_and_redrives_all_the_same(pg_blank):
    """The operator's role: no message is reported, and none can be guessed through the filter."""
    with owned_by_a_login(pg_blank) as owned, pg_blank.connect() as admin:
        admin.execute(ROWS)
        with member(owned, "operator") as url:
            async with DeadLetters(url, lanes=1) as dead:
                assert {letter.message for letter in await dead.list_dead(DeadFilter())} == {None}
                assert await dead.count_dead(DeadFilter(contains="port")) == []
                assert (await dead.redrive_matching(DeadFilter(contains="x.refused"))).redriven == 6


async def test_two_callers_share_unreported_dead_letters_and_none_gets_one_twice(dead, newest, pg_newest):
    """The mark is in the row: rolled back with its transaction, and there for good with it. Old ones are left alone."""
    report = b"SELECT id FROM penstock.tell_dead('me', 500)"
    newest.execute("UPDATE penstock.dead SET forensics = NULL, died_at = now() WHERE id <= 4")
    with pg_newest.connect() as first:
        first.autocommit = False
        assert sorted(first.execute(report).fetchall()) == [(1,), (2,), (3,), (4,)]
        assert newest.execute(report).fetchall() == []
        first.rollback()
    newest.execute("UPDATE penstock.dead SET died_at = now() - interval '2 hours' WHERE id = 4")
    assert sorted(newest.execute(report).fetchall()) == [(1,), (2,), (3,)]
    assert newest.execute(report).fetchall() == []
    shown = await dead.show_dead(1)
    assert shown.forensics["rescued_by"] == "me"
