"""Dead letters for people: find, show, redrive and discard them by filter, with a dry run.

A `Store` with more statements. It acts by id in batches and reports progress after each: a hundred thousand dead
letters need no long transaction. A run affects only jobs that were dead when it started (the database's clock): jobs
that die again at once are not redriven forever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from .store import Store

BATCH = 500
"""Dead letters in one transaction."""

OnProgress = Callable[[int], None]
"""Called after each batch with how many were processed so far."""


class DeadFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters; None matches all: an empty filter matches every dead letter.

    `contains` is searched in reason, type and message of the last error, ignoring case; in the message only if the
    login may read `penstock.jobs`. `since` (inclusive) and `before` are compared with the time of death and need a
    time zone.
    """

    ids: tuple[int, ...] | None = None
    queue: str | None = None
    task: str | None = None
    reason: str | None = None
    contains: str | None = None
    since: datetime | None = None
    before: datetime | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list. `error` is the type of the last error, `message` its text."""

    id: int
    queue: str
    task: str
    reason: str
    attempt: int
    max_attempts: int
    crashes: int
    created_at: datetime
    died_at: datetime
    error: str | None = None
    message: str | None = None


class DeadLetterInfo(DeadLetter, frozen=True, kw_only=True):
    """All of one. `errors` is the history, oldest first, the last one included; each has type, message, traceback and
    attempt. `forensics` is the state of the worker at the death: see docs/how-to/dead-letters.md.
    """

    priority: int
    worker: int | None = None
    unique_key: str | None = None
    headers: Any = None
    args: Any = None
    errors: Any = None
    forensics: Any = None


class DeadCount(msgspec.Struct, frozen=True, kw_only=True):
    """The number of matches of one queue, task and reason, and when the first and the last of them died."""

    queue: str
    task: str
    reason: str
    count: int
    first: datetime
    last: datetime


class Redriven(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a redrive. `kept` stayed dead: by id the job that has their unique key (0: it has just ended)."""

    redriven: int
    kept: dict[int, int]


class DeadLetters(Store):
    """The store of a command or person that manages dead letters.

        async with DeadLetters(url, lanes=1) as dead:
            await dead.count_dead(DeadFilter(queue="emails"))             # the dry run: counts by queue, task, reason
            await dead.redrive_matching(DeadFilter(queue="emails", contains="ConnectionError"))

    Every method raises StoreError; StatementRefused where the login lacks a right.
    """

    async def list_dead(self, matching: DeadFilter, *, limit: int = 50) -> list[DeadLetter]:
        """The newest `limit`, newest first; with messages if the login may read `penstock.jobs`."""
        values = {**_values(matching), "after": None, "newest": True, "limit": limit}
        return [_made(DeadLetter, row) for row in await self.connections.named_rows("find_dead", values)]

    async def count_dead(self, matching: DeadFilter) -> list[DeadCount]:
        """Return the numbers of dead letters that a redrive or discard would affect, highest first; changes nothing."""
        return [_made(DeadCount, row) for row in await self.connections.named_rows("count_dead", _values(matching))]

    async def show_dead(self, job_id: int) -> DeadLetterInfo | None:
        """All of one; None if it does not exist (redriven, discarded, or never dead)."""
        rows = await self.connections.named_rows("dead_letter", {"id": job_id})
        return _made(DeadLetterInfo, rows[0]) if rows else None

    async def redrive_matching(
        self, matching: DeadFilter, *, drop_key: bool = False, on_progress: OnProgress | None = None
    ) -> Redriven:
        """Make them ready jobs with the same ids, attempts at zero, errors kept.

        Args:
            matching: which; an empty filter matches all that are dead now.
            drop_key: redrive a job whose unique key is taken without the key; otherwise it stays dead and is reported.
            on_progress: called after each batch of 500.
        """
        count, kept, seen = 0, dict[int, int](), 0
        async for ids in self._batches(matching):
            for job_id, holder in (await self.jobs.redrive(ids, drop_key=drop_key)).items():
                if holder is None:
                    count += 1
                else:
                    kept[job_id] = holder
            seen += len(ids)
            if on_progress is not None:
                on_progress(seen)
        return Redriven(redriven=count, kept=kept)

    async def discard_matching(self, matching: DeadFilter, *, on_progress: OnProgress | None = None) -> int:
        """Delete them for good; returns how many. Arguments as `redrive_matching`."""
        count, seen = 0, 0
        async for ids in self._batches(matching):
            count += await self.jobs.discard(ids)
            seen += len(ids)
            if on_progress is not None:
                on_progress(seen)
        return count

    async def _batches(self, matching: DeadFilter) -> AsyncIterator[list[int]]:
        counts = await self.count_dead(matching)
        if not counts:
            return
        before = max(counted.last for counted in counts) + timedelta.resolution  # `before` is exclusive
        values = {**_values(matching), "before": before, "after": None, "newest": False, "limit": BATCH}
        while rows := await self.connections.named_rows("find_dead", values):
            ids = [row[0] for row in rows]
            values["after"] = ids[-1]
            yield ids


def _values(matching: DeadFilter) -> dict[str, object]:
    values = msgspec.structs.asdict(matching)
    return {**values, "ids": None if matching.ids is None else list(matching.ids)}


def _made(kind: Any, row: tuple[Any, ...]) -> Any:
    return kind(**dict(zip(kind.__struct_fields__, row, strict=True)))
