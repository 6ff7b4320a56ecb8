"""Nine jobs of the first level for each of the last, and never enough workers: the last level goes on all the same.

The floors of a claim are drawn by chance. The bounds below are missed by a right store less than once in 10^9 runs.
"""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres import desk

HIGH, LOW = 0, 3
LOWS = "SELECT count(*) FROM penstock.outcome WHERE priority = 3"


def enqueue(db: psycopg.Connection, high: int, low: int) -> None:
    desk.enqueue(db, high + low, p_priorities=[HIGH] * high + [LOW] * low)


def run(db: psycopg.Connection, worker: desk.Worker, maximum: int) -> list[int]:
    """Claim and end up to `most` jobs; their priorities."""
    token = desk.token()
    query = "SELECT id, priority FROM penstock.claim(%s, %s, %s, %s)"
    rows = db.execute(query, [worker.id, worker.queue, maximum, token]).fetchall()
    ids = [row[0] for row in rows]
    assert db.execute(desk.ACK, [worker.id, ids, [token] * len(ids), ["completed"] * len(ids)]).fetchall() == []
    return [row[1] for row in rows]


@pytest.mark.parametrize(("maximum", "rounds", "least"), [(9, 100, 12), (1, 600, 3), (40, 30, 60)])
def test_at_nine_to_one_the_lower_level_moves_on_and_the_higher_keeps_the_rest(
    maximum, rounds, least, pg_newest, newest
):
    """Each round brings more than is claimed, nine of ten for the first level.

    A claim of 9 keeps one for the last level with probability 9/20: below 12 of 100 less than once in 10^12. A claim of
    1: 1/20, below 3 of 600 less than once in 10^10. A claim of 40 keeps two, always: 60 of 30. Never more than the
    floor while the first level has jobs.
    """
    worker = desk.register(newest, 600)
    enqueue(newest, 9 * maximum, maximum)
    floor = -(-maximum // 20)
    for _ in range(rounds):
        enqueue(newest, 9 * (maximum // 9 + 1), maximum // 9 + 1)
        priorities = run(newest, worker, maximum)
        assert len(priorities) == maximum
        assert priorities.count(HIGH) >= maximum - floor
    lows = newest.execute(LOWS).fetchone()[0]
    assert least <= lows <= rounds * floor
    last = newest.execute("SELECT max(job_id) FROM penstock.outcome WHERE priority = 3").fetchone()[0]
    assert newest.execute("SELECT min(id) FROM penstock.job WHERE priority = 3").fetchone()[0] > last


def test_every_job_of_the_lower_level_ends_although_the_higher_one_never_does(pg_newest, newest):
    """As long as the first level brings new jobs with every claim, the last one is worked off to its end.

    Twenty claims of 20 keep twenty places, always.
    """
    worker = desk.register(newest, 600)
    enqueue(newest, 100, 20)
    for _ in range(20):
        enqueue(newest, 20, 0)
        assert run(newest, worker, 20).count(LOW) >= 1 or newest.execute(LOWS).fetchone() == (20,)
    assert newest.execute(LOWS).fetchone() == (20,)
    assert newest.execute("SELECT count(*) >= 100 FROM penstock.job WHERE priority = 0").fetchone() == (True,)
