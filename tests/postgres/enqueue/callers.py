"""What a caller's connection must support: jobs of every type of value, rolled back, committed and refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from penstock import App, Unique
from penstock.errors import UniqueConflict
from penstock.job import NewJob

app = App()


@app.task(name="send", queue="emails")
def send(order: int) -> None: ...


def kept(db: psycopg.Connection) -> list[int]:
    """The orders whose jobs are there."""
    return [row[0]["order"] for row in db.execute("SELECT args FROM penstock.job ORDER BY id").fetchall()]


ZONE = timezone(timedelta(hours=5, minutes=53, seconds=28))
"""A local mean time, whose offset has seconds."""
AT = datetime(2040, 1, 1, 12, 0, 0, 123456, tzinfo=ZONE)
BATCH = [
    NewJob(task='a "quoted" \\ {task}, NULL', args='{"order": 0}', queue="emails", priority=3, max_attempts=9),
    NewJob(task="send", args='{"order": 1, "text": "\'\\\\\\"{}, é 漢 😀"}', queue="emails", delay=0.25),
    NewJob(task="NULL", args='{"order": 2}', queue="emails", at=AT, headers='{"trace": "%s $1 {1}"}'),
    send.options(unique=Unique(key="ke\\y, {1}", expires=3600, on_conflict="raise")).job(3),
    send.options(unique=Unique(key="other", until="start"), priority=0).job(4),
]
"""Every column that is sent: arrays of text, of JSON, of numbers, truth values and times, with gaps in each."""
STORED = """
  SELECT task, args, priority, max_attempts, due_at - created_at, due_at, headers, split_part(unique_key, ':', 3),
         unique_until - created_at, unique_kept IS NOT NULL
  FROM penstock.job ORDER BY args -> 'order'
"""


def check_batch(db: psycopg.Connection) -> None:
    """Each value is there as it was given."""
    zero, one, two, three, four = db.execute(STORED).fetchall()
    assert zero[:4] == ('a "quoted" \\ {task}, NULL', {"order": 0}, 3, 9)
    assert one[1] == {"order": 1, "text": "'\\\"{}, é 漢 😀"}
    assert one[4] == timedelta(seconds=0.25)
    assert (two[0], two[5], two[6]) == ("NULL", AT, {"trace": "%s $1 {1}"})
    assert three[7] == "ke\\y, {1}"
    assert (three[8], three[9], four[8], four[9], four[2]) == (timedelta(hours=1), False, None, True, 0)


def the_whole(opened: Any, db: psycopg.Connection, commit: Callable[[], object], undo: Callable[[], object]) -> None:
    """A job rolled back, a batch of every type, a bulk by COPY or function, and a refusal that the caller survives."""
    send.options(connection=opened).enqueue(99)
    undo()
    assert kept(db) == []
    ids = app.enqueue_many(BATCH, connection=opened)
    assert kept(db) == []
    commit()
    assert [row[0] for row in db.execute("SELECT id FROM penstock.job ORDER BY id")] == sorted(ids)
    check_batch(db)
    bulk = app.enqueue_many([send.job(number) for number in range(1000)], connection=opened)
    undo()
    assert (len(set(bulk)), len(kept(db))) == (1000, 5)
    with pytest.raises(UniqueConflict):
        app.enqueue_many([BATCH[3]], connection=opened)
    undo()


async def the_whole_async(opened: Any, db: psycopg.Connection, commit: Any, undo: Any) -> None:
    await send.options(connection=opened).enqueue_async(99)
    await undo()
    assert kept(db) == []
    ids = await app.enqueue_many_async(BATCH, connection=opened)
    assert kept(db) == []
    await commit()
    assert [row[0] for row in db.execute("SELECT id FROM penstock.job ORDER BY id")] == sorted(ids)
    check_batch(db)
    bulk = await app.enqueue_many_async([send.job(number) for number in range(1000)], connection=opened)
    await undo()
    assert (len(set(bulk)), len(kept(db))) == (1000, 5)
    with pytest.raises(UniqueConflict):
        await app.enqueue_many_async([BATCH[3]], connection=opened)
    await undo()
