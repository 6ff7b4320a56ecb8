"""Short words for queues that nobody declared: making them, letting them be idle, pruning them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

ENQUEUE = "SELECT penstock.enqueue(%s, 't')"
PRUNE = "SELECT penstock.prune_queues()"


def one(db: psycopg.Connection[Any], statement: str, values: Sequence[Any] = ()) -> Any:
    """The only column of the only row."""
    row = db.execute(statement.encode(), values or None).fetchone()
    assert row is not None
    return row[0]


def declare(db: psycopg.Connection[Any], name: str) -> int:
    """A queue with a JobQueue."""
    statement = "SELECT penstock.declare_queue(%s, 'uid', 1, false, 5::smallint, NULL, NULL, 86400, '{}')"
    return int(one(db, statement, [name]))


def set_limit(db: psycopg.Connection[Any], maximum: int) -> None:
    db.execute("SELECT penstock.limit_undeclared(%s)", [maximum])


def prune(db: psycopg.Connection[Any], *, idle: bool = True) -> int:
    """As many calls as a queue needs that is idle, its time turned back; how many went."""
    gone = 0
    for _ in range(3):
        if idle:
            db.execute(
                "UPDATE penstock.queue SET idle_since = idle_since - interval '3 days' WHERE idle_since IS NOT NULL"
            )
        gone += one(db, PRUNE)
    return gone


def names(db: psycopg.Connection[Any]) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM penstock.queue").fetchall()}


def make_idle(db: psycopg.Connection[Any], name: str) -> int:
    """An undeclared queue that the next prune would remove, found idle days ago."""
    job = one(db, ENQUEUE, [name])
    db.execute("DELETE FROM penstock.job WHERE id = %s", [job])
    prune(db, idle=False)
    statement = (
        "UPDATE penstock.queue SET idle_since = idle_since - interval '3 days' WHERE name = %s"
        " AND idle_horizon IS NOT NULL RETURNING id"
    )
    return int(one(db, statement, [name]))


def orphans(db: psycopg.Connection[Any]) -> int:
    statement = "SELECT count(*) FROM penstock.job AS j WHERE j.queue NOT IN (SELECT q.id FROM penstock.queue AS q)"
    return int(one(db, statement))
