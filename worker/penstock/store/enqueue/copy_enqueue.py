"""Bulk enqueue by COPY, for plain jobs and a login that may write into the table by column.

Owns which batches use COPY and the format of their lines. Jobs that need a decision in the database (unique keys,
delays, sizes near the limit) go through `enqueue_many`, and so does a batch that the server refused here, which gives
every login the same message. Writes inside the given transaction.

A number with an exponent is not plain: it is short here and may be megabytes once Postgres writes it out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import psycopg
from psycopg.rows import tuple_row

from penstock.job import NewJob

from ..sql_files import statement

MIN_JOBS: Final = 1000
"""Minimum of jobs for COPY, which needs five more round trips: on one machine it equals the function at 300 jobs and
is a sixth faster at 1000; half a millisecond of latency costs what it saves on 2000."""
_MAX_CHARACTERS: Final = 65_536
"""Characters of a plain body: four bytes each are the 256 KiB that the database accepts."""
_BLOCK: Final = 1000
_EXPONENT: Final = re.compile(r"[0-9][eE][-+]?[0-9]")
_SPECIAL: Final = re.compile(r"[\\\t\n\r]")
_ESCAPES: Final = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}

_LOADED: Final = (16, 20, 21, 23, 1005, 1007, 1016)
"""OIDs of the types that the statements around a COPY return: boolean, the integers, and their arrays."""

OpenedBlocks = tuple[list[int], list[int], int]
"""The result of open_copy: ids and default attempts of the queues; the id after which those of the jobs will lie."""


def copyable(jobs: Sequence[NewJob]) -> bool:
    """Return True if all of them can be written without a query, and are enough for COPY."""
    return len(jobs) >= MIN_JOBS and all(
        job.unique is None
        and job.delay is None
        and job.at is None
        and type(job.priority) is int
        and (job.max_attempts is None or type(job.max_attempts) is int)
        and _small(job.args)
        and (job.headers is None or _small(job.headers))
        for job in jobs
    )


def _small(body: str) -> bool:
    return len(body) <= _MAX_CHARACTERS and _EXPONENT.search(body) is None


def takes_copy(connection: psycopg.BaseConnection[Any]) -> bool:
    """Return True if a caller's connection has psycopg's own cursors, and loaders for the types that are read here."""
    factory: object = getattr(connection, "cursor_factory", None)
    known = connection.adapters
    return factory in {psycopg.Cursor, psycopg.AsyncCursor} and all(
        (loader := known.get_loader(oid, psycopg.pq.Format.TEXT)) is not None
        and loader.__module__.partition(".")[0].startswith("psycopg")
        for oid in _LOADED
    )


def may_copy(connection: psycopg.Connection[Any]) -> bool:
    """Return True if this login has the rights; one query."""
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        row = cursor.execute(statement("may_copy")).fetchone()
    return row is not None and bool(row[0])


def copy_jobs(connection: psycopg.Connection[Any], jobs: Sequence[NewJob]) -> list[int]:
    """Write plain jobs and wake waiters; returns ids in order. Atomic, by a transaction or savepoint."""
    names = list(dict.fromkeys(job.queue for job in jobs))
    with connection.transaction(), psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        opened: Any = cursor.execute(statement("open_copy"), (names,)).fetchone()
        with cursor.copy(statement("copy_jobs")) as copy:
            for block in _blocks(jobs, names, opened):
                copy.write(block)
        row: Any = cursor.execute(statement("close_copy"), (opened[2], len(jobs), opened[0])).fetchone()
    ids: list[int] = row[0]
    return ids


async def may_copy_async(connection: psycopg.AsyncConnection[Any]) -> bool:
    """As `may_copy`."""
    async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        row = await (await cursor.execute(statement("may_copy"))).fetchone()
    return row is not None and bool(row[0])


async def copy_jobs_async(connection: psycopg.AsyncConnection[Any], jobs: Sequence[NewJob]) -> list[int]:
    """As `copy_jobs`."""
    names = list(dict.fromkeys(job.queue for job in jobs))
    async with connection.transaction(), psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        opened: Any = await (await cursor.execute(statement("open_copy"), (names,))).fetchone()
        async with cursor.copy(statement("copy_jobs")) as copy:
            for block in _blocks(jobs, names, opened):
                await copy.write(block)
        await cursor.execute(statement("close_copy"), (opened[2], len(jobs), opened[0]))
        row: Any = await cursor.fetchone()
    ids: list[int] = row[0]
    return ids


def _blocks(jobs: Sequence[NewJob], names: Sequence[str], opened: OpenedBlocks) -> Iterator[str]:
    """Blocks of lines in COPY's text format."""
    queues, attempts, _ = opened
    of = dict(zip(names, zip(queues, attempts, strict=True), strict=True))
    for start in range(0, len(jobs), _BLOCK):
        yield "".join([_line(job, *of[job.queue]) for job in jobs[start : start + _BLOCK]])


def _line(job: NewJob, queue: int, attempts: int) -> str:
    task, args, headers, max_attempts = job.task, job.args, job.headers, job.max_attempts
    if _SPECIAL.search(task):
        task = task.translate(_ESCAPES)
    if _SPECIAL.search(args):
        args = args.translate(_ESCAPES)
    encoded = "\\N" if headers is None else headers.translate(_ESCAPES)
    return f"{queue}\t{job.priority}\t{attempts if max_attempts is None else max_attempts}\t{task}\t{encoded}\t{args}\n"
