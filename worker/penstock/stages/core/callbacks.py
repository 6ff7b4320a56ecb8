"""The callbacks that every stage may override, with what they do when it does not.

It owns the defaults. All but `on_released` run in the stage's own task, one at a time, never two at once; one that
raises ends its stage with that exception.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..reasons import Dropped
from ..release import release

logger = logging.getLogger("penstock.stages")


class Callbacks:
    """Optional callbacks of all stages."""

    async def on_start(self) -> None:
        """Runs first, in the stage's task. Raising ends the stage, and `start` raises the same."""

    async def on_stop(self, reason: object) -> None:
        """Runs last, unless the stage was killed. Events may still be emitted here."""

    def on_end(self, reason: object) -> None:
        """The very last, also when the stage was killed: release what the stage holds by itself.

        Synchronous: cancel tasks, release events; nothing can be awaited or emitted any more.
        """

    async def on_info(self, info: Any) -> None:
        """An info that was posted with `post_info`."""
        logger.warning("%r: unhandled info %r", self, info)

    async def on_cast(self, request: Any) -> None:
        """A request that was sent with `cast`; it does not wait for events."""
        logger.warning("%r: unhandled cast %r", self, request)

    async def on_call(self, request: Any) -> Any:
        """A request that was sent with `call`; what it returns is the reply. The default refuses it."""
        raise NotImplementedError(f"{self!r}: unhandled call {request!r}")

    def on_released(self, events: Sequence[Any], why: Dropped) -> None:
        """Events that this stage emitted come back unfinished.

        Synchronous, and may come at any time, also while another callback awaits or after the stage has ended. The
        default passes each event to its attribute `acknowledger`, if it has one. Events may be emitted again here, but
        not those of an OVERFLOW: the buffer is still full.
        """
        release(events, why)
