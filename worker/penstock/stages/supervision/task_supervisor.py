"""One task per event: a consumer that starts a task for each event and asks for more as tasks finish.

It owns the tasks. It must not run more than `max_demand` per producer, and asks again when as few as `min_demand` of
its events are still running. (GenStage waits until `min_demand` tasks have finished, so a high minimum starves it.) An
event whose task failed or was cancelled is released to its producer. Restarts are for tasks that are idempotent; where
a store counts attempts, leave retries to it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from ..core.base import Consumer
from ..core.requests import set_result
from ..core.subscription import Role, Subscription, SubscriptionMode
from ..errors import BadOption
from ..exponential_backoff import ExponentialBackoff
from ..names import Names
from ..reasons import SHUTDOWN, Cancellation, Dropped
from ..status import State
from .child_spec import Restart, Strategy

logger = logging.getLogger("penstock.stages")

In = TypeVar("In")
Start = Callable[[In], "Coroutine[Any, Any, object] | None"]


@dataclass(frozen=True, slots=True)
class RunningTask(Generic[In]):
    """One task in a snapshot; `task` is None while it waits for its restart."""

    event: In
    task: asyncio.Task[object] | None
    attempt: int


class _SupervisedTask(Generic[In]):
    __slots__ = ("attempt", "event", "subscription", "task", "timer")

    def __init__(self, event: In, subscription: Subscription | None) -> None:
        self.event = event
        self.subscription = subscription
        self.attempt = 0
        self.task: asyncio.Task[object] | None = None
        self.timer: asyncio.TimerHandle | None = None


class TaskSupervisor(Consumer[In], Generic[In]):
    """Runs `start(event)` as a task of its own for each event.

    Args:
        start: an async function of one event. It may also be a plain function that returns a coroutine, or None to
            ignore the event. What it raises, at once or in the task, is contained.
        restart: TEMPORARY (default): a task that failed is not restarted; TRANSIENT: it is, with the same event.
        max_restarts, within: more restarts than this within these seconds end the stage with SHUTDOWN; default 3 in 5.
        backoff: delays before restarts; default none.
        shutdown: seconds that cancelled tasks have to finish at a stop, default 5; None: as long as it takes.
        subscribe_to, name, names: see `Consumer`.

    The options of a subscription bound the tasks: at most `max_demand` at a time, more are asked for when `min_demand`
    are left. Raises BadOption.
    """

    kind: ClassVar[str] = "task-supervisor"

    def __init__(
        self,
        start: Start[In],
        *,
        restart: Restart = Restart.TEMPORARY,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        within: float = 5.0,
        backoff: ExponentialBackoff | None = None,
        shutdown: float | None = 5.0,
        subscribe_to: Iterable[Any] = (),
        name: Hashable | None = None,
        names: Names | None = None,
    ) -> None:
        super().__init__(subscribe_to=subscribe_to, name=name, names=names)
        if not callable(start):
            raise BadOption.of(self, "start", "one function of one event", start)
        if restart is Restart.PERMANENT or not isinstance(restart, Restart):
            rule = "TEMPORARY or TRANSIENT (a permanent task would run one event forever)"
            raise BadOption.of(self, "restart", rule, restart)
        if strategy is not Strategy.ONE_FOR_ONE:
            raise BadOption.of(self, "strategy", "ONE_FOR_ONE: tasks of events do not depend on each other", strategy)
        if shutdown is not None and (isinstance(shutdown, bool) or shutdown < 0):
            raise BadOption.of(self, "shutdown", "None or seconds of at least 0", shutdown)
        if max_restarts < 0 or within < 0:
            rule = "at least 0 restarts within at least 0 seconds"
            raise BadOption.of(self, "max_restarts and within", rule, (max_restarts, within))
        self._make = start
        self._restart = restart
        self._max_restarts = max_restarts
        self._within = within
        self._backoff = backoff or ExponentialBackoff(base=0.0, cap=0.0)
        self._shutdown = shutdown
        self._jobs: dict[_SupervisedTask[In], None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._finished: dict[Subscription, int] = {}
        self._restarts: deque[float] = deque()

    # -- tasks -------------------------------------------------------------------------------------------------------

    def running(self) -> tuple[RunningTask[In], ...]:
        """A snapshot of the tasks, in order of their events."""
        return tuple(RunningTask(job.event, job.task, job.attempt) for job in self._jobs)

    async def idle(self) -> None:
        """Wait until the events that have arrived by now, and all others then, have no task and wait for none."""
        if self.state is State.RUNNING:
            await self._stage_request(self._arrived, None)
        await self._idle.wait()

    def _arrived(self, _: None, reply: asyncio.Future[None]) -> None:
        set_result(reply, None)

    def start_task(self, event: In) -> asyncio.Task[object] | None:
        """Run a task outside any subscription: it uses up no demand. None when `start` ignored the event or failed."""
        job: _SupervisedTask[In] = _SupervisedTask(event, None)
        return job.task if self._launch(job) else None

    async def end_task(self, task: asyncio.Task[object]) -> bool:
        """Cancel a task, wait until it has finished and free its place; its event is released.

        False: no such task here, or it has not ended within `shutdown` seconds.
        """
        if not any(job.task is task for job in self._jobs):
            return False
        task.cancel()
        await asyncio.wait([task], timeout=self._shutdown)
        return task.done()

    # -- callbacks ---------------------------------------------------------------------------------------------------

    async def on_subscribe(self, other: Role, subscription: Subscription) -> SubscriptionMode | None:
        """Manual mode: this stage asks by the number of its tasks."""
        if other is Role.PRODUCER:
            self._finished[subscription] = 0
            self.cast((subscription, subscription.options.max_demand))
        return "manual"

    async def on_cast(self, request: Any) -> None:
        """The first ask, once the subscription is installed."""
        subscription, count = request
        subscription.ask(count)

    async def on_cancel(self, cancellation: Cancellation, subscription: Subscription) -> None:
        """Tasks outlive the producer of their events."""
        del cancellation
        self._finished.pop(subscription, None)

    async def handle_events(self, events: Sequence[In], subscription: Subscription) -> None:
        """Start a task for each."""
        for event in events:
            if not self._launch(_SupervisedTask(event, subscription)):
                self._free(subscription)

    async def on_stop(self, reason: object) -> None:
        """Cancel the tasks and wait for them, at most `shutdown` seconds."""
        del reason
        tasks = self._cancel_all()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=self._shutdown)
            if left:
                logger.error(
                    "%r: tasks ignored cancellation (tasks=%d, shutdown_seconds=%s)", self, len(left), self._shutdown
                )

    def on_end(self, reason: object) -> None:
        """A killed stage cancels its tasks too."""
        del reason
        self._cancel_all()
        self._idle.set()

    # -- the life of one task ----------------------------------------------------------------------------------------

    def _launch(self, job: _SupervisedTask[In]) -> bool:
        """Start or restart; False: there is nothing to run."""
        job.timer = None
        job.attempt += 1
        try:
            coroutine = self._make(job.event)
        except Exception:
            logger.exception("%r: cannot start a task for %r", self, job.event)
            return self._failed(job)
        if coroutine is None:
            return False
        self._keep(job)
        job.task = asyncio.create_task(coroutine, name=f"event of {self.name}")
        job.task.add_done_callback(lambda task: self._ended(job, task))
        return True

    def _ended(self, job: _SupervisedTask[In], task: asyncio.Task[object]) -> None:
        job.task = None
        if task.cancelled():
            self._forget(job)
            self._release(job)
        elif (error := task.exception()) is not None:
            logger.error("%r: task for %r failed", self, job.event, exc_info=error)
            if self._failed(job):
                return
        else:
            self._forget(job)
        self._free(job.subscription)

    def _failed(self, job: _SupervisedTask[In]) -> bool:
        """Schedule a restart if that is the policy; True: the event keeps its place."""
        if self._restart is Restart.TRANSIENT and self.reason is None and not self.leaving:
            if self._may_restart():
                self._keep(job)
                loop = asyncio.get_running_loop()
                job.timer = loop.call_later(self._backoff.delay(job.attempt), self._again, job)
                return True
            logger.error(
                "%r stops: too many restarts (max_restarts=%d, within_seconds=%s)",
                self,
                self._max_restarts,
                self._within,
            )
            self._stage_post(self._stage_stop_now, SHUTDOWN, None)
        self._forget(job)
        self._release(job)
        return False

    def _again(self, job: _SupervisedTask[In]) -> None:
        if not self._launch(job):
            self._forget(job)
            self._free(job.subscription)

    def _may_restart(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._restarts.append(now)
        while now - self._restarts[0] > self._within:
            self._restarts.popleft()
        return len(self._restarts) <= self._max_restarts

    def _keep(self, job: _SupervisedTask[In]) -> None:
        self._jobs[job] = None
        self._idle.clear()

    def _forget(self, job: _SupervisedTask[In]) -> None:
        self._jobs.pop(job, None)
        if not self._jobs:
            self._idle.set()

    def _release(self, job: _SupervisedTask[In]) -> None:
        if job.subscription is not None:
            job.subscription.released([job.event], Dropped.CONSUMER_DOWN)

    def _free(self, subscription: Subscription | None) -> None:
        """A place is free: ask for all free places once no more than `min_demand` are taken."""
        if subscription is None or subscription not in self._finished:
            return
        options = subscription.options
        least = options.max_demand // 2 if options.min_demand is None else options.min_demand
        self._finished[subscription] += 1
        if self._finished[subscription] >= options.max_demand - least:
            subscription.ask(self._finished[subscription])
            self._finished[subscription] = 0

    def _cancel_all(self) -> list[asyncio.Task[object]]:
        tasks: list[asyncio.Task[object]] = []
        for job in list(self._jobs):
            if job.timer is not None:
                job.timer.cancel()
                self._forget(job)
                self._release(job)
            elif job.task is not None:
                job.task.cancel()
                tasks.append(job.task)
        return tasks
