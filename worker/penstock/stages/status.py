"""The status of a stage: frozen snapshots, safe to keep and to export as metrics.

They have no behavior. Numbers are of the moment when `status()` was called; the snapshot of an ended stage is final.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Where a stage is in its life."""

    NEW = "new"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class OutletStatus:
    """The producing side."""

    dispatcher: str
    consumers: tuple[str, ...]
    demand_mode: str
    demand: int
    """Open demand: events that would be delivered at once."""
    buffered: int
    buffer_size: int | None
    emitted: int
    """Events ever emitted."""
    discarded: int
    """Events ever dropped for lack of room."""


@dataclass(frozen=True, slots=True)
class InletStatus:
    """The consuming side."""

    producers: tuple[str, ...]
    outstanding: int
    """Events asked for automatically and not consumed."""
    received: int
    """Events ever given to `handle_events`."""
    waiting: int
    """Events that arrived and wait for demand from downstream (producer-consumers)."""
    resubscribing: int


@dataclass(frozen=True, slots=True)
class StageStatus:
    """One stage."""

    name: str
    kind: str
    state: State
    busy: bool
    """A callback is running."""
    mailbox: int
    reason: object
    """Why it ended; None while it lives."""
    last_error: BaseException | None
    outlet: OutletStatus | None = None
    inlet: InletStatus | None = None
