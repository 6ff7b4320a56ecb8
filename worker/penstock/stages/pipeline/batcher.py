"""One batcher of a pipeline: collects events into batches by key, and a worker that handles them.

The batcher owns open batches and their timers; a batch is passed on when it is full, when its time is over, or when
an event says "flush". It must not handle events. The timer starts with the first event of a batch. What a killed
batcher has collected is released to its acknowledgers, as is everything that is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core.base import Consumer, ProducerConsumer
from ..core.subscription import Subscription
from ..reasons import Dropped
from ..release import release
from .drain import Layer
from .envelope import Batch, BatchInfo, Envelope, Function, acknowledge, called
from .processor import failing
from .telemetry import Telemetry

logger = logging.getLogger("penstock.stages")

Splitter = Callable[[Any, Envelope], "tuple[bool, Any]"]
"""(state, envelope) -> (whether the batch ends with this envelope, new state)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """The settings of a batcher.

    Args:
        size: events per batch; or with `splitter`, its start state decides.
        timeout: seconds from the first event of a batch until it is passed on as it is.
        splitter, splitter_state: decides batch ends by other means than their size.
    """

    name: str
    size: int = 100
    timeout: float = 1.0
    splitter: Splitter | None = None
    splitter_state: Any = None


class _Open:
    __slots__ = ("envelopes", "state", "timer")

    def __init__(self, state: Any, timer: asyncio.TimerHandle) -> None:
        self.envelopes: list[Envelope] = []
        self.state = state
        self.timer = timer


BatchKey = tuple[Hashable, "int | None"]


class Batcher(Layer, ProducerConsumer[Envelope, Batch]):
    """Collects."""

    kind = "batcher"

    def __init__(
        self,
        batching: Batching,
        *,
        partition_of: Callable[[Envelope], int] | None = None,
        telemetry: Telemetry,
        pipeline: str,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._batching = batching
        self._partition_of = partition_of
        self._telemetry = telemetry
        self._about = {"topology_name": pipeline, "name": str(self.name), "batcher": batching.name}
        self._open: dict[BatchKey, _Open] = {}

    async def handle_events(self, events: Sequence[Envelope], subscription: Subscription) -> list[Batch]:
        """Collect; returns the batches that are complete."""
        del subscription
        with self._telemetry.span("batcher", {**self._about, "events": events}):
            ready: list[Batch] = []
            flush: dict[BatchKey, None] = {}
            for envelope in events:
                key = self._key(envelope)
                if key is None:
                    await acknowledge([envelope])
                elif self._add(key, envelope):
                    ready.append(self._close_batch(key, "size"))
                    flush.pop(key, None)
                elif envelope.batch_mode == "flush":
                    flush[key] = None
            ready.extend(self._close_batch(key, "flush") for key in flush)
            return ready

    def flush(self) -> None:
        """Pass on everything as it is."""
        self.push([self._close_batch(key, "flush") for key in list(self._open)])

    def on_end(self, reason: object) -> None:
        """Release what is still collected."""
        del reason
        for batch in self._open.values():
            batch.timer.cancel()
            release(batch.envelopes, Dropped.STAGE_ENDED)
        self._open.clear()

    def _key(self, envelope: Envelope) -> BatchKey | None:
        """The batch that it belongs to; None: the functions that decide it failed, and so has the envelope."""
        try:
            key = (envelope.batch_key, self._partition_of(envelope) if self._partition_of else None)
            hash(key)
        except Exception as error:
            logger.exception("%r: cannot assign %r to a batch", self, envelope)
            envelope.fail(error)
            return None
        return key

    def _add(self, key: BatchKey, envelope: Envelope) -> bool:
        """Put into its batch; True: the batch is full."""
        batching = self._batching
        batch = self._open.get(key)
        if batch is None:
            timer = asyncio.get_running_loop().call_later(batching.timeout, self._timed_out, key)
            batch = self._open[key] = _Open(batching.splitter_state, timer)
        batch.envelopes.append(envelope)
        if batching.splitter is None:
            return len(batch.envelopes) >= batching.size
        try:
            full, batch.state = batching.splitter(batch.state, envelope)
        except Exception:
            logger.exception("splitter of %r failed; closing its batch", self)
            return True
        return full

    def _timed_out(self, key: BatchKey) -> None:
        if key in self._open:
            self.push([self._close_batch(key, "timeout")])

    def _close_batch(self, key: BatchKey, trigger: Literal["size", "timeout", "flush"]) -> Batch:
        batch = self._open.pop(key)
        batch.timer.cancel()
        name, size = self._batching.name, len(batch.envelopes)
        return Batch(batch.envelopes, BatchInfo(name, key[0], key[1], size, trigger))


class BatchWorker(Layer, Consumer[Batch]):
    """Handles one batch at a time with `handle(envelopes, info)`, then acknowledges it."""

    kind = "batch-worker"

    def __init__(
        self,
        handle: Function,
        *,
        on_failed: Function | None,
        telemetry: Telemetry,
        index: int,
        pipeline: str,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._handle = handle
        self._on_failed = on_failed
        self._telemetry = telemetry
        self._about = {"topology_name": pipeline, "name": str(self.name), "index": index}

    async def handle_events(self, events: Sequence[Batch], subscription: Subscription) -> None:
        """Handle each batch; one that raises fails as a whole."""
        del subscription
        for batch in events:
            about = {**self._about, "batch": batch.info, "events": batch.envelopes}
            with self._telemetry.span("batch_worker", about) as span:
                done = await self._handled(batch)
                failed = [envelope for envelope in done if envelope.failed]
                span.update(successful=[envelope for envelope in done if not envelope.failed], failed=failed)
                await failing(self._on_failed, failed, self._telemetry, self._about)
                await acknowledge(done)

    async def _handled(self, batch: Batch) -> list[Envelope]:
        envelopes = batch.envelopes
        try:
            answer = await called(self._handle, envelopes, batch.info)
            if answer is None:
                return envelopes
            if not isinstance(answer, list) or not all(isinstance(one, Envelope) for one in answer):
                raise TypeError(f"a batch function must return None or a list of envelopes, got {answer!r}")  # noqa: TRY301
        except Exception as error:
            logger.exception("%r failed to handle a batch; failing all of it (events=%d)", self, len(envelopes))
            for envelope in envelopes:
                envelope.fail(error)
            return envelopes
        if len(answer) < len(envelopes):
            text = "%r: batch function of %r returned too few events (received=%d, returned=%d)"
            logger.error(text, self, batch.info.batcher, len(envelopes), len(answer))
            kept = set(map(id, answer))
            release([envelope for envelope in envelopes if id(envelope) not in kept], Dropped.FAILED)
        return answer
