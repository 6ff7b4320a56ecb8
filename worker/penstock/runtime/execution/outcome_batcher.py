"""Collects outcomes for a moment and emits them in batches. Must not know what an outcome is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from penstock.job import Finished

LINGER_SECONDS = 0.001
"""While few attempts run, an outcome waits at most this long for others."""
LINGER_BUSY_SECONDS = 0.01
BATCH = 250
"""Outcomes in a batch; acknowledging costs least per job from 100 to 500."""


class OutcomeBatcher:
    """One batch and its timer.

    Args:
        emit: takes a batch.
        busy: whether more outcomes are about to come; then a batch waits longer for them.
    """

    def __init__(self, *, emit: Callable[[Sequence[Finished]], None], busy: Callable[[], bool]) -> None:
        self._emit, self._busy = emit, busy
        self._finished: list[Finished] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, finished: Finished) -> None:
        """One more; emitted at once if it fills the batch, else within ten milliseconds."""
        self._finished.append(finished)
        if len(self._finished) >= BATCH:
            self.flush()
        elif self._timer is None:
            seconds = LINGER_BUSY_SECONDS if self._busy() else LINGER_SECONDS
            self._timer = asyncio.get_running_loop().call_later(seconds, self.flush)

    def flush(self) -> None:
        """Emit what is there."""
        self.close()
        if self._finished:
            batch, self._finished = self._finished, []
            self._emit(batch)

    def close(self) -> None:
        """Stop the timer; what is there stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
