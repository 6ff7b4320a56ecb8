"""The operator process, which `__main__` runs.

Owns the order in which the parts start and stop. Must not decide anything. A part that fails stops the process;
Kubernetes restarts it and shows that it did.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from penstock.database.system_certificates import use_system_certificates

from .arguments import with_arguments
from .errors import OperatorError
from .http_pages import Pages
from .kube import parser_depth
from .kube.client import Cluster
from .kube.leader import Leader
from .kube.lease_owner import owner_reference
from .kube.watch_health import RESOURCES, WatchHealth
from .kube.watch_thread import Watches
from .kube.watches import KopfRun
from .logs import configure_logging
from .loop_supervisor import LoopSupervisor
from .metrics import OperatorMetrics
from .settings import OperatorSettings

logger = logging.getLogger("penstock.operator")


def _candidate(cluster: Cluster, settings: OperatorSettings) -> Leader:
    owner = owner_reference(cluster.token(), settings.namespace)
    name, identity = settings.lease_name, settings.pod_name
    return Leader(cluster=cluster, namespace=settings.namespace, name=name, identity=identity, owner=owner)


def _watches(
    settings: OperatorSettings, cluster: Cluster, supervisor: LoopSupervisor, metrics: OperatorMetrics
) -> tuple[Watches, WatchHealth]:
    """The watches, feeding the supervisor's cache, and what is known of them."""
    there = asyncio.get_running_loop().call_soon_threadsafe
    health = WatchHealth(namespaces=settings.watch_namespaces, reopened=lambda: there(supervisor.relist))
    run = KopfRun(cache=supervisor.cache, there=there, settings=settings, access=cluster.access, health=health)
    metrics.watches(RESOURCES, health.watching)
    return Watches(run, health=health, lost=run.lost, restarted=metrics.watch_restarts.inc), health


def _pages(
    settings: OperatorSettings, supervisor: LoopSupervisor, health: WatchHealth, metrics: OperatorMetrics
) -> Pages:
    """The HTTP pages of this process."""
    return Pages(
        host=settings.http_host,
        port=settings.http_port,
        metrics=metrics,
        live=lambda: supervisor.live() or health.live(),
        ready=lambda: supervisor.ready() or health.ready(),
    )


async def operate(settings: OperatorSettings) -> None:
    """Run until a signal, or until a part fails; then put everything down in order.

    Raises:
        OperatorError: of a part that failed; likewise any other exception of a part.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    cluster = Cluster(instance=settings.pod_name)
    leader = _candidate(cluster, settings)
    metrics = OperatorMetrics(leading=leader.leading)
    supervisor = LoopSupervisor(cluster=cluster, settings=settings, metrics=metrics, may_act=leader.leading)
    cluster.may_write, leader.turned = leader.leading, supervisor.wake
    watches, health = _watches(settings, cluster, supervisor, metrics)
    pages = _pages(settings, supervisor, health, metrics)
    ended = watches.start()
    runs = (
        (stopped.wait(), "signal"),
        (supervisor.run(), "supervisor"),
        (supervisor.measure(), "measure"),
        (leader.run(), "leader"),
    )
    tasks = [asyncio.create_task(run, name=name) for run, name in runs]
    try:
        parts: list[asyncio.Future[Any]] = [*tasks, ended]
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        if ended.done():
            raise ended.result() or RuntimeError("the watch thread stopped unexpectedly")
    finally:
        # The supervisor before the leader: nothing may act once the lease is given up.
        for task in tasks:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await watches.stop()
        pages.close()
        cluster.close()


def main() -> int:
    """Exit code 0 after a signal, 2 for settings that break a rule."""
    use_system_certificates()
    parser_depth.allow_deep_objects()
    try:
        settings = OperatorSettings.from_env(with_arguments(os.environ, sys.argv[1:]))
        configure_logging(settings)
        asyncio.run(operate(settings))
    except OperatorError as error:
        sys.stderr.write(f"penstock-operator: {error}\n")
        return 2
    logger.info("operator stopped")
    return 0
