"""Into and out of plain Python: iterables become producers, stages become async iterators.

It owns the two ends of a pipeline that are no stages of the user. Iteration is lazy at both: an item is taken from
the iterable only when it was asked for, and asked for only as the loop consumes. `stream` is not a stage and has no
task; leaving its loop early cancels its subscriptions at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from ..core.base import Producer
from ..core.subscription import Subscription, SubscriptionOptions
from ..errors import BadOption, NoProducer, StageEnded
from ..reasons import NORMAL, Cancellation, CancelMode, Dropped
from ..timeouts import KILL_SECONDS

logger = logging.getLogger("penstock.stages")

E = TypeVar("E")


class _Exhausted:
    """The info that follows the last item."""


class IterableProducer(Producer[E], Generic[E]):
    """Emits the items of an iterable or async iterable, as many as are asked for; ends NORMAL after the last one.

    Args:
        source: a blocking iterator blocks the loop: hand over an async iterable instead.
        on_cancel: "continue" (default), or "stop" to end when the last consumer has left.
        options: those of `Producer`.
    """

    def __init__(
        self,
        source: Iterable[E] | AsyncIterable[E],
        *,
        on_cancel: Literal["continue", "stop"] = "continue",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if on_cancel not in ("continue", "stop"):
            raise BadOption.of(self, "on_cancel", "'continue' or 'stop'", on_cancel)
        if not isinstance(source, (Iterable, AsyncIterable)):
            raise BadOption.of(self, "source", "an iterable or async iterable", source)
        self._stops = on_cancel == "stop"
        self._iterator = iter(source) if isinstance(source, Iterable) else None
        self._async = None if isinstance(source, Iterable) else aiter(source)
        self._pending = 0
        self._pull: asyncio.Task[None] | None = None

    async def handle_demand(self, demand: int) -> list[E]:
        """Take that many items, or note the demand for the task that awaits an async iterator."""
        if self._iterator is None:
            self._pending += demand
            if self._pull is None or self._pull.done():
                self._pull = asyncio.create_task(self._pull_items(), name=f"iterate {self.name}")
                self._pull.add_done_callback(self._pulled)
            return []
        items: list[E] = []
        try:
            items.extend(islice(self._iterator, demand))
        except BaseException:
            self.push(items)
            raise
        if len(items) < demand:
            self.post_info(_Exhausted)
        return items

    async def on_info(self, info: Any) -> None:
        """The last item has left."""
        if info is _Exhausted:
            await self.stop(NORMAL)
        else:
            await super().on_info(info)

    async def on_cast(self, request: Any) -> None:
        """The async iterator failed."""
        if isinstance(request, BaseException):
            raise request
        await super().on_cast(request)

    async def on_cancel(self, cancellation: Cancellation, subscription: Subscription) -> None:
        """With `on_cancel="stop"`: end when nobody is left."""
        del cancellation, subscription
        if self._stops and not self.consumers():
            await self.stop(NORMAL)

    async def on_stop(self, reason: object) -> None:
        """Cancel the task that awaits the iterator, and wait half a second until it has finished."""
        del reason
        if self._pull is not None and not self._pull.done():
            self._pull.cancel()
            await asyncio.wait([self._pull], timeout=KILL_SECONDS)

    def on_end(self, reason: object) -> None:
        """Leave no task running after a kill."""
        del reason
        if self._pull is not None:
            self._pull.cancel()

    async def _pull_items(self) -> None:
        assert self._async is not None
        while self._pending:
            try:
                item = await anext(self._async)
            except StopAsyncIteration:
                self.post_info(_Exhausted)
                return
            self._pending -= 1
            self.push([item])

    def _pulled(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.cast(task.exception())


def from_iterable(
    source: Iterable[E] | AsyncIterable[E], *, on_cancel: Literal["continue", "stop"] = "continue", **options: Any
) -> IterableProducer[E]:
    """A producer of an iterable's items. Raises BadOption. Options: see `IterableProducer`."""
    return IterableProducer(source, on_cancel=on_cancel, **options)


class Stream(Generic[E]):
    """The events of some producers as an async iterator: `async for event in stream(producer)`.

    Subscribes at the first step, with a cancel mode of TRANSIENT unless the options say otherwise: the loop ends when
    all producers ended quietly, and raises the reason otherwise (PERMANENT: at any end; TEMPORARY: never). Leaving the
    loop cancels; `async with stream(...) as events` does so even where the iterator is still referenced.
    """

    def __init__(self, producers: Sequence[Any], options: SubscriptionOptions, names: Any = None) -> None:
        self._options = options
        self._names = names
        self._targets = producers
        self._open: dict[Subscription, None] = {}
        self._arrived: deque[tuple[Subscription, Sequence[E]]] = deque()
        self._wake: asyncio.Event = asyncio.Event()
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        return "<stream>"

    async def __aiter__(self) -> AsyncIterator[E]:
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(self) -> Any:
        """The same, batch by batch: at most `max_demand - min_demand` events each."""
        self._subscribe()
        try:
            while True:
                while self._arrived:
                    subscription, events = self._arrived.popleft()
                    window = subscription.window
                    assert window is not None
                    done = 0
                    for size, ask in window.split(len(events)):
                        batch = events[done : done + size]
                        done += size
                        if done < len(events):
                            self._arrived.appendleft((subscription, events[done:]))
                        yield batch
                        subscription.ask(ask)
                        if done < len(events):
                            self._arrived.popleft()
                if self._error is not None:
                    raise self._error
                if not self._open:
                    return
                self._wake.clear()
                await self._wake.wait()
        finally:
            self.close()

    def close(self, reason: object = NORMAL) -> None:
        """Cancel all subscriptions; what arrived and was not consumed goes back. Again: nothing."""
        for subscription in list(self._open):
            subscription.cancel(reason)
        self._open.clear()
        for subscription, events in self._arrived:
            subscription.released(events, Dropped.LATE)
        self._arrived.clear()

    async def __aenter__(self) -> Stream[E]:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _subscribe(self) -> None:
        for target in self._targets:
            producer = target if hasattr(target, "receive_subscribe") else self._names and self._names.find(target)
            subscription = Subscription(self, target, self._options)
            self._open[subscription] = None
            if producer is None:
                error = NoProducer(f"stream cannot subscribe to {target!r}: no such producer")
                self.receive_cancel(subscription, Cancellation(error, down=True))
                continue
            subscription.producer = producer
            subscription.window = self._options.window()
            subscription.installed = True
            producer.receive_subscribe(subscription)
            producer.receive_ask(subscription, subscription.window.open())

    # -- the port of consumers ---------------------------------------------------------------------------------------

    def receive_events(self, subscription: Subscription, events: Sequence[E]) -> None:
        """Events that were asked for."""
        if subscription in self._open:
            self._arrived.append((subscription, events))
            self._wake.set()
        else:
            subscription.released(events, Dropped.LATE)

    def receive_cancel(self, subscription: Subscription, cancellation: Cancellation) -> None:
        """A producer has ended or refused."""
        if subscription not in self._open:
            return
        del self._open[subscription]
        subscription.end(cancellation)
        reason = cancellation.reason
        if (self._options.cancel or CancelMode.TRANSIENT).ends_consumer(reason):
            error = StageEnded(f"a producer of the stream has ended: {reason!r}")
            self._error = self._error or (reason if isinstance(reason, BaseException) else error)
        self._wake.set()


def stream(*producers: Any, names: Any = None, **options: Any) -> Stream[Any]:
    """The events of these producers (stages, or names in `names`) as an async iterator. Raises BadOption at once."""
    if not producers:
        raise BadOption.of("stream", "producers", "at least one producer or name", producers)
    try:
        chosen = SubscriptionOptions(**options)
    except (TypeError, BadOption) as error:
        raise BadOption(f"stream of {producers!r}: {error}") from error
    return Stream(producers, chosen, names)
