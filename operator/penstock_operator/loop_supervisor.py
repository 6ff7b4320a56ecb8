"""Groups the JobQueues by database, and runs one loop for every database.

Owns the regular list of all objects, whether the cluster has PodMonitors, and the tasks of the loops.

A loop belongs to an address. Two addresses may lead to one database (`ownership`), and many JobQueues may have none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.cancellation import cancel_and_wait

from .database.address import Address
from .errors import ClusterError, Forbidden
from .jobqueue.credentials import CredentialVersions, worker_keys
from .jobqueue.database_address import address_of
from .jobqueue.objects.owned_objects import Monitoring
from .jobqueue.reconciler import JobQueueReconciler
from .kube.cache import Cache, ObjectStore
from .kube.client import Cluster
from .kube.secrets import SECRET_RETRY_SECONDS, SecretName, Secrets, secrets_of
from .kube.unwatched_objects import UnwatchedObjects
from .liveness import STUCK_SECONDS, Liveness
from .loops.database_loop import DatabaseLoop
from .loops.database_quota import LoopKey, apply_quota
from .loops.ownership import QueueOwnership
from .loops.scheduled_queue import ScheduledQueue
from .loops.unaddressed import Unaddressed
from .metrics import OperatorMetrics
from .resources.resource import JOBQUEUE_LABEL, JobQueue
from .settings import OperatorSettings

logger = logging.getLogger("penstock.operator.loop_supervisor")

DISCOVER_SECONDS: Final = 15.0
LISTS_MISSED: Final = 3
"""So many lists that did not succeed make this process unready."""


@dataclass(slots=True)
class _RunningLoop:
    loop: DatabaseLoop
    task: asyncio.Task[None]


@dataclass(slots=True, kw_only=True)
class LoopSupervisor:
    """The operator but for its watches.

    Args:
        cluster: the API server.
        settings: of this process.
        metrics: of this process.
        may_act: False while another replica leads.
    """

    cluster: Cluster
    settings: OperatorSettings
    metrics: OperatorMetrics
    may_act: Callable[[], bool]
    cache: Cache = field(init=False)
    ticked_at: float = field(default_factory=time.monotonic)
    listed_at: float | None = None
    _list_problem: str = ""
    _relist: bool = False
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _loops: dict[LoopKey, _RunningLoop] = field(default_factory=dict)
    _groups: dict[LoopKey, list[str]] = field(default_factory=dict)
    _secrets: Secrets = field(init=False)
    _liveness: Liveness = field(init=False)
    _versions: CredentialVersions = field(default_factory=CredentialVersions)
    _unwatched: UnwatchedObjects = field(init=False)
    _placed: dict[str, int] = field(default_factory=dict)
    _keys: dict[str, LoopKey] = field(default_factory=dict)
    _unaddressed: Unaddressed = field(default_factory=Unaddressed)
    _ownership: QueueOwnership = field(default_factory=QueueOwnership)
    _monitoring: Monitoring = field(default_factory=Monitoring)

    def __post_init__(self) -> None:
        self.cache = Cache(self._changed)
        self._secrets = Secrets(self.cluster)
        self._liveness = Liveness(self.cluster.pools, late=self.metrics.lag.observe)
        self._unwatched = UnwatchedObjects(self.cluster, self.cache)
        self.metrics.tick_age.set_function(self._slowest)

    def _changed(self, namespace: str, name: str) -> None:
        """Mark a JobQueue as changed; it or one of its objects did."""
        found = self.cache.jobqueues.found(namespace, name)
        if not found or any(self._placed.get(view.uid) != view.generation for view in found):
            self._woken.set()
        for view in found:
            if (running := self._loops.get(self._keys.get(view.uid, ("", "")))) is not None:
                running.loop.dirty.add(view.uid)
                running.loop.woken.set()

    def wake(self) -> None:
        """Make every loop sample at once: the leader has changed."""
        for running in self._loops.values():
            running.loop.wake()

    def relist(self) -> None:
        """List at once: a watch was reopened, and it does not report deletions of the meantime."""
        self._relist = True
        self._woken.set()

    async def measure(self) -> None:
        """Beat, and report how late the event loop is; until cancelled."""
        await self._liveness.run()

    async def run(self) -> None:
        """List, place every JobQueue into its loop, and wait; until cancelled."""
        relist_at = discover_at = float("-inf")
        try:
            while True:
                self._woken.clear()
                if self.settings.pod_monitors and time.monotonic() >= discover_at:
                    discover_at = time.monotonic() + min(DISCOVER_SECONDS, self.settings.relist_seconds)
                    await self._discover()
                if self._relist or time.monotonic() >= relist_at:
                    self._relist = False
                    relist_at = time.monotonic() + (
                        self.settings.relist_seconds if await self._list() else SECRET_RETRY_SECONDS
                    )
                if self.listed_at is not None:
                    await self._place()
                self.ticked_at = time.monotonic()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(SECRET_RETRY_SECONDS, self.settings.relist_seconds)):
                        await self._woken.wait()
        finally:
            await self._stop(list(self._loops))

    async def _discover(self) -> None:
        """Find out whether the cluster has the kind PodMonitor; it may be installed at any time."""
        try:
            served = await self.cluster.serves_pod_monitors()
        except ClusterError:
            return
        labels = self.settings.pod_monitor_labels if served else None
        if labels != self._monitoring.labels:
            if labels is None:
                self._unwatched.forget("PodMonitor")
            self._monitoring.labels = labels
            for key, running in self._loops.items():
                running.loop.dirty |= set(self._groups.get(key, ()))
                running.loop.wake()

    async def _list(self) -> bool:
        """Take the cluster's word for what there is; False if it gave none.

        A namespace that may not be listed stays as it was last seen: its roles may have gone with it, or not be there
        yet, and the others go on.
        """
        cache = self.cache
        shelves: dict[str, ObjectStore[Any]] = {
            "Deployment": cache.deployments,
            "Pod": cache.pods,
            "JobQueue": cache.jobqueues,
        }
        for shelf in shelves.values():
            shelf.listing()
        listed: dict[str, list[dict[str, Any]]] = {kind: [] for kind in shelves}
        refused = set()
        for namespace in self.settings.watch_namespaces:
            try:
                for kind, shelf in shelves.items():
                    label = "" if kind == "JobQueue" else JOBQUEUE_LABEL
                    listed[kind] += await self.cluster.list_all(kind, [namespace], known=shelf.holds, label=label)
            except Forbidden as error:
                refused.add(namespace)
                self._list_problem = str(error)
                logger.error("namespace not listed", extra={"namespace": namespace, "error": str(error)})
            except ClusterError as error:
                self._list_problem = str(error)
                logger.error("objects not listed", extra={"error": str(error)})
                return False
        if refused.issuperset(self.settings.watch_namespaces):
            return False
        for kind, shelf in shelves.items():
            shelf.replace(listed[kind], spare=refused)
        kinds = [kind for kind in cache.others if kind != "PodMonitor" or self._monitoring.labels is not None]
        await self._unwatched.list(kinds, self.settings.watch_namespaces)
        self.listed_at = time.monotonic()
        return True

    # -- placing ------------------------------------------------------------------------------------------------

    async def _place(self) -> None:
        queues = list(self.cache.jobqueues.views.values())
        await self._secrets.read(set().union(*(secrets_of(queue) for queue in queues)), suspect=self._suspect())
        moved = self._versions.observe([worker_keys(queue) for queue in queues if queue.policy], self._secrets)
        per_namespace, total = self.settings.databases_per_namespace, self.settings.max_databases
        found = apply_quota(queues, [self._key(queue) for queue in queues], per_namespace=per_namespace, total=total)
        keys, news = self._unaddressed.keys(queues, found)
        groups: dict[LoopKey, list[str]] = {}
        for queue, key in zip(queues, keys, strict=True):
            groups.setdefault(key, []).append(queue.uid)
        regrouped = {key for key in groups.keys() | self._groups.keys() if groups.get(key) != self._groups.get(key)}
        self._groups = groups
        self._keys = {queue.uid: key for queue, key in zip(queues, keys, strict=True)}
        self._placed = {queue.uid: queue.generation for queue in queues}
        await self._stop([key for key in self._loops if key not in groups])
        for key in groups:
            if key not in self._loops:
                self._start(key)
            elif regrouped:  # a deleted one may have owned a queue of this database, by another URL
                self._loops[key].loop.wake()
            elif (task := self._loops[key].task).done():
                logger.error("database loop failed", exc_info=task.exception())
                self._start(key)
        for queue in queues:
            if worker_keys(queue) in moved or queue.uid in news:
                self._changed(queue.namespace, queue.name)

    def _key(self, queue: JobQueue) -> LoopKey:
        """The queue's address, or the first thing that is wrong with its Secret."""
        if queue.policy is None:
            return "InvalidSpec", queue.invalid or ""
        return address_of(queue, self._secrets, loopback=self.settings.loopback_databases)

    def _suspect(self) -> set[SecretName]:
        """Secrets with which their database cannot be sampled."""
        failing = [key for key, running in self._loops.items() if running.loop.pauses.failing]
        return {place for key in failing for queue in self._queues_of(key) for place in secrets_of(queue)}

    # -- loops --------------------------------------------------------------------------------------------------

    def _start(self, key: LoopKey) -> None:
        loop = DatabaseLoop(
            address=key if isinstance(key, Address) else None,
            problem=None if isinstance(key, Address) else key,
            holder=self.settings.pod_name,
            members=lambda: self._members(key),
            make=lambda: JobQueueReconciler(
                cluster=self.cluster,
                cache=self.cache,
                metrics=self.metrics,
                monitoring=self._monitoring,
                credentials=self._versions.of,
                problem=self._unaddressed.problem,
            ),
            metrics=self.metrics,
            may_act=self.may_act,
            opened=lambda identity: self._opened(key, identity),
            has_left=lambda uid: self._ownership.has_left(uid, key, self._keys),
            memory_mib=self.settings.database_memory_mib,
        )
        self._loops[key] = _RunningLoop(loop, asyncio.create_task(loop.run(), name="database loop"))

    async def _stop(self, keys: Iterable[LoopKey]) -> None:
        running = {key: self._loops.pop(key) for key in list(keys)}
        await cancel_and_wait(one.task for one in running.values())
        for key in running:  # afterwards, because a last write asks whether JobQueues have left this database
            self._ownership.forget(key)

    def _opened(self, key: LoopKey, identity: str | None) -> None:
        """Record the database of a loop, or its failure; every loop then checks the ownership of its queues again."""
        if self._ownership.learn(key, identity):
            self.wake()

    def _queues_of(self, key: LoopKey) -> list[JobQueue]:
        views = self.cache.jobqueues.views
        return [views[uid] for uid in self._groups.get(key, ()) if uid in views]

    def _members(self, key: LoopKey) -> Sequence[ScheduledQueue]:
        if not isinstance(key, Address):  # there may be thousands of these, so none compares itself with all others
            return self._unaddressed.members(self._queues_of(key))
        return self._ownership.members(key, {one: self._queues_of(one) for one in self._groups})

    def _slowest(self) -> float:
        """Seconds since the loop that has waited longest made progress, this one included."""
        loops = [running.loop for running in list(self._loops.values())]  # asked by another thread
        own = max(self.ticked_at, self._secrets.moved_at)
        return time.monotonic() - min([own, *(max(one.ticked_at, one.sampler.moved_at) for one in loops)])

    def live(self) -> str | None:
        """None, or what has not moved for too long."""
        if (stuck := self._liveness.problem()) is not None:
            return stuck
        still = time.monotonic() - max(self.ticked_at, self._secrets.moved_at)
        if still > STUCK_SECONDS:
            return f"the supervisor has made no progress for {still:.0f} s"
        slowest = self._slowest()
        return f"a database loop has made no progress for {slowest:.0f} s" if slowest > STUCK_SECONDS else None

    def ready(self) -> str | None:
        """None, or why what is known of the cluster is not current."""
        if self.listed_at is None:
            return f"the cluster has not been listed yet: {self._list_problem or 'no answer so far'}"
        age = time.monotonic() - self.listed_at
        if age <= LISTS_MISSED * self.settings.relist_seconds:
            return None
        return f"the cluster was last listed {age:.0f} s ago: {self._list_problem or 'no answer since'}"
