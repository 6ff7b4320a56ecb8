"""The parts of a pipeline, as values: checked once, before anything runs.

It owns the options of sources, processors and batchers with their defaults and rules. It must not make stages. Errors
name the pipeline and the path of the option, such as `pipeline 'orders': batch 'db': size`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from ..core.base import Producer
from ..core.window import DemandWindow, is_count
from ..errors import BadOption
from ..exponential_backoff import ExponentialBackoff
from .batcher import Batching
from .envelope import Envelope, Function
from .rate_limit import RateLimit

PartitionBy = Callable[[Envelope], int]


def default_concurrency() -> int:
    """Two processors per core."""
    return 2 * (os.cpu_count() or 1)


def check_count(owner: str, option: str, value: object) -> None:
    """Raises BadOption unless `value` is an integer of at least 1."""
    if not is_count(value) or value < 1:  # type: ignore[operator]
        raise BadOption.of(owner, option, "an integer of at least 1", value)


def check_callable(owner: str, option: str, value: object) -> None:
    """Raises BadOption unless `value` can be called, or is None."""
    if value is not None and not callable(value):
        raise BadOption.of(owner, option, "a function", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """Where events come from."""

    owner: str
    make: Callable[[], Producer[Any]]
    count: int = 1
    limit: RateLimit | None = None

    def __post_init__(self) -> None:
        if not callable(self.make):
            raise BadOption.of(self.owner, "make", "a function that returns a new producer", self.make)
        check_count(self.owner, "count", self.count)
        if self.limit is not None and not isinstance(self.limit, RateLimit):
            raise BadOption.of(self.owner, "limit", "a RateLimit", self.limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessPlan:
    """The processing of each event."""

    owner: str
    handle: Function
    concurrency: int
    max_demand: int = 10
    min_demand: int | None = None
    prepare: Function | None = None
    partition_by: PartitionBy | None = None

    def __post_init__(self) -> None:
        if not callable(self.handle):
            raise BadOption.of(self.owner, "handle", "a function of one envelope", self.handle)
        check_count(self.owner, "concurrency", self.concurrency)
        DemandWindow(self.max_demand, self.min_demand, owner=self.owner)
        check_callable(self.owner, "prepare", self.prepare)
        check_callable(self.owner, "partition_by", self.partition_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The processing of batches of events."""

    owner: str
    batching: Batching
    handle: Function
    concurrency: int = 1
    max_demand: int | None = None
    partition_by: PartitionBy | None = None

    def __post_init__(self) -> None:
        batching = self.batching
        if not callable(self.handle):
            raise BadOption.of(self.owner, "handle", "a function of envelopes and batch info", self.handle)
        check_count(self.owner, "size", batching.size)
        check_count(self.owner, "concurrency", self.concurrency)
        if batching.timeout <= 0:
            raise BadOption.of(self.owner, "timeout", "more than 0 seconds", batching.timeout)
        check_callable(self.owner, "splitter", batching.splitter)
        if batching.splitter is not None and self.max_demand is None:
            raise BadOption.of(self.owner, "max_demand", "given with a splitter", self.max_demand)
        if self.max_demand is not None:
            check_count(self.owner, "max_demand", self.max_demand)
        check_callable(self.owner, "partition_by", self.partition_by)

    @property
    def name(self) -> str:
        """The batcher's name."""
        return self.batching.name

    @property
    def window(self) -> int:
        """The batcher's demand on each processor: `max_demand`, by default the size of a batch."""
        return self.max_demand or self.batching.size


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelinePlan:
    """A whole pipeline."""

    name: Hashable
    source: SourcePlan
    process: ProcessPlan
    batches: tuple[BatchPlan, ...]
    on_failed: Function | None
    resubscribe: ExponentialBackoff
    supervision: dict[str, Any]
