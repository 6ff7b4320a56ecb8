"""Doubles that ship as real code: for tests of pipelines that use this library.

They own nothing but what a test wants to see. They must not need a test framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.base import Producer
from ..reasons import Dropped
from .envelope import Acknowledger, Envelope


@dataclass(frozen=True, slots=True)
class Outcome:
    """One acknowledgement."""

    ref: Hashable
    successful: list[Envelope]
    failed: list[Envelope]


class CallerAcknowledger(Acknowledger):
    """Passes every acknowledgement to the caller that waits for it."""

    def __init__(self) -> None:
        self.outcomes: asyncio.Queue[Outcome] = asyncio.Queue()
        self.released: list[tuple[list[Any], Dropped]] = []
        self.configured: list[tuple[Hashable, Any, dict[str, Any]]] = []

    def ack(self, ref: Hashable, successful: Sequence[Envelope], failed: Sequence[Envelope]) -> None:
        """Note it."""
        self.outcomes.put_nowait(Outcome(ref, list(successful), list(failed)))

    def release(self, events: Sequence[Any], why: Dropped) -> None:
        """Note it."""
        self.released.append((list(events), why))

    def configure(self, ref: Hashable, data: Any, options: dict[str, Any]) -> Any:
        """Note it; the options become the acknowledger data."""
        self.configured.append((ref, data, options))
        return options

    async def outcome(self, *, timeout: float = 5.0) -> Outcome:
        """The next acknowledgement. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            return await self.outcomes.get()


class DummyProducer(Producer[Any]):
    """Emits only what it is pushed; `demands` notes what it was asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.demands: list[int] = []
        self.draining = False

    async def handle_demand(self, demand: int) -> list[Any]:
        """Nothing by itself."""
        self.demands.append(demand)
        return []

    def prepare_for_draining(self) -> None:
        """Note it."""
        self.draining = True
