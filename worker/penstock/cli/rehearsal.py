"""What a command that is given ids would do with each, for `--dry-run`: looked up, not assumed. Changes nothing.

Owns the answer and how it is drawn. Surprising: it is of this moment; a job that waits now may run when it is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .output import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.job import JobState
    from penstock.store.reading import Reader

LEFT = "left"
"""What becomes of a job that the command does not touch."""


class Rehearsed(NamedTuple):
    """One job. `state` None: there is none of that id. `would`: what would become of it."""

    id: int
    state: str | None
    would: str


def rehearse(reader: Reader, ids: Sequence[int], would: Mapping[JobState, str]) -> list[Rehearsed]:
    """Look each up; `would` has what the command makes of a job in that state, the rest is left."""
    by_name = {state.value: done for state, done in would.items()}
    found: list[Rehearsed] = []
    for job_id in ids:
        job = reader.job(job_id)
        state = None if job is None else str(job.job["state"])
        found.append(Rehearsed(job_id, state, LEFT if state is None else by_name.get(state, LEFT)))
    return found


def rehearsed(found: Sequence[Rehearsed], verb: str) -> str:
    """A line for each, and the sum."""
    count = sum(one.would != LEFT for one in found)
    lines = ((one.id, one.state or "no such job", one.would) for one in found)
    return f"{table(Rehearsed._fields, lines)}would {verb} {count:,} of {len(found):,}; nothing was changed\n"
