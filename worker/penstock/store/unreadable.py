"""Jobs that no worker can read: longer than enqueue accepts, or without a valid text.

They come from COPY or from manual changes, past the checks of enqueue. One of them must not fail the claims of its
queue. A claim truncates a body that is too long, and the worker fails the job as a dead letter; after a claim that the
database could not answer, the jobs that it may have picked are searched. Other jobs run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Final

import psycopg

from penstock.errors import StoreError
from penstock.job import ClaimedJob, Finished, OutcomeState

logger = logging.getLogger("penstock.store")

MAX_CHARACTERS: Final = 393_216
"""Characters of arguments or headers: 256 KiB of JSON with the spaces of Postgres. A claim truncates after one more."""
REASON: Final = "unreadable"
_CLASSES: Final = ("22", "53", "54", "XX")
"""SQLSTATE classes of values, resources and limits, with which a body can make a claim fail."""


def may_be_unreadable(error: StoreError) -> bool:
    """Return True if an unreadable job may have failed the claim."""
    cause = error.__cause__
    return isinstance(cause, psycopg.Error) and (cause.sqlstate or "")[:2] in _CLASSES


def refused(jobs: Sequence[ClaimedJob]) -> list[Finished]:
    """Failures of the truncated jobs; empty for every claim of jobs from enqueue."""
    return [_refused(job) for job in jobs if len(job.args) > MAX_CHARACTERS or len(job.headers or "") > MAX_CHARACTERS]


def others(jobs: Sequence[ClaimedJob], refused: Sequence[Finished]) -> list[ClaimedJob]:
    """The jobs that were not refused."""
    refused_ids = {outcome.job.id for outcome in refused}
    return [job for job in jobs if job.id not in refused_ids]


def _refused(job: ClaimedJob) -> Finished:
    what = "arguments" if len(job.args) > MAX_CHARACTERS else "headers"
    message = f"its {what} are longer than {MAX_CHARACTERS:,} characters of JSON"
    log(job.queue, [job.id], message)
    error = json.dumps({"type": "UnreadableJob", "message": message, "attempt": job.attempt})
    return Finished(job=job, state=OutcomeState.FAILED, reason=REASON, error=error)


def log(queue: str, ids: Sequence[int], why: str) -> None:
    """Log that they became dead letters."""
    for job in ids:
        logger.error("job %d of queue %s cannot be read and is a dead letter now: %s", job, queue, why)
