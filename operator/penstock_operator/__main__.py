"""The operator process: `python -m penstock_operator`. Puts the parts together, starts kopf, ends when kopf ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

import kopf

from . import handlers
from .cluster import Cluster
from .errors import OperatorError
from .leader import Leader
from .metrics import OperatorMetrics, Pages
from .settings import OperatorSettings
from .supervisor import Supervisor

logger = logging.getLogger("penstock.operator")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        line["message"] = record.getMessage()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log(settings: OperatorSettings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    text = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    handler.setFormatter(_Json() if settings.log_format == "json" else logging.Formatter(text))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


async def operate(settings: OperatorSettings) -> None:
    """Run until a signal ends kopf, or a part fails; then put everything down in order."""
    cluster, metrics = Cluster(instance=settings.pod_name), OperatorMetrics()
    leader = Leader(cluster=cluster, namespace=settings.namespace, name=settings.lease_name, identity=settings.pod_name)
    supervisor = Supervisor(cluster=cluster, settings=settings, metrics=metrics, may_act=leader.leading)
    pages = Pages(
        host=settings.http_host, port=settings.http_port, metrics=metrics, live=supervisor.live, ready=supervisor.ready
    )
    watches = kopf.operator(
        registry=handlers.registry(supervisor.cache),
        settings=handlers.settings(),
        standalone=True,
        clusterwide=settings.everywhere,
        namespaces=() if settings.everywhere else settings.watch_namespaces,
    )
    tasks = [
        asyncio.create_task(run, name=name)
        for run, name in ((watches, "watches"), (supervisor.run(), "supervisor"), (leader.run(), "leader"))
    ]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        # The supervisor first: nothing may act once the lease is given up.
        for task in (tasks[1], tasks[2], tasks[0]):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        pages.close()
        cluster.close()


def main() -> int:
    """Exit code 0 after a signal, 2 for settings that break a rule, 1 for anything else."""
    try:
        settings = OperatorSettings.from_env(os.environ)
        _log(settings)
        asyncio.run(operate(settings))
    except OperatorError as error:
        sys.stderr.write(f"penstock-operator: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
