"""Rows that the statements of a running process return, one named tuple for each."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

AuditPart = Literal["sequences", "marks", "limits", "queues"]
"""The parts that `Store.audit` corrects; see functions/audit.sql."""


class AckConflict(NamedTuple):
    """An outcome that was not simply accepted: `state` is what is stored, None means fenced."""

    id: int
    token: int
    state: str | None


class QueueState(NamedTuple):
    """A queue in a snapshot. Counts are exact below the cap; `oldest` is seconds, None where nothing is ready."""

    id: int
    name: str
    paused: bool
    declared: bool
    ready: int
    capped: bool
    deferred: int
    due_soon: int
    in_flight: int
    dead: int
    oldest: float | None
    workers: list[dict[str, Any]]


class Promotion(NamedTuple):
    """The number of deferred jobs that became ready, and seconds until the next is due; None if none is deferred."""

    promoted: int
    next_due: float | None


class Rescue(NamedTuple):
    """Workers declared lost, jobs taken back, jobs that became dead letters of reason `poison`."""

    lost: int
    rescued: int
    poisoned: int


class Overdue(NamedTuple):
    """Attempts past their deadline: jobs deferred for the next one, and jobs that had none left."""

    retried: int
    dead_lettered: int
