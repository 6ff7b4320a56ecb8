"""Outcomes as columns of a batch, and the fallback for one that the database refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.errors import RejectedByDatabase, StoreError
from penstock.job import Finished, OutcomeState

from .. import arrays

if TYPE_CHECKING:
    from ..jobs import Jobs

_RAISED = ("21", "27", "44", "P0")
"""SQLSTATE classes that a trigger, a rule or a view of the schema's owner raises about a row."""


def is_refusal(error: StoreError) -> bool:
    """Whether the database would refuse the outcome again on a retry."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, RejectedByDatabase) or state[:2] in _RAISED


def columns(outcomes: Sequence[Finished]) -> tuple[object, ...]:
    """The batch by columns, in the order of the statement; a column without content is NULL."""
    return (
        arrays.numbers(o.job.id for o in outcomes),
        arrays.numbers(o.job.token for o in outcomes),
        None if all(o.state is OutcomeState.COMPLETED for o in outcomes) else [o.state.value for o in outcomes],
        arrays.numbers(o.duration for o in outcomes),
        arrays.numbers(o.delay for o in outcomes) if any(o.delay for o in outcomes) else None,
        arrays.optional([o.reason for o in outcomes]),
        arrays.optional([o.error for o in outcomes]),
        arrays.optional([o.result for o in outcomes]),
        arrays.optional([o.forensics for o in outcomes]),
    )


async def fail_unreadable(jobs: Jobs, worker: int, unreadable: Sequence[Finished]) -> None:
    """Acknowledge jobs that cannot be read as failed; end their claims if no table accepts that.

    Raises:
        StoreError: as `Jobs.end_refused`.
    """
    try:
        await jobs.ack(worker, unreadable)
    except StoreError as error:
        if not is_refusal(error):
            raise
        for outcome in unreadable:
            await jobs.end_refused(worker, outcome.job, outcome.error or "{}")
