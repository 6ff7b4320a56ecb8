"""Leader election among operator replicas, by a coordination.k8s.io Lease.

Owns the Lease and `leading`, which is true only while the last renewal is younger than two thirds of the lease: a
replica that was frozen steps down before another may take over. Clocks of two machines are never compared; a follower
measures how long it has seen the Lease unchanged.

The clock is the one that also advances while the machine sleeps. By the ordinary monotonic clock, a machine that was
suspended for an hour would still believe that it leads.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ClusterError, Conflict, NotFound
from .api_paths import ApiPath, collection, item
from .client import Cluster
from .lease_owner import owned

logger = logging.getLogger("penstock.operator.leader")

LEASE_SECONDS: Final = 3.0
RENEW_SECONDS: Final = 2.0
RETRY_SECONDS: Final = 0.5
"""Between two checks of a follower, and after a failed renewal."""
JUST_SECONDS: Final = 0.01
"""So much later than a Lease runs out it has run out by any rounding."""
KEEP_SECONDS: Final = 1.0
"""Between two renewals of the leader: one may fail before it has to step down."""


@dataclass(slots=True, kw_only=True)
class Leader:
    """One replica's part in the election.

    Args:
        cluster: the API server.
        namespace: where the Lease lives.
        name: of the Lease; empty: there is only this replica, which always leads.
        identity: of this process.
        clock: seconds that go on while the machine is suspended.
        owner: reference to the object with which the Lease goes; none by default.
        turned: called when this replica starts or stops leading.
    """

    cluster: Cluster
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    owner: Mapping[str, Any] | None = None
    turned: Callable[[], None] = lambda: None
    _renewed_at: float = float("-inf")
    _lease: dict[str, Any] | None = None
    _seen: tuple[Any, float] = (None, float("-inf"))

    def leading(self) -> bool:
        """Return True if this replica may act now."""
        return not self.name or self.clock() - self._renewed_at < RENEW_SECONDS

    @property
    def _path(self) -> ApiPath:
        return item("Lease", self.namespace, self.name)

    async def run(self) -> None:
        """Take and keep the Lease until cancelled; then release it, because a successor should not wait."""
        if not self.name:
            await asyncio.Event().wait()
        led = False
        try:
            while True:
                try:
                    await self._try()
                except ClusterError as error:
                    logger.debug("lease not renewed", extra={"error": str(error)})
                if self.leading() != led:
                    led = not led
                    if led:
                        logger.info("started leading", extra={"identity": self.identity})
                    else:
                        logger.info("stopped leading", extra={"identity": self.identity})
                    self.turned()
                await asyncio.sleep(self._pause())
        finally:
            if self.leading():
                self._renewed_at = float("-inf")
                await asyncio.shield(self._release())

    def _pause(self) -> float:
        """Seconds until the next renewal or check; a follower checks again just when the Lease it saw expires."""
        if self._lease is not None:
            return KEEP_SECONDS
        left = self._seen[1] + LEASE_SECONDS - self.clock()
        return min(RETRY_SECONDS, left + JUST_SECONDS) if left > 0 else RETRY_SECONDS

    async def _try(self) -> None:
        """Renew the Lease, or take it if it is free."""
        started = self.clock()
        lease, self._lease = self._lease or await self._read(), None
        if lease is None:
            metadata = owned({"name": self.name, "namespace": self.namespace}, self.owner)
            body = {"metadata": metadata, "spec": self._spec(None)}
            self._lease = await self.cluster.request("POST", collection("Lease", self.namespace), body, electing=True)
        elif self._is_mine(lease) or self._is_free(lease):
            metadata = owned(lease.get("metadata") or {}, self.owner)
            body = {**lease, "metadata": metadata, "spec": self._spec(lease.get("spec"))}
            # If another writer changed the Lease since, this is a conflict, and it is read again.
            self._lease = await self.cluster.request("PUT", self._path, body, electing=True)
        else:
            return
        self._renewed_at = started

    async def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = await self.cluster.request("GET", self._path, electing=True)
            return found
        except NotFound:
            return None

    def _is_mine(self, lease: dict[str, Any]) -> bool:
        return bool((lease.get("spec") or {}).get("holderIdentity") == self.identity)

    def _is_free(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        if not spec.get("holderIdentity"):
            return True
        version = lease["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self.clock())
            return False
        return self.clock() - self._seen[1] > LEASE_SECONDS

    def _spec(self, before: Any) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        found = before or {}
        mine = found.get("holderIdentity") == self.identity
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "acquireTime": found.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": int(found.get("leaseTransitions", 0)) + (0 if mine else 1),
        }

    async def _release(self) -> None:
        try:
            lease = await self._read()
            if lease is not None and self._is_mine(lease):
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                await self.cluster.request("PUT", self._path, lease, electing=True)
        except (ClusterError, Conflict) as error:
            logger.debug("lease not released", extra={"error": str(error)})
