"""`Pipeline`: a builder of a source, a processing function and batchers.

It owns the terms source, process, batch and on_failed. It must not run anything itself: `start` puts the layers
together and `RunningPipeline` does the rest. Each of these calls checks its options at once, and the errors name their
path.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Self

from ..core.base import Producer
from ..errors import BadOption
from ..exponential_backoff import ExponentialBackoff
from ..names import Names
from ..reasons import SHUTDOWN
from .batcher import Batching, Splitter
from .doubles import CallerAcknowledger
from .envelope import BatchMode, Envelope, Function
from .plan import BatchPlan, PartitionBy, PipelinePlan, ProcessPlan, SourcePlan, default_concurrency
from .rate_limit import RateLimit
from .running_pipeline import RunningPipeline
from .telemetry import Telemetry, TelemetryListener


class Pipeline:
    """A builder and the thing that it builds.

    Args:
        name: the first part of all names of its stages, and of its errors.
        names: the registry of its stages; default: one of its own.
        telemetry, context: a listener for spans, and the context that it receives with each.
        resubscribe: delays before a layer subscribes again after its producer died; default 10 ms to 1 s.
        supervision: options of `Supervisor`.
    """

    def __init__(
        self,
        name: Hashable,
        *,
        names: Names | None = None,
        telemetry: TelemetryListener | None = None,
        context: Any = None,
        resubscribe: ExponentialBackoff | None = None,
        supervision: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.names = names if names is not None else Names()
        self._telemetry = Telemetry(telemetry, context)
        self._resubscribe = resubscribe or ExponentialBackoff(base=0.01, cap=1.0)
        self._supervision = supervision or {}
        self._source: SourcePlan | None = None
        self._process: ProcessPlan | None = None
        self._batches: dict[str, BatchPlan] = {}
        self._failed: Function | None = None
        self._running: RunningPipeline | None = None

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    # -- building ----------------------------------------------------------------------------------------------------

    def source(self, make: Callable[[], Producer[Any]], *, count: int = 1, limit: RateLimit | None = None) -> Self:
        """Set the source: `make()` returns a new producer, for each of `count` and after each crash.

        The pipeline sets its name and dispatcher. `limit` is shared by all of them. Raises BadOption.
        """
        self._source = SourcePlan(owner=self._path("source"), make=make, count=count, limit=limit)
        return self

    def process(
        self,
        handle: Function,
        *,
        concurrency: int | None = None,
        max_demand: int = 10,
        min_demand: int | None = None,
        prepare: Function | None = None,
        partition_by: PartitionBy | None = None,
    ) -> Self:
        """Process each event with `handle(envelope)`, async or not.

        Args:
            handle: changes the envelope; returns it or None. An event for which it raises fails alone.
            concurrency: processors; default two per core.
            max_demand: of each processor; default 10.
            min_demand: of each processor; default half of `max_demand`.
            prepare: receives all envelopes of a batch first; if it raises, all of them fail.
            partition_by: envelope -> a number; equal numbers (modulo `concurrency`) go to the same processor, in order.
        """
        self._process = ProcessPlan(
            owner=self._path("process"),
            handle=handle,
            concurrency=default_concurrency() if concurrency is None else concurrency,
            max_demand=max_demand,
            min_demand=min_demand,
            prepare=prepare,
            partition_by=partition_by,
        )
        return self

    def batch(
        self,
        name: str,
        handle: Function,
        *,
        size: int = 100,
        timeout: float = 1.0,
        concurrency: int = 1,
        splitter: Splitter | None = None,
        splitter_state: Any = None,
        max_demand: int | None = None,
        partition_by: PartitionBy | None = None,
    ) -> Self:
        """Process batches with `handle(envelopes, info)`, async or not; may be called several times.

        Args:
            name: what `Envelope.to_batcher` names; envelopes that name none go to the first batcher.
            handle: returns None or the envelopes, some of them marked as failed. Where it raises, all fail.
            size: a batch is passed on when it has as many events; default 100.
            timeout: or so many seconds after its first one; default 1.
            concurrency: workers that handle batches; default 1.
            splitter: (state, envelope) -> (whether the batch ends with it, state), instead of `size`.
            splitter_state: the state that each batch starts with.
            max_demand: of the batcher towards each processor; default `size`, required with a splitter.
            partition_by: as in `process`, for the workers.
        """
        if name in self._batches:
            raise BadOption.of(self._path("batch"), "name", "unique among the batchers", name)
        batching = Batching(name=name, size=size, timeout=timeout, splitter=splitter, splitter_state=splitter_state)
        self._batches[name] = BatchPlan(
            owner=self._path(f"batch {name!r}"),
            batching=batching,
            handle=handle,
            concurrency=concurrency,
            max_demand=max_demand,
            partition_by=partition_by,
        )
        return self

    def on_failed(self, handle: Function) -> Self:
        """Receives failed envelopes before they are acknowledged; what it raises is logged."""
        self._failed = handle
        return self

    # -- running -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all stages. Raises BadOption when there is no source, or nothing to do with its events."""
        self._running = RunningPipeline(self._plan(), self.names, self._telemetry)
        await self._running.start()

    async def stop(self, reason: object = SHUTDOWN, *, timeout: float | None = 30.0) -> None:
        """Drain, then end all stages; after `timeout` seconds unfinished events are released. Idempotent."""
        if self._running is not None:
            await self._running.stop(reason, timeout=timeout)

    async def run(self, *, timeout: float | None = 30.0) -> None:
        """Start, wait until all sources have ended quietly, drain (at most `timeout` seconds) and stop.

        Raises RestartsExceeded, after the drain, when a source fails again and again, or the supervisor has given up.
        """
        await self.start()
        try:
            await self.running.sources_ended()
        finally:
            await self.stop(timeout=timeout)

    @property
    def running(self) -> RunningPipeline:
        """The running pipeline: topology, stages, status, pushing, limits, tests. Raises BadOption before `start`."""
        if self._running is None:
            raise BadOption(f"pipeline {self.name!r} has not been started")
        return self._running

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def push(self, events: Sequence[Any]) -> None:
        """Emit events from the sources as if they had produced them, past any limit."""
        self.running.push(events)

    def test(self, *data: Any, mode: BatchMode = "flush", metadata: dict[str, Any] | None = None) -> CallerAcknowledger:
        """Send events through and learn their outcomes: `await pipeline.test(1).outcome()`.

        Mode "flush" (default) waits for no batch to fill; "bulk" batches as usual.
        """
        caller = CallerAcknowledger()
        envelopes = [Envelope(one, acknowledger=caller, metadata=dict(metadata or {})) for one in data]
        for envelope in envelopes:
            envelope.batch_mode = mode
        self.push(envelopes)
        return caller

    def _plan(self) -> PipelinePlan:
        for part, given in (("source", self._source), ("process", self._process)):
            if given is None:
                raise BadOption.of(self._path(part), part, "given before start", None)
        assert self._source is not None
        assert self._process is not None
        return PipelinePlan(
            name=self.name,
            source=self._source,
            process=self._process,
            batches=tuple(self._batches.values()),
            on_failed=self._failed,
            resubscribe=self._resubscribe,
            supervision=self._supervision,
        )

    def _path(self, part: str) -> str:
        return f"pipeline {self.name!r}: {part}"
