"""Selects the workers to start and to stop, from a replica count. Pure.

Scaling kills no job: a worker that may hold one leaves in three steps over several calls, cordoned, drained, stopped. A
worker that never registered, or whose process is gone, can be stopped at once. A leaving worker that is wanted again is
uncordoned, which is faster than a new process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .processes import WorkerProcess, WorkerProcessState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """The part of a worker's row in the database that placement needs."""

    id: int
    state: str
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The actions, in this order: `uncordon` and `cordon` are ids, `stop` are names of processes, `start` is a count.

    `serving` and `leaving` are the numbers of workers before that.
    """

    serving: int
    leaving: int
    uncordon: tuple[int, ...] = ()
    start: int = 0
    cordon: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()


def rows_of(workers: Iterable[dict[str, Any]]) -> dict[str, Row]:
    """The newest row for each pod name; a restarted worker has an older row until that lease expires."""
    found: dict[str, Row] = {}
    for worker in workers:
        name, row = worker["pod"], Row(int(worker["id"]), str(worker["state"]), int(worker["in_flight"]))
        if name and (name not in found or found[name].id < row.id):
            found[name] = row
    return found


def place(desired: int, workers: Sequence[WorkerProcess], rows: dict[str, Row]) -> Placement:
    """Choose which workers start and stop for `desired` serving workers.

    Args:
        desired: replicas of the decision.
        workers: all of one queue, oldest first.
        rows: by the worker's name.
    """
    serving: list[tuple[WorkerProcess, Row | None]] = []
    leaving: list[tuple[WorkerProcess, Row | None]] = []
    for worker in workers:
        if worker.state is not WorkerProcessState.STOPPING:
            row = rows.get(worker.name)
            is_leaving = row is not None and row.state in {"cordoned", "drained"}
            (leaving if is_leaving else serving).append((worker, row))
    missing = max(0, desired - len(serving))
    uncordon = [row.id for worker, row in leaving if row and worker.state is WorkerProcessState.RUNNING][:missing]
    excess = max(0, len(serving) - desired)
    newest_first = list(reversed(serving))
    removable = sorted(newest_first, key=lambda one: _cost(*one))[:excess]
    cordon = tuple(row.id for worker, row in removable if row and worker.state is WorkerProcessState.RUNNING)
    stop = [worker.name for worker, row in removable if not row or worker.state is WorkerProcessState.CRASHED]
    stop += [
        worker.name
        for worker, row in leaving
        if row and row.id not in uncordon and (row.state == "drained" or worker.state is WorkerProcessState.CRASHED)
    ]
    return Placement(
        serving=len(serving),
        leaving=len(leaving),
        uncordon=tuple(uncordon),
        start=missing - len(uncordon),
        cordon=cordon,
        stop=tuple(stop),
    )


def _cost(worker: WorkerProcess, row: Row | None) -> int:
    """Lowest for a worker that never registered, then a crashed one, then by jobs in flight; of equals the newest."""
    if row is None:
        return -2
    return -1 if worker.state is WorkerProcessState.CRASHED else row.in_flight
