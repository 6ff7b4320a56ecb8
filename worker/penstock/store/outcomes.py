"""Outcomes on their way into the database: a batch by columns, and the claim of one that the database refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.errors import RejectedByDatabase, StoreError
from penstock.job import ClaimedJob, Finished, OutcomeState

from . import arrays

if TYPE_CHECKING:
    from .store import Store

_RAISED = ("21", "27", "44", "P0")
"""SQLSTATE classes of what a trigger, a rule or a view of the owner's raises about a row."""


def is_refusal(error: StoreError) -> bool:
    """Whether the database would refuse the outcome again, whenever it is sent."""
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


async def end_refused(store: Store, worker: int, job: ClaimedJob, error: str) -> float | None:
    """End the claim of an attempt whose outcome is refused in any form; the attempt counts.

    Args:
        store: where.
        worker: the registration that made the claim.
        job: the attempt.
        error: JSON of the refusal, for the job's history.

    Returns:
        Seconds until the job is due again, ten years after its last attempt; None if the claim was fenced.

    Raises:
        StoreError: the database cannot be used, refuses this as well, or is older than this function.
    """
    due: float | None = await store._value("end_refused", worker, job.id, job.token, error)  # noqa: SLF001 - of this package
    return due


async def bury(store: Store, worker: int, unreadable: Sequence[Finished]) -> None:
    """Acknowledge jobs that cannot be read; end their claims where no table takes them.

    Raises:
        StoreError: as `end_refused`.
    """
    try:
        await store.ack(worker, unreadable)
    except StoreError as error:
        if not is_refusal(error):
            raise
        for outcome in unreadable:
            await end_refused(store, worker, outcome.job, outcome.error or "{}")
