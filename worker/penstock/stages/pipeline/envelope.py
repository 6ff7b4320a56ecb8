"""The envelope of an event in a pipeline: the event and the acknowledger of its outcome.

It owns the fate of one event: which batcher it goes to, whether it has failed, and that it is settled exactly once,
by an acknowledgement or by a release. It must call no user code but acknowledgers. `acknowledge` never raises;
an acknowledger that fails is logged, because the events are finished either way.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, Literal

from ..errors import BadOption
from ..reasons import Dropped
from ..release import release

logger = logging.getLogger("penstock.stages")

BatchMode = Literal["bulk", "flush"]


class Acknowledger(ABC):
    """Learns what became of events. One call covers all events of one `ref`."""

    @abstractmethod
    def ack(self, ref: Hashable, successful: Sequence[Envelope], failed: Sequence[Envelope]) -> Awaitable[None] | None:
        """These are finished; may be async. What it raises is logged."""

    def release(self, events: Sequence[Any], why: Dropped) -> None:
        """These come back unfinished. Synchronous; the default logs them, a source that can should take them back."""
        logger.warning("events dropped: %s (events=%d)", why.value, len(events))

    def configure(self, ref: Hashable, data: Any, options: dict[str, Any]) -> Any:
        """Change how one event will be acknowledged; returns its new acknowledger data. Unsupported by default."""
        raise NotImplementedError(f"{type(self).__name__} does not support configure (ref={ref!r}, {options!r})")


class NoAcknowledger(Acknowledger):
    """Nobody waits."""

    def ack(self, ref: Hashable, successful: Sequence[Envelope], failed: Sequence[Envelope]) -> None:
        """Nothing."""

    def release(self, events: Sequence[Any], why: Dropped) -> None:
        """Nothing."""


NOBODY = NoAcknowledger()


class Envelope:
    """An event on its way.

    Args:
        data: the event itself.
        acknowledger, ref, ack_data: the acknowledger of its outcome, its reference there, and its data.
        metadata: anything about the event that is not the event.
    """

    __slots__ = (
        "ack_data",
        "acknowledger",
        "batch_key",
        "batch_mode",
        "batcher",
        "data",
        "metadata",
        "reason",
        "ref",
    )

    def __init__(
        self,
        data: Any,
        *,
        acknowledger: Acknowledger = NOBODY,
        ref: Hashable = None,
        ack_data: Any = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.data = data
        self.metadata = metadata if metadata is not None else {}
        self.acknowledger: Acknowledger | None = acknowledger
        self.ref = ref
        self.ack_data = ack_data
        self.batcher: str | None = None
        """The batcher that it goes to; None: the first one."""
        self.batch_key: Hashable = None
        """Only events with equal keys share a batch."""
        self.batch_mode: BatchMode = "bulk"
        """"flush": do not wait for more events before its batch is passed on."""
        self.reason: object = None
        """Why it failed; None while it has not."""

    def __repr__(self) -> str:
        return f"<envelope of {self.data!r}{'' if self.reason is None else f', failed: {self.reason!r}'}>"

    @property
    def failed(self) -> bool:
        """Marked as failed."""
        return self.reason is not None

    def fail(self, reason: object) -> Envelope:
        """Mark as failed, with a reason other than None."""
        self.reason = reason
        return self

    def to_batcher(self, name: str, *, key: Hashable = None, mode: BatchMode = "bulk") -> Envelope:
        """Choose the batcher, and how it is batched. Raises BadOption for an unknown mode."""
        if mode not in ("bulk", "flush"):
            raise BadOption.of(self, "mode", "'bulk' or 'flush'", mode)
        self.batcher, self.batch_key, self.batch_mode = name, key, mode
        return self

    def configure_ack(self, **options: Any) -> Envelope:
        """Change how it will be acknowledged. Raises NotImplementedError where its acknowledger cannot."""
        if self.acknowledger is not None:
            self.ack_data = self.acknowledger.configure(self.ref, self.ack_data, options)
        return self

    def settle(self) -> Acknowledger | None:
        """Take the acknowledger: the first caller gets it and must use it; later callers get None."""
        acknowledger, self.acknowledger = self.acknowledger, None
        return acknowledger


def wrapped(event: Any) -> Envelope:
    """The event itself where it is an envelope, else one that nobody waits for."""
    return event if isinstance(event, Envelope) else Envelope(event)


async def acknowledge(envelopes: Sequence[Envelope]) -> None:
    """Acknowledge what is not settled yet: one call per acknowledger and ref, in order of appearance."""
    groups: dict[tuple[int, Hashable], tuple[Acknowledger, Hashable, list[Envelope], list[Envelope]]] = {}
    for envelope in envelopes:
        acknowledger = envelope.settle()
        if acknowledger is None:
            continue
        key = (id(acknowledger), envelope.ref)
        group = groups.get(key)
        if group is None:
            group = groups[key] = (acknowledger, envelope.ref, [], [])
        (group[3] if envelope.failed else group[2]).append(envelope)
    for acknowledger, ref, successful, failed in groups.values():
        try:
            answer = acknowledger.ack(ref, successful, failed)
            if isawaitable(answer):
                await answer
        except Exception:
            count = len(successful) + len(failed)
            logger.exception("acknowledger %r failed (events=%d, ref=%r)", acknowledger, count, ref)


async def acknowledge_now(envelopes: Sequence[Envelope]) -> None:
    """Acknowledge before the end of the pipeline; the end will not repeat it."""
    await acknowledge(envelopes)


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """About one batch. `trigger`: "size", "timeout" or "flush"."""

    batcher: str
    key: Hashable
    partition: int | None
    size: int
    trigger: Literal["size", "timeout", "flush"]


class _BatchBack(Acknowledger):
    """Releasing a batch releases what is in it."""

    def ack(self, ref: Hashable, successful: Sequence[Envelope], failed: Sequence[Envelope]) -> None:
        """Never called: its envelopes are acknowledged."""

    def release(self, events: Sequence[Any], why: Dropped) -> None:
        """Release the envelopes of these batches."""
        release([envelope for batch in events for envelope in batch.envelopes], why)


_BATCH_BACK = _BatchBack()


@dataclass(frozen=True, slots=True)
class Batch:
    """Envelopes that are handled together."""

    envelopes: list[Envelope]
    info: BatchInfo

    @property
    def acknowledger(self) -> Acknowledger:
        """The acknowledger that releases a dropped batch."""
        return _BATCH_BACK


Function = Callable[..., Any]


async def called(function: Function, *arguments: Any) -> Any:
    """Call a function that may be async."""
    answer = function(*arguments)
    return await answer if isawaitable(answer) else answer
