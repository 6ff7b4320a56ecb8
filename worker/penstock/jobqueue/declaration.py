"""The declaration of one queue: what a JobQueue, or `penstock dev`, wants in the queue's row in the database.

One value for all uses: the argument of `Queues.declare`, the row that the database returns, and what the two are
compared by. Pure; the store and both declarers import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class QueueDeclaration(NamedTuple):
    """A queue's declaration; the fields are the columns of `penstock.declarations()`, in their order.

    Attributes:
        declared_by: a JobQueue's uid, or `local` for `penstock dev`.
        generation: an older one of the same declarer changes nothing.
        paused: whether workers take no jobs.
        paused_by: who paused it, the declarer or a login; None in a declaration to write, and while not paused.
        max_attempts: of jobs that set none.
        max_in_flight: jobs that run at once; None: no limit.
        retry: the back-off between attempts, as JSON; None: an empty object.
        job_deadline: seconds; None: none.
        retention: seconds for which outcomes are kept.
        settings: more, as JSON; None: an empty object.
    """

    declared_by: str
    generation: int = 0
    paused: bool = False
    paused_by: str | None = None
    max_attempts: int = 5
    max_in_flight: int | None = None
    retry: Mapping[str, object] | None = None
    job_deadline: float | None = None
    retention: float = 86_400.0
    settings: Mapping[str, object] | None = None

    def matches(self, wanted: QueueDeclaration) -> bool:
        """Return True if declaring `wanted` over this row would change nothing.

        A pause by a login stays in any case: it matches both values of `paused`.
        """
        by_declarer = self.paused and self.paused_by == self.declared_by
        pause_matches = wanted.paused if by_declarer else not wanted.paused or self.paused
        return pause_matches and self._plain() == wanted._plain()

    def _plain(self) -> QueueDeclaration:
        """Without the pause; no JSON is an empty object."""
        return self._replace(
            paused=False, paused_by=None, retry=dict(self.retry or {}), settings=dict(self.settings or {})
        )
