"""The children that no watch shows: PodDisruptionBudgets and PodMonitors, found by the list alone.

They change so rarely that a list a minute is enough to see that one was edited or deleted. What keeps them from being
listed keeps no JobQueue from being served.
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


class Others:
    """Lists of these kinds.

    Args:
        cluster: the API server.
        cache: takes what was found.
    """

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster, self._cache = cluster, cache
        self._told: dict[tuple[str, str], str] = {}

    async def list(self, kinds: Sequence[str], namespaces: Sequence[str]) -> None:
        """Take the cluster's word for what there is; a namespace that cannot be listed stays as it was last seen."""
        for kind in kinds:
            shelf = self._cache.others[kind]
            shelf.listing()
            listed: list[dict[str, Any]] = []
            refused = set()
            for namespace in namespaces:
                try:
                    listed += await self._cluster.list_all(kind, [namespace], known=shelf.holds, label=JOBQUEUE_LABEL)
                except ClusterError as error:
                    refused.add(namespace)
                    self._tell(kind, namespace, str(error))
                else:
                    self._told.pop((kind, namespace), None)
            if not refused.issuperset(namespaces):
                shelf.replace(listed, spare=refused)

    def forget(self, kind: str) -> None:
        """The cluster does not know this kind any more."""
        shelf = self._cache.others[kind]
        shelf.listing()
        shelf.replace([])

    def _tell(self, kind: str, namespace: str, error: str) -> None:
        if self._told.get((kind, namespace)) != error:
            self._told[kind, namespace] = error
            logger.warning("namespace %s: objects of kind %s cannot be listed: %s", namespace, kind, error)
