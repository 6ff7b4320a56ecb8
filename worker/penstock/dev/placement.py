"""Which members come and which go: `plan`, pure, from a replica count to acts.

Scaling kills no job, so a member that may hold one leaves in three steps over several calls: cordoned, drained,
stopped. One that never registered, or whose process is gone, holds nothing that a stop could interrupt. A leaving
member that is wanted again is called back, which is quicker than a new process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .processes import Member, MemberState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Row:
    """A worker's row in the registry, as far as placement needs it."""

    id: int
    state: str
    in_flight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Acts, in this order: `call_back` and `cordon` name workers by id, `stop` names members, `start` is a count.

    `serving` and `leaving` count the members as they were found.
    """

    serving: int
    leaving: int
    call_back: tuple[int, ...] = ()
    start: int = 0
    cordon: tuple[int, ...] = ()
    stop: tuple[str, ...] = ()


def rows_of(workers: Iterable[dict[str, Any]]) -> dict[str, Row]:
    """The newest row for each pod name: a restarted member leaves its former row behind until that lease runs out."""
    found: dict[str, Row] = {}
    for worker in workers:
        name, row = worker["pod"], Row(int(worker["id"]), str(worker["state"]), int(worker["in_flight"]))
        if name and (name not in found or found[name].id < row.id):
            found[name] = row
    return found


def plan(desired: int, members: Sequence[Member], rows: dict[str, Row]) -> Plan:
    """What to do so that `desired` members serve.

    Args:
        desired: the decision's replicas.
        members: of one queue, oldest first.
        rows: by member's name.
    """
    serving: list[tuple[Member, Row | None]] = []
    leaving: list[tuple[Member, Row | None]] = []
    for member in members:
        if member.state is not MemberState.STOPPING:
            row = rows.get(member.name)
            going = row is not None and row.state in {"cordoned", "drained"}
            (leaving if going else serving).append((member, row))
    short = max(0, desired - len(serving))
    back = [row.id for member, row in leaving if row and member.state is MemberState.RUNNING][:short]
    excess = max(0, len(serving) - desired)
    newest_first = list(reversed(serving))
    victims = sorted(newest_first, key=lambda one: _burden(*one))[:excess]
    cordon = tuple(row.id for member, row in victims if row and member.state is MemberState.RUNNING)
    stop = [member.name for member, row in victims if not row or member.state is MemberState.CRASHED]
    stop += [
        member.name
        for member, row in leaving
        if row and row.id not in back and (row.state == "drained" or member.state is MemberState.CRASHED)
    ]
    return Plan(
        serving=len(serving),
        leaving=len(leaving),
        call_back=tuple(back),
        start=short - len(back),
        cordon=cordon,
        stop=tuple(stop),
    )


def _burden(member: Member, row: Row | None) -> int:
    """Idle first: what never ran, then what crashed, then who holds least. The sort is stable: the newest of equals."""
    if row is None:
        return -2
    return -1 if member.state is MemberState.CRASHED else row.in_flight
