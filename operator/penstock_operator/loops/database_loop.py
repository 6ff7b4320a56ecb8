"""The loop of one database: samples it, and reconciles all of its JobQueues from that one sample.

Owns the pace. A loop samples when it is woken (notification, spec, pod, Deployment) and when a poll is due. The failure
of one queue does not affect the others.

A loop without a database reconciles too: its queues get a status and a Deployment, and keep their replicas.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.cancellation import cancel_and_wait
from penstock.store import QueueState

from ..database.address import Address
from ..database.client import DatabaseClient
from ..database.process.limits import MEMORY_MIB
from ..errors import NotLeader
from ..jobqueue.observation import QueueSample
from ..jobqueue.reconciler import JobQueueReconciler
from ..log_fields import log_fields
from ..metrics import OperatorMetrics, ReconcileResult
from ..resources.resource import JobQueue
from .database_backoff import DatabaseBackoff
from .queue_sync import QueueSync
from .recent_waits import RecentWaits
from .sample_scope import SampleScope
from .sampler import DatabaseSampler
from .scheduled_queue import ScheduledQueue, pause_of, pause_until_next, ready, soon_of
from .server_stats import ServerStats, place_of

logger = logging.getLogger("penstock.operator.reconcile")

MIN_SAMPLE_INTERVAL_SECONDS = 0.02
"""Wake-ups closer together than this share one sample."""
FOLLOWING_SECONDS = 0.2
PAUSE_FACTOR = 3.0
"""Pause after a sample, in multiples of its duration: however many wake-ups arrive, a loop uses a quarter of a core."""
MAX_SAMPLE_PAUSE_SECONDS = 5.0  # ready jobs must be noticed even on a database whose samples take seconds
CHEAP_SECONDS = 0.3  # a longer pause also delays samples of single queues
TOGETHER_SECONDS = 0.25
"""Reconciliations that take longer, because the API server is slow, continue during the next sample."""


@dataclass(slots=True, kw_only=True)
class DatabaseLoop:
    """The reconciliation of all JobQueues of one database.

    Args:
        address: of the database; None if `problem` says why there is none.
        holder: name of this operator in the database's leader row.
        members: returns the JobQueues as they are now.
        make: creates the reconciler of one queue.
        metrics: of the operator.
        may_act: False while another replica leads.
        pauses: after failures of the database.
        opened: called with the database's own identity before any other statement, or None after a failed sample.
        has_left: whether the JobQueue of a uid was deleted or has moved to another database.
    """

    address: Address | None
    holder: str
    members: Callable[[], Sequence[ScheduledQueue]]
    make: Callable[[], JobQueueReconciler]
    metrics: OperatorMetrics
    may_act: Callable[[], bool]
    opened: Callable[[str | None], None]
    has_left: Callable[[str], bool] = lambda _: False
    problem: tuple[str, str] | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ticked_at: float = field(default_factory=time.monotonic)
    dirty: set[str] = field(default_factory=set)
    _reconcilers: dict[str, JobQueueReconciler] = field(default_factory=dict)
    _seen: dict[str, JobQueue] = field(default_factory=dict)
    _sampled: dict[str, int] = field(default_factory=dict)
    _reconciled: dict[str, tuple[ScheduledQueue, QueueSample]] = field(default_factory=dict)
    _sync: QueueSync = field(default_factory=QueueSync)
    sampler: DatabaseSampler = field(init=False)
    _working: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    pauses: DatabaseBackoff = field(default_factory=DatabaseBackoff)
    memory_mib: int = MEMORY_MIB
    _sample_seconds: float = 0.0
    _waits: RecentWaits = field(default_factory=RecentWaits)
    _states: dict[str, QueueState] = field(default_factory=dict)
    scope: SampleScope = field(default_factory=SampleScope)
    _stats: ServerStats = field(init=False)

    def __post_init__(self) -> None:
        self._stats = ServerStats(metrics=self.metrics)
        self.sampler = DatabaseSampler(self._sync, self.metrics, self._name, self.has_left)

    async def run(self) -> None:
        """Sample, reconcile and wait until cancelled."""
        database = None
        if self.address is not None:
            database = DatabaseClient(
                address=self.address,
                holder=self.holder,
                woken=self.woken.set,
                may_act=self.may_act,
                named=self._name,
                memory_mib=self.memory_mib,
            )
        try:
            while True:
                self.woken.clear()
                pause = await (self.tick(database) if self.may_act() else self._follow(database))
                self.ticked_at = time.monotonic()
                await self._wait(pause, min(MAX_SAMPLE_PAUSE_SECONDS, PAUSE_FACTOR * self._sample_seconds))
                self.ticked_at = time.monotonic()  # a pause is no lack of progress
        finally:
            await cancel_and_wait(self._working.values())
            self._forget(set())
            self._stats.stop()
            await self.sampler.stop(database)

    def wake(self) -> None:
        """Sample all queues at once."""
        self.scope.want_all()
        self.woken.set()

    async def _wait(self, pause: float, minimum: float) -> None:
        """Wait until woken, or for `pause` seconds; before a sample of all queues for at least `minimum` seconds."""
        started = time.monotonic()
        await asyncio.sleep(MIN_SAMPLE_INTERVAL_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause - MIN_SAMPLE_INTERVAL_SECONDS)):
                await self.woken.wait()
        left = started + minimum - time.monotonic()
        if left > 0 and (minimum > CHEAP_SECONDS or not self._some_suffice()):
            await asyncio.sleep(left)

    async def _follow(self, database: DatabaseClient | None) -> float:
        """Forget everything: another replica decides now. Seconds until the next check."""
        for uid in self._reconcilers:
            self.metrics.forget(self._seen[uid])
        for known in (self._reconcilers, self._seen, self._reconciled):
            known.clear()
        self.sampler.forget()
        self._waits.forget()
        self.scope.want_all()
        self.pauses.succeeded()
        await (database.stand_by() if database is not None else asyncio.sleep(0))
        return FOLLOWING_SECONDS

    async def tick(self, database: DatabaseClient | None) -> float:
        """Sample all queues, or those that changed, and reconcile them; seconds until the next sample, unless woken."""
        self._sample_seconds = 0.0
        if database is not None and self._some_suffice():
            return await self._tick_some(database)
        states, problem = await self._sample(database)
        if problem is not None:
            self.opened(None)
        self._states, members = dict(states), self.members()
        connected = database is not None and problem is None
        listening = connected and database is not None and database.listening
        sample = QueueSample(database=database, connected=connected, listening=listening, problem=problem)
        await self._start_all(members, sample)
        self._forget({member.queue.uid for member in members})
        if database is None or problem is not None:
            self.scope.want_all()
            return self.pauses.left
        await self._waits.read(database, states)
        await self._stats.refresh(database, [member.queue for member in members])
        pause = await pause_until_next(database, states, members, self._reconcilers)
        self.scope.sampled_all(self._sampled, pause)
        return pause

    def _some_suffice(self) -> bool:
        here = {one.queue.uid: one.queue.generation for one in self.members() if one.refusal is None}
        return not self.pauses.failing and self.scope.suffices(here)

    async def _tick_some(self, database: DatabaseClient) -> float:
        """The same for the queues that were notified, and those whose JobQueue or owned objects changed."""
        changed = [one for one in self.members() if one.queue.uid in self.dirty]
        names = [one.queue_name for one in changed if one.refusal is None and one.queue_name is not None]
        states = await self.sampler.sample_some(database, names, soon=soon_of(self._reconcilers.values()))
        if states is None:
            self.scope.want_all()
            return 0.0
        self._sample_seconds = self.sampler.seconds
        self._states.update(states)
        touched = [one for one in self.members() if one.queue.uid in self.dirty or one.queue_name in states]
        sample = QueueSample(database=database, connected=True, listening=database.listening)
        await self._start_all(touched, sample)
        for one in touched:
            self.scope.within(pause_of(one, self._reconcilers.get(one.queue.uid), one.state(states)))
        # A slow server is sampled less often.
        await asyncio.sleep(min(MAX_SAMPLE_PAUSE_SECONDS, PAUSE_FACTOR * self._sample_seconds))
        return self.scope.left

    async def _start_all(self, members: Sequence[ScheduledQueue], sample: QueueSample) -> None:
        """Start the reconciliations that are due, and wait a moment for them."""
        started, elsewhere = time.monotonic(), 0.0
        # Queues with ready jobs come first: a new leader checks the owned objects of all, which takes a while.
        for member in sorted(members, key=lambda one: not getattr(one.state(self._states), "ready", 0)):
            queue, state = member.queue, member.state(self._states)
            if sample.connected and member.refusal is None and self._sampled.get(queue.uid) != queue.generation:
                self.wake()  # it has changed since: its declaration has to be in the database before its status
                continue
            problem = sample.problem or self._sync.refused.get(queue.uid)
            waited = None if state is None else self._waits.of(state.id)
            schedules = self.sampler.schedules.of(queue)
            seen = replace(sample, state=state, waited=waited, problem=problem, schedules=schedules)
            if state is not None and member.refusal is None:
                self.metrics.seen(queue)
            if self._is_due(member, seen):
                self._start(member, seen)
                yielded = time.monotonic()
                await asyncio.sleep(0)  # those already started make progress: hundreds may be due at once
                elsewhere += time.monotonic() - yielded
        self._sample_seconds += time.monotonic() - started - elsewhere
        if self._working:
            await asyncio.wait(self._working.values(), timeout=TOGETHER_SECONDS)

    async def _sample(self, database: DatabaseClient | None) -> tuple[Mapping[str, QueueState], tuple[str, str] | None]:
        wanted = {member.queue.uid: member.queue.generation for member in self.members()}
        if database is None:
            self.pauses.failed(wanted, self.problem or ("", ""))
            return {}, self.problem
        if (problem := self.pauses.problem(wanted)) is not None:
            return {}, problem
        found = await self.sampler.sample(
            database, self._ours, soon=soon_of(self._reconcilers.values()), opened=self.opened
        )
        self._sample_seconds = self.sampler.seconds
        self.pauses.ended(wanted, found[1])
        return found

    def _ours(self) -> list[JobQueue]:
        found = [member.queue for member in self.members() if member.refusal is None]
        self._sampled = {queue.uid: queue.generation for queue in found}
        return found

    def _name(self) -> str:
        """The name of the database in log lines: the first of the Secrets that lead to it."""
        place = place_of(member.queue for member in self.members())
        return "database" if place is None else f"database of Secret {'/'.join(place)}"

    def _is_due(self, member: ScheduledQueue, sample: QueueSample) -> bool:
        """False for a queue at rest whose JobQueue and sample have not changed; most queues, most of the time."""
        reconciler, uid = self._reconcilers.get(member.queue.uid), member.queue.uid
        at_rest = reconciler is not None and reconciler.settled and time.monotonic() < reconciler.due_at
        return not at_rest or uid in self.dirty or self._reconciled.get(uid) != (member, sample)

    def _start(self, member: ScheduledQueue, sample: QueueSample) -> None:
        """Reconcile a queue in a task of its own; if one is still running, it is due again afterwards."""
        uid = member.queue.uid
        reconciler = self._reconcilers.get(uid) or self._reconcilers.setdefault(uid, self.make())
        self._seen[uid] = member.queue  # with the reconciler, also if one from before a lost leadership still works
        urgent = ready(sample) > 0 and (uid not in self._reconciled or ready(self._reconciled[uid][1]) == 0)
        if uid in self._working:
            self.dirty.add(uid)
            if urgent and reconciler.gate.waiting:  # for the repairs of other queues, while its own jobs are ready
                self._working[uid].cancel()
            return
        reconciler.gate.urgent = urgent
        self.dirty.discard(uid)
        self._reconciled[uid] = (member, sample)
        task = asyncio.create_task(self._reconcile(reconciler, member, sample), name=f"reconcile {member.queue.where}")
        self._working[uid] = task
        task.add_done_callback(lambda _: self._done(uid))

    def _done(self, uid: str) -> None:
        self._working.pop(uid, None)
        if uid in self.dirty:
            self.woken.set()

    async def _reconcile(self, reconciler: JobQueueReconciler, member: ScheduledQueue, sample: QueueSample) -> None:
        started, result = time.monotonic(), ReconcileResult.FAILED
        try:
            result = await reconciler.reconcile(member.queue, sample, refusal=member.refusal)
        except NotLeader as error:
            logger.info("reconciliation stopped, another replica leads", extra=log_fields(member.queue, error))
            result = ReconcileResult.BLOCKED
        except Exception:  # the report itself failed; other JobQueues must not be affected
            self.metrics.failures.inc()
            logger.exception("reconciliation failed", extra=log_fields(member.queue))
        self.metrics.reconciled(result, time.monotonic() - started)

    def _forget(self, kept: set[str]) -> None:
        for uid in self._reconcilers.keys() - kept - self._working.keys():
            self._reconcilers.pop(uid).forget(self._seen.pop(uid))
            self._reconciled.pop(uid, None)
            self._sync.forget(uid)
            self.dirty.discard(uid)
