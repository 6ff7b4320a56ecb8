"""The dry run of a bulk command with ids: reports the result for each job. Changes nothing.

Every job is looked up. The answer holds for that moment only: a job that waits now may be running when the command is
run for real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .output import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.job import JobState
    from penstock.store.inspect.inspection import Reader

LEFT = "left"
"""The result for a job that the command does not change."""


class DryRun(NamedTuple):
    """One job. `state` is None if there is no such job; `would` is what would become of it."""

    id: int
    state: str | None
    would: str


def dry_run(reader: Reader, ids: Sequence[int], would: Mapping[JobState, str]) -> list[DryRun]:
    """Look up each job; `would` says what becomes of a job in each state, and any other job is left."""
    by_name = {state.value: result for state, result in would.items()}
    found: list[DryRun] = []
    for job_id in ids:
        job = reader.job(job_id)
        state = None if job is None else str(job.job["state"])
        found.append(DryRun(job_id, state, LEFT if state is None else by_name.get(state, LEFT)))
    return found


def drawn_dry_run(found: Sequence[DryRun]) -> str:
    """One line for each job."""
    return table(DryRun._fields, ((one.id, one.state or "no such job", one.would) for one in found))
