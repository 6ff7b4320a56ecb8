"""One processor of a pipeline: handles events one by one; a failing one fails alone.

It owns the calls of the user's `prepare`, `handle` and `on_failed` functions and acknowledges what ends here: all that
failed, and what succeeded when no batcher follows. It must survive what user code raises. With batchers, events that
succeed are passed on unacknowledged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.base import Consumer, ProducerConsumer
from ..core.subscription import Subscription
from ..errors import BadReturn
from .drain import Layer
from .envelope import Envelope, Function, acknowledge, called, wrapped
from .telemetry import Telemetry

logger = logging.getLogger("penstock.stages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The user's functions around one event, and where it may go."""

    handle: Function
    prepare: Function | None = None
    on_failed: Function | None = None
    batchers: tuple[str, ...] = ()


class _Handling(Layer):
    """The handling of a batch that both kinds of processor share."""

    def __init__(self, work: Work, *, telemetry: Telemetry, index: int, pipeline: str, **options: Any) -> None:
        super().__init__(**options)
        self._work = work
        self._telemetry = telemetry
        self._index = index
        self._pipeline = pipeline

    async def handled(self, events: Sequence[Any]) -> list[Envelope]:
        """Handle one batch; returns what goes on to batchers."""
        about = {"topology_name": self._pipeline, "name": str(self.name), "index": self._index}
        envelopes = [wrapped(event) for event in events]
        with self._telemetry.span("processor", {**about, "events": envelopes}) as span:
            if await self._prepared(envelopes):
                for envelope in envelopes:
                    await self._handle(envelope, about)
            failed = [envelope for envelope in envelopes if envelope.failed]
            passed = [envelope for envelope in envelopes if not envelope.failed]
            span.update(successful=passed, failed=failed)
            await failing(self._work.on_failed, failed, self._telemetry, about)
            await acknowledge(failed if self._work.batchers else envelopes)
        return passed if self._work.batchers else []

    async def _prepared(self, envelopes: list[Envelope]) -> bool:
        """Run `prepare` on all; where it fails or does not return all, all have failed."""
        if self._work.prepare is None:
            return True
        try:
            answer = await called(self._work.prepare, envelopes)
            if answer is not None and (not isinstance(answer, list) or set(map(id, answer)) != set(map(id, envelopes))):
                raise BadReturn.of(self, "prepare", "None, or all the envelopes that it was given", answer)  # noqa: TRY301
        except Exception as error:
            logger.exception("prepare of %r failed; failing the batch (events=%d)", self, len(envelopes))
            for envelope in envelopes:
                envelope.fail(error)
            return False
        return True

    async def _handle(self, envelope: Envelope, about: dict[str, Any]) -> None:
        try:
            with self._telemetry.span("processor.event", {**about, "event": envelope}):
                answer = await called(self._work.handle, envelope)
            if answer is not None and answer is not envelope:
                envelope.fail(
                    BadReturn.of(self, "the process function", "None, or the envelope that it was given", answer)
                )
                logger.error("%s", envelope.reason)
            self._check_batcher(envelope)
        except Exception as error:
            logger.exception("%r failed to handle %r", self, envelope)
            envelope.fail(error)

    def _check_batcher(self, envelope: Envelope) -> None:
        batchers = self._work.batchers
        if not batchers or envelope.failed:
            return
        if envelope.batcher is None:
            envelope.batcher = batchers[0]
        elif envelope.batcher not in batchers:
            got = envelope.batcher
            envelope.fail(
                BadReturn.of(self, "the process function", f"an envelope for one of the batchers {batchers}", got)
            )
            logger.error("%s", envelope.reason)


class Processor(_Handling, ProducerConsumer[Any, Envelope]):
    """Handles events and passes on to batchers what succeeded."""

    kind = "processor"

    async def handle_events(self, events: Sequence[Any], subscription: Subscription) -> list[Envelope]:
        """Handle one batch."""
        del subscription
        return await self.handled(events)


class LastProcessor(_Handling, Consumer[Any]):
    """Handles events; they end here."""

    kind = "processor"

    async def handle_events(self, events: Sequence[Any], subscription: Subscription) -> None:
        """Handle one batch."""
        del subscription
        await self.handled(events)


async def failing(
    on_failed: Function | None, failed: list[Envelope], telemetry: Telemetry, about: dict[str, Any]
) -> None:
    """Call the user's `on_failed` before failed events are acknowledged; what it raises is logged."""
    if on_failed is None or not failed:
        return
    try:
        with telemetry.span("on_failed", {**about, "events": failed}):
            await called(on_failed, failed)
    except Exception:
        logger.exception("on_failed raised (events=%d)", len(failed))
