"""Outcomes as columns of a batch, and whether the database refuses one."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.errors import RejectedByDatabase, StoreError
from penstock.job import Finished, OutcomeState

from . import arrays

_RAISED = ("21", "27", "44", "P0")
"""SQLSTATE classes that a trigger, a rule or a view of the schema's owner raises about a row."""


def is_refusal(error: StoreError) -> bool:
    """Return True if the database would refuse the outcome again on a retry."""
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
