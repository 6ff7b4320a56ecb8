"""Liveness of the operator: its event loop runs, and its threads become free.

The probes' thread reads it, so a process that hangs fails its probe. A database server cannot make it fail: no thread
of this process waits for one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Final

BEAT_SECONDS: Final = 1.0
STUCK_SECONDS: Final = 120.0
"""A loop or thread without progress for this long is stuck."""


class Liveness:
    """Heartbeats of the event loop and of pools of threads.

    Args:
        pools: by the name that the sentence has for them.
        late: given the seconds by which each beat of the event loop was late.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        pools: Mapping[str, Executor],
        *,
        late: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools, self._late, self._clock = pools, late, clock
        self._beats = dict.fromkeys(["event loop", *pools], clock())
        self._asked: dict[str, Future[None]] = {}

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            due = self._clock() + BEAT_SECONDS
            self.beat()
            await asyncio.sleep(BEAT_SECONDS)
            self._late(max(0.0, self._clock() - due))

    def beat(self) -> None:
        """The event loop has come round; each pool is asked for a turn of a thread."""
        self._beats["event loop"] = self._clock()
        for name, pool in self._pools.items():
            asked = self._asked.get(name)
            if asked is None or asked.done():
                self._asked[name] = pool.submit(self._turn, name)

    def _turn(self, name: str) -> None:
        self._beats[name] = self._clock()

    def problem(self) -> str | None:
        """None, or what is stuck."""
        now = self._clock()
        for name, at in self._beats.items():
            if now - at > STUCK_SECONDS:
                return f"the {name} of the operator has made no progress for {now - at:.0f} s"
        return None
