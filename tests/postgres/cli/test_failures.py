"""The latest failures, as people see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.errors import DatabaseUnavailable
from penstock.store.inspect.recent_failures import Failures

if TYPE_CHECKING:
    from tests.support.postgres import Database

ROWS = """
INSERT INTO penstock.queue (name) VALUES ('emails');
INSERT INTO penstock.job (id, ord, queue, task, attempt, max_attempts, due_at, errors, args)
SELECT n, NULL, 1, 'mail', 1, 3, clock_timestamp() + n * interval '1 minute',
       CASE WHEN n <= 2 THEN '[{"type": "x.First"}, {"type": "x.Last", "message": "why"}]'::jsonb END, '{}'
FROM generate_series(1, 5) AS n;
INSERT INTO penstock.dead (id, queue, priority, attempt, max_attempts, crashes, created_at, died_at, reason, task, args,
                           error)
SELECT 100 + n, 1, 1, 3, 3, 0, now(), clock_timestamp() - n * interval '1 minute', 'exhausted', 'mail', '{}',
       '{"type": "x.Final", "message": "gave up"}'
FROM generate_series(1, 5) AS n;
"""


async def test_jobs_that_will_be_tried_again_come_first_and_then_the_latest_dead_letters(pg: Database) -> None:
    """With the last error of each; a job that is only scheduled is no failure."""
    with pg.connect() as connection:
        connection.execute(ROWS)
    async with Failures(pg.url) as failures:
        found = await failures.recent(4)
    assert [(one.id, one.dead, one.kind, one.message) for one in found] == [
        (2, False, "x.Last", "why"),
        (1, False, "x.Last", "why"),
        (101, True, "x.Final", "gave up"),
        (102, True, "x.Final", "gave up"),
    ]
    assert [round(one.seconds / 60) for one in found] == [-2, -1, 1, 2]
    assert (found[0].queue, found[0].task, found[0].attempt, found[0].max_attempts) == ("emails", "mail", 1, 3)


async def test_nothing_failed_is_an_empty_list_and_a_lost_connection_is_made_again(pg: Database) -> None:
    """The next query connects again."""
    async with Failures(pg.url, name="failures under test") as failures:
        assert await failures.recent() == []
        with pg.connect() as connection:
            end = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'failures under test'"
            )
            assert connection.execute(end).fetchall() == [(True,)]
        with pytest.raises(DatabaseUnavailable):
            await failures.recent()
        assert await failures.recent() == []
