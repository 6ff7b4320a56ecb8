"""What one sample of a database says about one queue, and what kept it from being taken."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.store import QueueState

from .database.client import DatabaseClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of a queue's database at one moment; `state` is None where the queue could not be seen.

    `waited` are the seconds that 95 of 100 attempts of the last minute waited at most; None where none ended.
    """

    database: DatabaseClient | None = None
    connected: bool = False
    listening: bool = False
    state: QueueState | None = None
    waited: float | None = None
    problem: tuple[str, str] | None = None
