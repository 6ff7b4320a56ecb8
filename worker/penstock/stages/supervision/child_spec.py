"""The specification and the status of a supervisor's children.

It owns the terms strategy, restart, child. It must not start anything.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum

from ..core.stage import Stage
from ..errors import BadOption
from ..status import StageStatus


class Strategy(Enum):
    """The children to restart when one fails: only it, all, or it and those started after it."""

    ONE_FOR_ONE = "one_for_one"
    ONE_FOR_ALL = "one_for_all"
    REST_FOR_ONE = "rest_for_one"


class Restart(Enum):
    """The children that are restarted: all, those that failed, or none."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What a supervisor needs to start one child and to restart it.

    Args:
        make: returns a new, unstarted stage each time; a Supervisor is a stage too.
        id: unique among the children; default: the number of the child.
        restart: default PERMANENT.
        shutdown: seconds that the child has to stop before it is killed, default 5; None: as long as it takes.
    """

    make: Callable[[], Stage]
    id: Hashable = None
    restart: Restart = Restart.PERMANENT
    shutdown: float | None = 5.0

    def __post_init__(self) -> None:
        if not callable(self.make):
            raise BadOption.of(f"child {self.id!r}", "make", "a function that returns a new stage", self.make)
        if not isinstance(self.restart, Restart):
            raise BadOption.of(f"child {self.id!r}", "restart", "one of Restart", self.restart)
        if self.shutdown is not None and self.shutdown < 0:
            raise BadOption.of(f"child {self.id!r}", "shutdown", "None or seconds of at least 0", self.shutdown)


@dataclass(frozen=True, slots=True)
class ChildStatus:
    """One child in a supervisor's snapshot."""

    id: Hashable
    restarts: int
    waiting: bool
    """It ended and waits for its restart."""
    failures: int
    """Starts in a row after a failure, none of which lived longer than the supervisor's `within`."""
    last_reason: object
    stage: StageStatus | None


class Slot:
    """The place of one child."""

    __slots__ = ("attempt", "child", "last_reason", "restarts", "stage", "started_at")

    def __init__(self, child: Child) -> None:
        self.child = child
        self.stage: Stage | None = None
        self.restarts = 0
        self.attempt = 0
        self.last_reason: object = None
        self.started_at = 0.0
