"""The composition root of a worker: constructs the components and connects them. It runs nothing; `Worker` does.

    Claimer ─► Consumers ─► JobAcknowledger × 2      demand flows up, jobs and outcomes flow down
    lease thread, health thread, LISTEN, maintenance and a ticker run in the background

Components that need each other are connected by callbacks, read when they are called: the lease needs the health
server's port, the stages need the lease, and the probes need the stages.
"""

from __future__ import annotations

import asyncio
import functools
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from penstock.app.app import App
from penstock.app.context import Context
from penstock.app.database_source import sources
from penstock.distribution_version import distribution_version
from penstock.http_server import advertised
from penstock.job import ClaimedJob, Finished
from penstock.settings import Settings
from penstock.store import CONTROL, WORK, Listener, Maintenance, WorkerRegistry, WorkerStore
from penstock.task_digests import task_digests

from .claims.acknowledger import JobAcknowledger
from .claims.claimer import Claimer
from .claims.exclusive import Exclusive
from .claims.held_claims import HeldClaims
from .claims.lease import Identity, Lease
from .drain import Drain
from .execution.attempt import Attempts
from .execution.consumers import Consumers
from .execution.demand_policy import DemandPolicy
from .execution.isolation import Isolation
from .execution.outcomes import OutcomeBuilder
from .execution.processes.factory import child_executor, in_children, killed_as_one
from .execution.slots import Slots
from .middleware.hooks import HookDispatcher
from .observe.forensics import Forensics
from .observe.health_server import HealthServer
from .observe.metrics import WorkerMetrics, exposition
from .observe.probes import Probes
from .renewals import RenewalHandler
from .signals import Signals
from .state import WorkerState
from .ticker import Ticker

ACKNOWLEDGERS = 2
"""Lanes for outcomes; two overlap the client's work with the server's, more gain nothing (measured)."""


class WorkerComponents:
    """The components of one worker, constructed once for each start."""

    def __init__(self, app: App, settings: Settings) -> None:
        self.loop = asyncio.get_running_loop()
        self.in_children = in_children(app.tasks, settings)
        self.app, self.settings = app, settings
        self.held_claims = HeldClaims()
        aliases = {alias: name for name, task in app.tasks.items() for alias in task.aliases}
        self.task_digests = task_digests([*app.tasks, *aliases])
        self.metrics = WorkerMetrics(
            queue=settings.queue, tasks=app.tasks, aliases=aliases, version=distribution_version()
        )
        self.rng = random.Random()  # noqa: S311 - tokens distinguish claims, they protect nothing
        self.pooled = settings.direct_url != settings.database_url
        self.url, self.direct_url = sources(settings, app.password)
        self.store = WorkerStore(self.url, name="penstock worker", lanes=ACKNOWLEDGERS, pooled=self.pooled)
        self.threads = ThreadPoolExecutor(max_workers=settings.concurrency, thread_name_prefix="penstock-job")
        self.hooks = HookDispatcher(app.hooks)
        self.metrics.hook_failures = self.hooks.failed
        self.drain_requested = asyncio.Event()
        self.state = WorkerState(on_drain=self.drain_requested.set)
        self.signals = Signals(self.state)
        self._build_infrastructure()
        self._build_claimer()
        self._build_consumers()
        self._build_last_stages()
        self._build_probes()

    def _build_infrastructure(self) -> None:
        settings = self.settings
        self.health = HealthServer(
            host=settings.http_host,
            port=settings.http_port,
            metrics=exposition(self.metrics),
            live=lambda: self.probes.live(),  # noqa: PLW0108 - they need the stages, which need the lease, which
            ready=lambda: self.probes.ready(),  # noqa: PLW0108 - needs this server's port
        )
        name = settings.pod_name or socket.gethostname()
        identity = Identity(
            identity=f"{name}:{os.getpid()}",
            queue=settings.queue,
            version=distribution_version(),
            concurrency=settings.concurrency,
            pod=settings.pod_name or None,
            node=settings.node_name or None,
            info={"http": advertised(settings.http_host, self.health.port, name=name), "tasks": self.task_digests},
        )
        self.lease = Lease(
            registry=WorkerRegistry(self.url, pooled=self.pooled),
            identity=identity,
            held_claims=self.held_claims,
            metrics=self.metrics,
            seconds=settings.lease_seconds,
            on_renewed=lambda renewal: self.renewals.hand_over(renewal, self.loop),
        )
        self.listener = Listener(self.direct_url, (WORK, CONTROL), self._woken)
        self.maintenance = Maintenance(self.store, identity.identity, settings.lease_seconds, time.monotonic)
        self.forensics = Forensics(
            store=self.store,
            queue=lambda: (self.lease.queue, settings.queue),
            facts=self._facts,
            hooks=self.hooks,
            metrics=self.metrics,
            tasks=list(self.app.tasks),
            holder=identity.identity,
        )
        self.maintenance.on_dead_letters = self.forensics.rescued

    def _build_claimer(self) -> None:
        settings = self.settings
        self.claimer = Claimer(
            store=self.store,
            permit=self.lease,
            state=self.state,
            held_claims=self.held_claims,
            metrics=self.metrics,
            queue=settings.queue,
            poll_seconds=settings.poll_seconds,
            rng=self.rng,
            listening=lambda: self.listener.listening,
        )
        self.run_attempt: Callable[[ClaimedJob], Awaitable[Finished]]
        outcomes = self.outcomes = OutcomeBuilder.from_settings(settings, self.rng)
        self.children = child_executor(settings, outcomes=outcomes, lease=self.lease, report=self._report)
        self.metrics.children = self.children.stats
        self.attempts = Attempts(
            tasks=self.app.tasks,
            context=self._context,
            threads=self.threads,
            children=self.children,
            executor=settings.executor,
            outcomes=outcomes,
            scopes=self.app.attempt_scopes,
        )

    def _build_consumers(self) -> None:
        settings = self.settings
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
            state=self.state,
            policy=policy,
            slots=self.slots,
            isolation=isolation,
            release=self.claimer.release_later,
        )
        self.exclusive = Exclusive(tasks=self.app.tasks, lease=self.lease, slots=self.slots)
        self.renewals = RenewalHandler(
            lease=self.lease,
            state=self.state,
            held_claims=self.held_claims,
            claimer=self.claimer,
            consumers=self.consumers,
            exclusive=self.exclusive,
            children=self.children,
        )

    def _build_last_stages(self) -> None:
        self.acknowledgers = [
            JobAcknowledger(
                name=f"acknowledger {number}",
                store=self.store,
                held_claims=self.held_claims,
                metrics=self.metrics,
                forensics=self.forensics,
                accepted=self.consumers.acknowledged,
                rng=self.rng,
            )
            for number in range(1, ACKNOWLEDGERS + 1)
        ]
        self.drain = Drain(
            claimer=self.claimer,
            consumers=self.consumers,
            slots=self.slots,
            state=self.state,
            store=self.store,
            held_claims=self.held_claims,
            metrics=self.metrics,
            grace=self.settings.drain_timeout_seconds,
        )

    def _build_probes(self) -> None:
        self.probes = Probes(
            lease=self.lease,
            held_claims=self.held_claims,
            claimer=self.claimer,
            consumers=self.consumers,
            slots=self.slots,
            maintenance=self.maintenance,
            state=self.state,
            max_timeout=max((task.timeout or 0.0 for task in self.app.tasks.values()), default=0.0),
        )
        self.metrics.gauges = self.probes.gauges
        self.ticker = Ticker(
            probes=self.probes,
            metrics=self.metrics,
            state=self.state,
            consumers=self.consumers,
            slots=self.slots,
            claimer=self.claimer,
            lease=self.lease,
            held_claims=self.held_claims,
            signals=self.signals,
        )

    def _context(self, job: ClaimedJob) -> Context:
        database = (self.url, self.pooled)
        report = functools.partial(self._report, job)
        return Context(job=job, client=self.app.client, database=lambda: database, report=report)

    def _report(self, job: ClaimedJob, progress: dict[str, Any]) -> None:
        self.held_claims.progress[job.id] = progress

    def _facts(self) -> Mapping[str, Any]:
        """Of this process, for forensics."""
        return {
            "worker": self.lease.worker,
            "version": distribution_version(),
            "pod": self.settings.pod_name or None,
            "node": self.settings.node_name or None,
            "running": len(self.slots.running),
            "claims": len(self.held_claims),
            "concurrency": self.settings.concurrency,
            "loop_lag_seconds": round(self.metrics.loop_lag, 3),
        }

    def _woken(self, channel: str | None, payload: str) -> None:
        if channel != CONTROL and (channel is None or payload == str(self.lease.queue)):
            self.claimer.wake()
        if channel is None or (channel == CONTROL and payload == str(self.lease.worker)):
            self.lease.renew_soon()

    def _can_isolate(self) -> bool:
        """Return True if the worker has one claim and none is in flight; it has stopped claiming by then."""
        return not self.claimer.in_flight and len(self.held_claims) == 1
