"""The order in which a pipeline drains.

    1. every layer stops subscribing again,
    2. every source stops producing, and cancels its consumers after what it has buffered,
    3. each later layer, when its last producer has left, flushes what it collects and then cancels its consumers,
    4. the last layer ends.

It owns this order and nothing else; its timeout is the caller's. A source may still be asked after step 2 and must
then fetch nothing. Nothing is stopped by force here; everything leaves in its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable
from inspect import isawaitable
from typing import Any

from ..core._common import ConnectableStage
from ..core.producing import Producing
from ..core.stage import Stage
from ..core.subscription import Subscription
from ..reasons import SHUTDOWN, Cancellation


class Layer(ConnectableStage):
    """A stage of a pipeline downstream of its sources: passes the drain on when its last producer is gone."""

    draining = False

    async def on_cancel(self, cancellation: Cancellation, subscription: Subscription) -> None:
        """Steps 3 and 4."""
        await super().on_cancel(cancellation, subscription)
        self._pass_on()

    def drain(self) -> None:
        """Step 1."""
        self.draining = True
        assert self._stage_inlet is not None
        self._stage_inlet.stop_resubscribing()
        self._stage_post(lambda *_: self._pass_on(), None, None)

    def flush(self) -> None:
        """Emit what is still collected."""

    def _pass_on(self) -> None:
        if not self.draining or (self._stage_inlet is not None and self._stage_inlet.subscriptions):
            return
        self.flush()
        if isinstance(self, Producing):
            self.cancel_consumers(SHUTDOWN)
        else:
            self.leave(SHUTDOWN)


def stop_sources(sources: Iterable[Any]) -> list[Coroutine[Any, Any, None]]:
    """Step 2, at once where it can be: a source may have a method `prepare_for_draining`, async or not.

    Returns what is left to do for those whose method is async.
    """
    left = []
    for source in sources:
        hook = getattr(source, "prepare_for_draining", None)
        answer = None if hook is None else hook()
        if isawaitable(answer):
            left.append(_stop_prepared(source, answer))
        else:
            source.cancel_consumers(SHUTDOWN)
    return left


async def _stop_prepared(source: Any, prepared: Awaitable[Any]) -> None:
    await prepared
    source.cancel_consumers(SHUTDOWN)


async def drained(last: Iterable[Stage]) -> None:
    """Wait for step 4."""
    await asyncio.gather(*(stage.wait() for stage in last))
