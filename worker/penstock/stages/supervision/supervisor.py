"""A stage that keeps other stages alive: it starts them in order, restarts what fails, and stops them in reverse.

It owns children, restart delays and the decision to give up. It must not repair anything: a restarted child is a new
stage from its factory, found again by name. Unlike in OTP, a child that ended only because another stage
did is restarted but not counted against `max_restarts`, and restarts wait: one crash of a producer under many
consumers does not take the tree down.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from random import random as uniform
from typing import Any, ClassVar

from ..core.stage import Entry, Stage
from ..errors import BadOption, RestartsExceeded
from ..exponential_backoff import ExponentialBackoff
from ..names import Names
from ..reasons import SHUTDOWN, is_quiet
from ..status import State
from ..timeouts import START_SECONDS, STOP_SECONDS
from .child_spec import Child, ChildStatus, Restart, Slot, Strategy

logger = logging.getLogger("penstock.stages")


class Supervisor(Stage):
    """Keeps children alive.

    Args:
        children: started in this order, stopped in reverse.
        strategy: default ONE_FOR_ONE.
        max_restarts, within: give up after more than `max_restarts` own failures of children within `within` seconds;
            default 10 in 5 seconds.
        backoff: delays before restarts, per child; default 50 ms doubling to 5 s. None: at once.
        random: numbers in [0, 1) for the jitter.
        name, names: see `Stage`.

    A supervisor that gives up ends with RestartsExceeded. Raises BadOption.
    """

    kind: ClassVar[str] = "supervisor"

    def __init__(
        self,
        children: Iterable[Child | Callable[[], Stage]] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        max_restarts: int = 10,
        within: float = 5.0,
        backoff: ExponentialBackoff | None = ExponentialBackoff(base=0.05, cap=5.0),  # noqa: B008 - frozen
        random: Callable[[], float] = uniform,
        name: Hashable | None = None,
        names: Names | None = None,
    ) -> None:
        super().__init__(name=name, names=names)
        if not isinstance(strategy, Strategy):
            raise BadOption.of(self, "strategy", "one of Strategy", strategy)
        if max_restarts < 0 or within < 0:
            rule = "at least 0 restarts within at least 0 seconds"
            raise BadOption.of(self, "max_restarts and within", rule, (max_restarts, within))
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.within = within
        self._backoff = backoff or ExponentialBackoff(base=0.0, cap=0.0)
        self._random = random
        self._slots: dict[Hashable, Slot] = {}
        self._failures: deque[float] = deque()
        self._timers: dict[asyncio.TimerHandle, list[Slot]] = {}
        for child in children:
            self._add(child if isinstance(child, Child) else Child(make=child))

    # -- children ----------------------------------------------------------------------------------------------------

    def child(self, id: Hashable) -> Stage | None:  # noqa: A002 - the word of Child
        """The living stage of a child, or None while it waits for its restart. Raises KeyError."""
        stage = self._slots[id].stage
        return None if stage is None or stage.state is State.ENDED else stage

    def children(self) -> tuple[ChildStatus, ...]:
        """A snapshot of all children, in order of start."""
        waiting = {id(slot) for plan in self._timers.values() for slot in plan}
        return tuple(
            ChildStatus(
                id=name,
                restarts=slot.restarts,
                waiting=id(slot) in waiting,
                failures=slot.attempt,
                last_reason=slot.last_reason,
                stage=None if slot.stage is None else slot.stage.status(),
            )
            for name, slot in self._slots.items()
        )

    async def start_child(
        self, child: Child | Callable[[], Stage], *, timeout: float | None = 2 * START_SECONDS
    ) -> Stage:
        """Add a child and start it.

        Raises BadOption for a taken id, what its start raises, and TimeoutError after `timeout` seconds, default 120.
        """
        request = ("start", child if isinstance(child, Child) else Child(make=child))
        stage = await self.call(request, timeout=timeout)
        if isinstance(stage, BaseException):
            raise stage
        assert isinstance(stage, Stage)
        return stage

    async def stop_child(self, id: Hashable, *, timeout: float | None = 2 * STOP_SECONDS) -> None:  # noqa: A002
        """Stop a child and forget it. Raises KeyError, and TimeoutError after `timeout` seconds, default 60."""
        error = await self.call(("stop", id), timeout=timeout)
        if error is not None:
            raise error

    async def on_call(self, request: Any) -> Any:
        """Add or remove a child in the supervisor's own turn; errors are answers, they do not end it."""
        what, value = request
        try:
            if what == "stop":
                await self._stop_slot(self._slots.pop(value))
                return None
            slot = self._add(value)
            try:
                await self._start_slot(slot)
            except BaseException:
                self._slots.pop(slot.child.id, None)
                raise
            return slot.stage
        except Exception as error:  # noqa: BLE001 - an answer to the caller, not our end
            return error

    # -- life --------------------------------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Start the children in order; the first that fails stops those before it and fails the start."""
        for slot in list(self._slots.values()):
            try:
                await self._start_slot(slot)
            except BaseException:
                await self._stop_all(list(self._slots.values()))
                raise

    async def on_stop(self, reason: object) -> None:
        """Stop the children in reverse order."""
        del reason
        self._drop_timers()
        await self._stop_all(list(self._slots.values()))

    def on_end(self, reason: object) -> None:
        """Kill every child that still lives: a killed supervisor leaves none running."""
        del reason
        self._drop_timers()
        for slot in self._slots.values():
            if slot.stage is not None:
                slot.stage.kill()

    def _add(self, child: Child) -> Slot:
        if child.id is None:
            child = Child(make=child.make, id=len(self._slots), restart=child.restart, shutdown=child.shutdown)
        if child.id in self._slots:
            raise BadOption.of(self, "id", "unique among the children", child.id)
        slot = self._slots[child.id] = Slot(child)
        return slot

    async def _start_slot(self, slot: Slot) -> None:
        stage = slot.child.make()
        if not isinstance(stage, Stage):
            raise BadOption.of(f"child {slot.child.id!r} of {self!r}", "make", "a function that returns a stage", stage)
        slot.stage = stage
        slot.started_at = asyncio.get_running_loop().time()
        try:
            await stage.start()
        except BaseException:
            slot.stage = None
            raise
        stage.watch(lambda ended, reason: self._stage_post(self._child_ended, (slot, ended), reason))

    async def _stop_slot(self, slot: Slot) -> None:
        stage, slot.stage = slot.stage, None
        if stage is not None:
            await stage.stop(SHUTDOWN, timeout=slot.child.shutdown)

    async def _stop_all(self, slots: list[Slot]) -> None:
        for slot in reversed(slots):
            await self._stop_slot(slot)

    # -- restarts ----------------------------------------------------------------------------------------------------

    async def _child_ended(self, who: Any, reason: Any) -> None:
        slot, ended = who
        if slot.stage is not ended:
            return
        slot.stage = None
        slot.last_reason = reason
        restart = slot.child.restart
        if restart is Restart.TEMPORARY or (restart is Restart.TRANSIENT and is_quiet(reason)):
            if restart is Restart.TEMPORARY:
                self._slots.pop(slot.child.id, None)
            return
        logger.warning("%r: restarting child %r, which ended: %r", self, slot.child.id, reason)
        await self._restart(slot, counted=ended.ended_by is None)

    async def _restart(self, slot: Slot, *, counted: bool) -> None:
        now = asyncio.get_running_loop().time()
        if counted and self._too_many(now):
            text = f"{self!r} gives up: too many failures (max_restarts={self.max_restarts}, within={self.within} s)"
            self.leave(RestartsExceeded(f"{text}; the last was of child {slot.child.id!r}: {slot.last_reason!r}"))
            return
        slot.attempt = 1 if now - slot.started_at > self.within else slot.attempt + 1
        plan = self._plan(slot)
        for other in reversed(plan):
            if other.stage is not None:
                await self._stop_slot(other)
        self._restart_later(plan, self._backoff.delay(slot.attempt, self._random))

    def _too_many(self, now: float) -> bool:
        self._failures.append(now)
        while self._failures and now - self._failures[0] > self.within:
            self._failures.popleft()
        return len(self._failures) > self.max_restarts

    def _plan(self, slot: Slot) -> list[Slot]:
        """The children to restart with a child, in order of start."""
        slots = list(self._slots.values())
        if self.strategy is Strategy.ONE_FOR_ONE or slot not in slots:
            return [slot]
        plan = slots if self.strategy is Strategy.ONE_FOR_ALL else slots[slots.index(slot) :]
        return [other for other in plan if other is slot or other.child.restart is not Restart.TEMPORARY]

    def _restart_later(self, plan: list[Slot], delay: float) -> None:
        for timer, other in list(self._timers.items()):
            if any(slot in plan for slot in other):  # one plan per child: the newer one covers the older
                timer.cancel()
                del self._timers[timer]
                plan = [slot for slot in self._slots.values() if slot in plan or slot in other]

        def due() -> None:
            self._timers.pop(timer, None)
            self._stage_post(self._restart_now, plan, None)

        timer = asyncio.get_running_loop().call_later(delay, due)
        self._timers[timer] = plan

    async def _restart_now(self, plan: Any, _: Any) -> None:
        slots: list[Slot] = plan
        for slot in slots:
            if self._slots.get(slot.child.id) is not slot or slot.stage is not None:
                continue
            slot.restarts += 1
            try:
                await self._start_slot(slot)
            except Exception as error:  # noqa: BLE001 - counted as a failure of the child
                slot.last_reason = error
                logger.warning("%r: cannot restart child %r: %r", self, slot.child.id, error)
                await self._restart(slot, counted=True)
                if self.strategy is not Strategy.ONE_FOR_ONE:
                    return

    def _drop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _stage_close(self, reason: object, entries: list[Entry]) -> None:
        del reason, entries
