"""Reasons why a stage or a subscription ended.

A reason is any value; a stage whose callback raised ends with the exception itself. The values here are those with a
meaning of their own: `NORMAL`, `SHUTDOWN` and `Shutdown(detail)` are quiet, a TRANSIENT subscription survives them.
A killed stage (its task was cancelled) ends `KILLED`, and its `on_stop` is not called.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Exit(Enum):
    """Named reasons."""

    NORMAL = "normal"
    SHUTDOWN = "shutdown"
    KILLED = "killed"
    ALREADY_SUBSCRIBED = "already subscribed"
    DUPLICATED_SUBSCRIPTION = "duplicated subscription"
    UNKNOWN_SUBSCRIPTION = "unknown subscription"

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__


NORMAL = Exit.NORMAL
SHUTDOWN = Exit.SHUTDOWN
KILLED = Exit.KILLED


@dataclass(frozen=True, slots=True)
class Shutdown:
    """A quiet reason with a detail, such as `Shutdown("drained")`."""

    detail: object


def is_quiet(reason: object) -> bool:
    """Return True if a stage ended without a fault: NORMAL, SHUTDOWN and Shutdown(detail)."""
    return reason is NORMAL or reason is SHUTDOWN or isinstance(reason, Shutdown)


class CancelMode(Enum):
    """The effect of an ended subscription on its consumer.

    PERMANENT (the default): the consumer ends with the same reason, always.
    TRANSIENT: the consumer ends with it, unless the reason is quiet.
    TEMPORARY: the consumer lives on.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"

    def ends_consumer(self, reason: object) -> bool:
        """Return True if a consumer must end when its subscription ended for `reason`."""
        if reason is Exit.ALREADY_SUBSCRIBED or self is CancelMode.TEMPORARY:
            return False
        return self is CancelMode.PERMANENT or not is_quiet(reason)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """The cause of a subscription's end and its reason; `down`: the other stage ended, else it was cancelled."""

    reason: object
    down: bool = False


class Dropped(Enum):
    """Why events were released instead of delivered."""

    OVERFLOW = "the buffer was full"
    LATE = "the subscription had ended"
    CONSUMER_DOWN = "the consumer ended before it finished them"
    PARTITION_CANCELLED = "the consumer of their partition left"
    STAGE_ENDED = "the stage that had them ended"
    NO_PARTITION = "the hash function failed or named an unknown partition"
    FAILED = "a stage failed to process them"
    DRAIN_TIMEOUT = "the drain timed out"
