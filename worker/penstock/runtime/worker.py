"""The composition root of a worker process: builds the parts, wires the stages, runs until told to drain.

    Claimer ─► Consumers ─► Acknowledger × 2        demand flows up, jobs and outcomes flow down
    lease thread, health thread, LISTEN, maintenance and a ticker stand beside them

A stage that ends by itself is a defect, not a state: the worker drains and exits with 1; its successor starts clean.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import penstock
from penstock import trace
from penstock.app.app import App
from penstock.app.context import Context
from penstock.database.source import sources
from penstock.http_server import advertised
from penstock.job import ClaimedJob, Finished
from penstock.settings import Settings
from penstock.stages import Stage
from penstock.store import CONTROL, WORK, Listener, Maintenance, Registry, WorkerStore

from .background import beside
from .claims.acknowledger import Acknowledger
from .claims.claimer import Claimer
from .claims.exclusive import Exclusive
from .claims.held_claims import Held
from .claims.lease import Identity, Lease
from .drain import Drain
from .event_loop import in_own_thread
from .execution.attempt import Attempts
from .execution.consumers import Consumers
from .execution.demand_policy import DemandPolicy
from .execution.isolation import Isolation
from .execution.outcomes import endings_of
from .execution.processes.factory import child_executor, in_children, killed_as_one
from .execution.slots import Slots
from .login_refused import login_refused
from .middleware.chain import around
from .middleware.hooks import Announcer
from .observe.forensics import Forensics
from .observe.health_server import HealthServer
from .observe.metrics import WorkerMetrics, exposition
from .observe.probes import Probes
from .process_state import here
from .registration_retry import registered
from .renewals import RenewalHandler
from .signals import Signals
from .state import WorkerState
from .ticker import Ticker
from .wiring import start_stages

logger = logging.getLogger("penstock.worker")

ACKNOWLEDGERS = 2
"""Lanes for outcomes; two overlap the client's work with the server's, more gain nothing (measured)."""
HOOKS_SECONDS = 2.0
"""At the end of the worker, for calls of hooks that are under way."""
CHILDREN_LEAVE_SECONDS = 1.0
"""At the end of the worker, until its idle child processes are killed."""


class Worker:
    """One process's worth of one queue."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.in_children = in_children(app.tasks, settings)
        self.app, self.settings = app, settings
        self.held = Held()
        aliases = {alias: name for name, task in app.tasks.items() for alias in task.aliases}
        self.metrics = WorkerMetrics(
            queue=settings.queue, tasks=app.tasks, aliases=aliases, version=penstock.__version__
        )
        self.chance = random.Random()  # noqa: S311 - tokens tell claims apart, they guard nothing
        self.pooled = settings.direct_url != settings.database_url
        self.url, self.direct_url = sources(settings, app.password)
        self.store = WorkerStore(self.url, name="penstock worker", lanes=ACKNOWLEDGERS, pooled=self.pooled)
        self.threads = ThreadPoolExecutor(max_workers=settings.concurrency, thread_name_prefix="penstock-job")
        self.announcer = Announcer(app.hooks)
        self.metrics.hook_failures = self.announcer.failed
        self._drain_requested = asyncio.Event()
        self.state = WorkerState(on_drain=self._drain_requested.set)
        self.signals = Signals(self.state)
        self.failure: str | None = None
        self.left: Callable[[int], None] = lambda _: None
        """Called with the exit code once nothing is held and the registry was left: the rest is the application's."""
        self._build_neighbours()
        self._build_stages()
        self._build_last_stages()
        self._build_probes()

    def _build_neighbours(self) -> None:
        settings = self.settings
        self.health = HealthServer(
            host=settings.http_host, port=settings.http_port, metrics=exposition(self.metrics),
            live=lambda: self.probes.live(),  # noqa: PLW0108 - they need the stages, which need the lease, which
            ready=lambda: self.probes.ready(),  # noqa: PLW0108 - needs this server's port
        )  # fmt: skip
        name = settings.pod_name or socket.gethostname()
        identity = Identity(
            identity=f"{name}:{os.getpid()}", queue=settings.queue,
            version=penstock.__version__, concurrency=settings.concurrency, pod=settings.pod_name or None,
            node=settings.node_name or None, info={"http": advertised(settings.http_host, self.health.port, name=name)},
        )  # fmt: skip
        self.lease = Lease(
            registry=Registry(self.url, pooled=self.pooled), identity=identity, held=self.held,
            metrics=self.metrics, seconds=settings.lease_seconds,
            told=lambda renewal: self.renewals.hand_over(renewal, self._loop),
        )  # fmt: skip
        self.listener = Listener(self.direct_url, (WORK, CONTROL), self._woken)
        self.maintenance = Maintenance(self.store, identity.identity, settings.lease_seconds, time.monotonic)
        self.forensics = Forensics(
            store=self.store, queue=lambda: (self.lease.queue, settings.queue), facts=self._facts,
            announcer=self.announcer, metrics=self.metrics, tasks=list(self.app.tasks), holder=identity.identity,
        )  # fmt: skip
        self.maintenance.buried = self.forensics.rescued

    def _build_stages(self) -> None:
        settings = self.settings
        self.claimer = Claimer(
            store=self.store, rights=self.lease, state=self.state, held=self.held, metrics=self.metrics,
            queue=settings.queue, poll_seconds=settings.poll_seconds, chance=self.chance,
            listening=lambda: self.listener.listening,
        )  # fmt: skip
        self.run_attempt: Callable[[ClaimedJob], Awaitable[Finished]]
        endings = self.endings = endings_of(settings, self.chance)
        self.children = child_executor(settings, endings=endings, tenure=self.lease, report=self._report)
        self.metrics.children = self.children.tally
        self.attempts = Attempts(
            tasks=self.app.tasks, context=self._context, threads=self.threads, children=self.children,
            executor=settings.executor, endings=endings,
        )  # fmt: skip
        apart = frozenset() if killed_as_one() else self.in_children
        isolation = Isolation(
            state=self.state, can_isolate=self._can_isolate, is_isolated=lambda job: job.task in apart
        )
        policy = DemandPolicy(
            concurrency=settings.concurrency, min_demand=settings.min_demand, max_demand=settings.max_demand
        )
        self.slots = Slots(concurrency=settings.concurrency, interrupt=self.attempts.interrupt)
        self.consumers = Consumers(
            run=lambda job: self.run_attempt(job),  # noqa: PLW0108 - its middleware is known after the lifespans
            state=self.state, policy=policy, slots=self.slots, isolation=isolation, release=self.claimer.give_back,
        )  # fmt: skip
        self.exclusive = Exclusive(tasks=self.app.tasks, lease=self.lease, slots=self.slots)
        self.renewals = RenewalHandler(
            lease=self.lease, state=self.state, held=self.held, claimer=self.claimer, consumers=self.consumers,
            exclusive=self.exclusive, children=self.children,
        )  # fmt: skip

    def _build_last_stages(self) -> None:
        self.acknowledgers = [
            Acknowledger(
                name=f"acknowledger {number}", store=self.store, held=self.held, metrics=self.metrics,
                forensics=self.forensics, accepted=self.consumers.acknowledged, chance=self.chance,
            )
            for number in range(1, ACKNOWLEDGERS + 1)
        ]  # fmt: skip
        self.drain = Drain(
            claimer=self.claimer, consumers=self.consumers, slots=self.slots, state=self.state, store=self.store,
            held=self.held, metrics=self.metrics, grace=self.settings.drain_timeout_seconds,
        )  # fmt: skip

    def _build_probes(self) -> None:
        self.probes = Probes(
            lease=self.lease, held=self.held, claimer=self.claimer, consumers=self.consumers, slots=self.slots,
            maintenance=self.maintenance, state=self.state,
            longest_timeout=max((task.timeout or 0.0 for task in self.app.tasks.values()), default=0.0),
        )  # fmt: skip
        self.metrics.gauges = self.probes.gauges
        self.ticker = Ticker(
            probes=self.probes, metrics=self.metrics, state=self.state, consumers=self.consumers, slots=self.slots,
            claimer=self.claimer, lease=self.lease, held=self.held, signals=self.signals,
        )  # fmt: skip

    def _context(self, job: ClaimedJob) -> Context:
        database = (self.url, self.pooled)
        report = functools.partial(self._report, job)
        return Context(job=job, client=self.app.client, database=lambda: database, report=report)

    def _report(self, job: ClaimedJob, progress: dict[str, Any]) -> None:
        self.held.progress[job.id] = progress

    # -- running --------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Work until SIGTERM or SIGINT, or until a stage fails; returns the exit code."""
        self._loop = asyncio.get_running_loop()
        here.note()
        self.signals.listen()
        async with contextlib.AsyncExitStack() as stack:
            async with self.signals.starting():
                await self._start_neighbours(stack)
            stack.callback(self.exclusive.close)
            empty = False
            try:
                self.health.start()
                if not await registered(self.lease, self._drain_requested, rng=self.chance):
                    return 0  # told to leave: nothing was claimed
                self.state.lease_changed(self.lease.state)
                self.exclusive.watch()
                await start_stages(self.claimer, self.consumers, self.acknowledgers, self._ended)
                logger.info("worker %d serves queue %s", self.lease.worker, self.settings.queue)
                async with beside(
                    self._broke, ticker=self.ticker.run(), listener=self._listen(), upkeep=self.maintenance.run(),
                    depths=self.forensics.tell_depth(), login=login_refused(self.lease),
                ):  # fmt: skip
                    await self._until_draining()
                    self.lease.begin_drain(self.drain.shorten)
                    empty = await self.drain.run()
                for stage in (self.claimer, self.consumers, *self.acknowledgers):
                    await stage.stop(timeout=1.0)
            except BaseException as error:
                self.failure = self.failure or repr(error)
                raise
            finally:
                await in_own_thread(functools.partial(self.lease.close, empty=empty), name="penstock-leave")
                self.health.close()
                self.left(self.code)
        return self.code

    @property
    def code(self) -> int:
        """The exit code, once the drain has begun."""
        return 0 if self.failure is None else 1

    async def _until_draining(self) -> None:
        try:
            await self._drain_requested.wait()
        except asyncio.CancelledError:  # nobody of ours does that
            self._broke("code of the application cancelled all tasks of the event loop, the worker's own included")
            if (current := asyncio.current_task()) is not None:
                current.uncancel()

    async def _start_neighbours(self, stack: contextlib.AsyncExitStack) -> None:
        """The database, the application's lifespans and the first child; `stack` ends them."""
        await stack.enter_async_context(self.store)
        for lifespan in self.app.lifespans:
            await stack.enter_async_context(lifespan())
        stack.push_async_callback(self.app.close_async)
        stack.push_async_callback(self.announcer.close, HOOKS_SECONDS)
        self.run_attempt = around(  # behind the lifespans: they may be what turns tracing on
            self.exclusive.guarding(self.attempts.run), tasks=self.app.tasks, settings=self.settings,
            endings=self.endings, metrics=self.metrics, announcer=self.announcer, tracing=trace.opentelemetry(),
        )  # fmt: skip
        stack.push_async_callback(self.children.close, CHILDREN_LEAVE_SECONDS)
        if self.in_children:
            await self.children.open()

    def _ended(self, stage: Stage, reason: object) -> None:
        self._broke(f"{stage.name} ended: {reason!r}")

    def _broke(self, what: str) -> None:
        if not self.state.draining:
            self.failure = what
            logger.error("%s", self.failure)
            self.state.drain()

    async def _listen(self) -> None:
        try:
            if self.settings.listen:
                await self.listener.run()
        except Exception:
            self.listener.listening = False  # wake-ups are hints: the poll is the truth
            logger.exception("no more wake-ups: the listener ended")
        await self._drain_requested.wait()

    def _facts(self) -> Mapping[str, Any]:
        """Of this process, for whoever looks at a dead letter."""
        return {
            "worker": self.lease.worker, "version": penstock.__version__, "pod": self.settings.pod_name or None,
            "node": self.settings.node_name or None, "running": len(self.slots.running), "held": len(self.held),
            "concurrency": self.settings.concurrency, "loop_lag_seconds": round(self.metrics.loop_lag, 3),
        }  # fmt: skip

    def _woken(self, channel: str | None, payload: str) -> None:
        if channel != CONTROL and (channel is None or payload == str(self.lease.queue)):
            self.claimer.wake()
        if channel is None or (channel == CONTROL and payload == str(self.lease.worker)):
            self.lease.renew_soon()

    def _can_isolate(self) -> bool:
        """Whether one claim is held and none is in flight; claims have stopped by then."""
        return not self.claimer.in_flight and len(self.held) == 1
