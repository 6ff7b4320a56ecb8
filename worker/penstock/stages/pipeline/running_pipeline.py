"""A pipeline that runs: its layers under one supervisor, found by name, drained in order.

It owns how the layers are put together and taken down. It must not handle events. A stage that dies is replaced, and
its neighbours, which subscribe by name and again after a crash, go on. `stop` drains first; events that are unfinished
at its timeout are released, never lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Hashable, Sequence
from functools import partial
from itertools import count
from typing import Any

from ..core.base import Producer
from ..core.stage import Stage
from ..core.subscription import SubscriptionOptions
from ..dispatchers.base import Dispatcher
from ..dispatchers.demand import DemandDispatcher
from ..dispatchers.partition import PartitionDispatcher
from ..errors import BadOption, NoProducer, RestartsExceeded
from ..names import Names
from ..reasons import SHUTDOWN, CancelMode, is_quiet
from ..status import State
from ..supervision.child_spec import Child, ChildStatus, Restart
from ..supervision.supervisor import Supervisor
from ..timeouts import KILL_SECONDS
from . import drain
from .batcher import Batcher, BatchWorker
from .envelope import Batch, Envelope, wrapped
from .plan import BatchPlan, PartitionBy, PipelinePlan
from .processor import LastProcessor, Processor, Work
from .telemetry import Telemetry

logger = logging.getLogger("penstock.stages")

SOURCE_CHECK_SECONDS = 0.05
"""Between two checks for sources that wait for their restart."""


class RunningPipeline:
    """The stages of one pipeline."""

    def __init__(self, plan: PipelinePlan, names: Names, telemetry: Telemetry) -> None:
        self.plan = plan
        self.names = names
        self._telemetry = telemetry
        self._supervisor = Supervisor(self._children(), name=(plan.name, "supervisor"), **plan.supervision)
        self._timer: asyncio.TimerHandle | None = None
        self._turn = count()
        self._stopping = False

    def topology(self) -> dict[str, list[Hashable]]:
        """Layer -> the names of its stages."""
        layers: dict[str, list[Hashable]] = {}
        for child in self._supervisor.children():
            assert isinstance(child.id, tuple)
            layers.setdefault(str(child.id[1]), []).append(child.id)
        return layers

    def stages(self) -> list[Stage]:
        """All stages that live now."""
        found = (self._supervisor.child(child.id) for child in self._supervisor.children())
        return [stage for stage in found if stage is not None]

    def sources(self) -> list[Producer[Any]]:
        """The sources that live now."""
        return [stage for stage in self.stages() if isinstance(stage, Producer)]

    def status(self) -> tuple[ChildStatus, ...]:
        """A snapshot of all stages, with their restarts."""
        return self._supervisor.children()

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start all stages, sources first."""
        self._telemetry.report("topology.init", {}, {"topology_name": self.plan.name, "topology": self.topology()})
        await self._supervisor.start()
        self._next_window()

    async def sources_ended(self) -> None:
        """Wait until every source has ended quietly; one that crashed comes back and is waited for.

        Raises:
            RestartsExceeded: the supervisor has given up, or a source has failed more than `max_restarts` times in a
                row without living longer than `within` seconds.
        """
        changed, watched = asyncio.Event(), set[Stage]()
        while True:
            changed.clear()
            if self._supervisor.state is State.ENDED:
                return self._check_end()
            sources = [child for child in self._supervisor.children() if _layer(child.id) == "source"]
            if all(child.stage is None and is_quiet(child.last_reason) for child in sources):
                return None
            self._check_sources(sources)
            living = self.sources()
            for stage in {self._supervisor, *living} - watched:
                watched.add(stage)
                stage.watch(lambda *_: changed.set())
            with contextlib.suppress(TimeoutError):  # check again for a source that waits for its restart
                async with asyncio.timeout(None if len(living) == len(sources) else SOURCE_CHECK_SECONDS):
                    await changed.wait()
            watched &= set(self.sources()) | {self._supervisor}

    def _check_end(self) -> None:
        reason = self._supervisor.reason
        if not is_quiet(reason):
            text = f"pipeline {self.plan.name!r} has ended before its sources: {reason!r}"
            raise reason if isinstance(reason, Exception) else RestartsExceeded(text)

    def _check_sources(self, sources: Sequence[ChildStatus]) -> None:
        for child in sources:
            if child.failures > self._supervisor.max_restarts:
                text = f"source {child.id!r} failed (consecutive failures: {child.failures}): {child.last_reason!r}"
                raise RestartsExceeded(text)

    async def stop(self, reason: object = SHUTDOWN, *, timeout: float | None = 30.0) -> None:
        """Drain, then end; see `Pipeline.stop`."""
        if self._stopping:
            return
        self._stopping = True
        draining: asyncio.Task[None] | None = None
        try:
            draining = asyncio.create_task(self._drain(*self._start_drain()), name=f"drain {self.plan.name}")
            done, _ = await asyncio.wait([draining], timeout=timeout)  # not a timeout: a hook may ignore that
            if done:
                await draining
            else:
                logger.warning("%r: drain timed out, releasing events (timeout_seconds=%s)", self.plan.name, timeout)
                draining.cancel()
                await self._end_by_force(reason)
        except BaseException:
            if draining is not None:
                draining.cancel()
            self._supervisor.kill()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()
        await self._supervisor.stop(reason)

    async def _end_by_force(self, reason: object) -> None:
        """No stage is restarted, none is left in two seconds, whatever its callbacks do with their cancellation."""
        stages = self.stages()
        for stage in stages:
            stage.kill()
        await self._supervisor.stop(reason, timeout=KILL_SECONDS)
        await asyncio.gather(*(stage.stop(timeout=0.0) for stage in stages))

    async def wait(self) -> object:
        """Wait until the pipeline has ended; returns the reason."""
        return await self._supervisor.wait()

    def _start_drain(self) -> tuple[list[drain.Layer], list[Coroutine[Any, Any, None]]]:
        layers = [stage for stage in self.stages() if isinstance(stage, drain.Layer)]
        for stage in layers:
            stage.drain()
        return layers, drain.stop_sources(self.sources())

    async def _drain(self, layers: Sequence[drain.Layer], sources: Sequence[Coroutine[Any, Any, None]]) -> None:
        for source in sources:
            await source
        kind = BatchWorker if self.plan.batches else LastProcessor
        await drain.drained(stage for stage in layers if isinstance(stage, kind))

    # -- events and limits -------------------------------------------------------------------------------------------

    def push(self, events: Sequence[Any]) -> None:
        """Emit from one of the sources, in turn. Raises NoProducer when none lives."""
        sources = self.sources()
        if not sources:
            raise NoProducer(f"pipeline {self.plan.name!r} has no running source")
        sources[next(self._turn) % len(sources)].push_past_gate(events)

    def update_limit(self, *, allowed: int | None = None, interval: float | None = None, reset: bool = False) -> None:
        """Change the limit of the sources from the next window on, with `reset` at once. Raises BadOption."""
        limit = self.plan.source.limit
        if limit is None:
            raise BadOption.of(self.plan.source.owner, "limit", "given to the source to be updated", None)
        limit.update(allowed=allowed, interval=interval, reset=reset)
        if reset:
            self._open_gates()

    def _next_window(self) -> None:
        limit = self.plan.source.limit
        if limit is not None:
            self._timer = asyncio.get_running_loop().call_later(limit.interval, self._window_over)

    def _window_over(self) -> None:
        assert self.plan.source.limit is not None
        self.plan.source.limit.reset()
        self._open_gates()
        self._next_window()

    def _open_gates(self) -> None:
        for source in self.sources():
            source.gate_opened()

    def _children(self) -> list[Child]:
        plan = self.plan
        children = [self._child("source", index, self._make_source) for index in range(plan.source.count)]
        children += [self._child("processor", index, self._make_processor) for index in range(plan.process.concurrency)]
        for batch in plan.batches:
            children.append(self._child(f"batcher {batch.name}", 0, partial(self._make_batcher, batch)))
            worker = partial(self._make_worker, batch)
            children += [self._child(f"worker {batch.name}", index, worker) for index in range(batch.concurrency)]
        return children

    def _child(self, layer: str, index: int, make: Callable[[int, Hashable], Stage]) -> Child:
        name = (self.plan.name, layer, index)
        return Child(make=partial(make, index, name), id=name, restart=Restart.TRANSIENT)

    def _make_source(self, index: int, name: Hashable) -> Stage:
        del index
        plan = self.plan
        producer = plan.source.make()
        if not isinstance(producer, Producer):
            raise BadOption.of(plan.source.owner, "make", "a function that returns a new producer", producer)
        producer.name, producer.names = name, self.names
        process = plan.process
        dispatcher: Dispatcher = DemandDispatcher(shuffle=True)
        if process.partition_by is not None:
            partition = partial(_partition, process.partition_by, process.concurrency)
            dispatcher = PartitionDispatcher(process.concurrency, hash=lambda event: (event, partition(wrapped(event))))
        producer.use(dispatcher=dispatcher, gate=plan.source.limit)
        return producer

    def _make_processor(self, index: int, name: Hashable) -> Stage:
        plan = self.plan
        batchers = tuple(batch.name for batch in plan.batches)
        work = Work(
            handle=plan.process.handle, prepare=plan.process.prepare, on_failed=plan.on_failed, batchers=batchers
        )
        options = self._options(
            max_demand=plan.process.max_demand,
            min_demand=plan.process.min_demand,
            partition=None if plan.process.partition_by is None else index,
        )
        sources = [((plan.name, "source", number), options) for number in range(plan.source.count)]
        common: dict[str, Any] = {"name": name, "names": self.names, "subscribe_to": sources}
        common |= {"telemetry": self._telemetry, "index": index, "pipeline": str(plan.name)}
        if not batchers:
            return LastProcessor(work, **common)
        if len(batchers) > 1:
            common["dispatcher"] = PartitionDispatcher(batchers, hash=lambda envelope: (envelope, envelope.batcher))
        return Processor(work, **common)

    def _make_batcher(self, batch: BatchPlan, index: int, name: Hashable) -> Stage:
        del index
        plan = self.plan
        options = self._options(max_demand=batch.window, partition=batch.name)
        processors = [((plan.name, "processor", number), options) for number in range(plan.process.concurrency)]
        partition_of, dispatcher = None, None
        if batch.partition_by is not None:
            partition_of = partial(_partition, batch.partition_by, batch.concurrency)
            dispatcher = PartitionDispatcher(batch.concurrency, hash=_partition_of_batch)
        return Batcher(
            batch.batching,
            partition_of=partition_of,
            dispatcher=dispatcher,
            telemetry=self._telemetry,
            pipeline=str(plan.name),
            name=name,
            names=self.names,
            subscribe_to=processors,
        )

    def _make_worker(self, batch: BatchPlan, index: int, name: Hashable) -> Stage:
        plan = self.plan
        options = self._options(max_demand=1, min_demand=0, partition=index)
        return BatchWorker(
            batch.handle,
            on_failed=plan.on_failed,
            telemetry=self._telemetry,
            index=index,
            pipeline=str(plan.name),
            name=name,
            names=self.names,
            subscribe_to=[((plan.name, f"batcher {batch.name}", 0), options)],
        )

    def _options(self, **options: Any) -> SubscriptionOptions:
        return SubscriptionOptions(cancel=CancelMode.TEMPORARY, resubscribe=self.plan.resubscribe, **options)


def _layer(name: Hashable) -> object:
    return name[1] if isinstance(name, tuple) else None


def _partition(partition_by: PartitionBy, concurrency: int, envelope: Envelope) -> int:
    return partition_by(envelope) % concurrency


def _partition_of_batch(batch: Batch) -> tuple[Batch, Hashable]:
    return batch, batch.info.partition
