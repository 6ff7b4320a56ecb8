"""The nouns of the state machine test: a job to be enqueued, an attempt, a job and a worker as the model sees them.

No behaviour; store_model.py has it. Specs as arguments of a call, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LIVE = ("scheduled", "queued", "running")


class Refused(Exception):  # noqa: N818
    """The enqueue asked to be refused, and its key is taken."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A job about to be enqueued."""

    queue: str
    priority: int = 1
    deferred: bool = False
    key: str | None = None
    until_start: bool = False
    expired: bool = False
    refuse: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claim of one job; what an outcome must match."""

    job: int
    token: int
    worker: int


@dataclass(slots=True)
class Job:
    id: int
    spec: Spec
    place: str
    attempt: int = 0
    crashes: int = 0
    cancel: bool = False
    due: int | None = None
    key: str | None = None
    kept: str | None = None
    claim: Attempt | None = None
    ord: int | None = None


@dataclass(slots=True)
class Worker:
    queue: str
    state: str = "running"
    lapsed: bool = False
    swept: bool = False


def enqueue_arguments(specs: list[Spec]) -> list[list[Any]]:
    """The arguments of `enqueue_many` for these jobs, a column each."""
    return [
        [spec.queue for spec in specs],
        ["work"] * len(specs),
        ["{}"] * len(specs),
        [spec.priority for spec in specs],
        [3600.0 if spec.deferred else None for spec in specs],
        [spec.key for spec in specs],
        [spec.until_start for spec in specs],
        [0.0 if spec.expired else None for spec in specs],
        [spec.refuse for spec in specs],
    ]
