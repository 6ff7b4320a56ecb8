"""Lists the owned objects that are not watched: PodDisruptionBudgets and PodMonitors.

They change so rarely that one list a minute is enough to notice an edit or a deletion. If they cannot be listed,
JobQueues are reconciled all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..errors import ClusterError
from ..resources.resource import JOBQUEUE_LABEL
from .cache import Cache
from .client import Cluster

logger = logging.getLogger("penstock.operator.others")


class UnwatchedObjects:
    """Lists of these kinds.

    Args:
        cluster: the API server.
        cache: takes what was found.
    """

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster, self._cache = cluster, cache
        self._logged: dict[tuple[str, str], str] = {}

    async def list(self, kinds: Sequence[str], namespaces: Sequence[str]) -> None:
        """Replace the cached objects; a namespace that cannot be listed keeps the last ones."""
        for kind in kinds:
            store = self._cache.others[kind]
            store.listing()
            listed: list[dict[str, Any]] = []
            refused = set()
            for namespace in namespaces:
                try:
                    listed += await self._cluster.list_all(kind, [namespace], known=store.holds, label=JOBQUEUE_LABEL)
                except ClusterError as error:
                    refused.add(namespace)
                    self._log(kind, namespace, str(error))
                else:
                    self._logged.pop((kind, namespace), None)
            if not refused.issuperset(namespaces):
                store.replace(listed, spare=refused)

    def forget(self, kind: str) -> None:
        """Drop the objects of a kind that the cluster no longer has."""
        store = self._cache.others[kind]
        store.listing()
        store.replace([])

    def _log(self, kind: str, namespace: str, error: str) -> None:
        if self._logged.get((kind, namespace)) != error:
            self._logged[kind, namespace] = error
            logger.warning("objects not listed", extra={"namespace": namespace, "kind": kind, "error": error})
