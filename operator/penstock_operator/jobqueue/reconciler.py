"""The reconciliation of one JobQueue, level-based: observe, plan, apply, report. The same path for every trigger.

Owns what one queue remembers between reconciliations: its decision history, its rates, its pauses after failures.
Everything else is observed each time, from the cluster and the database. Every exception ends in a condition, and the
next reconciliation retries; only `NotLeader` leaves, because a former leader must not write a status.

Without a sample of the queue, `decide` gets no snapshot, so the replicas stay as they are.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from penstock.errors import StoreError
from penstock.scaling import Decision, History, QueueSnapshot
from penstock.scaling.prescaling import next_change
from penstock.scaling.sampler import Sampler

from ..database.failure_reasons import reason_of
from ..error_reasons import described, reason_of_call
from ..errors import ClusterError, Conflict, NotLeader
from ..kube.cache import Cache
from ..kube.client import Cluster
from ..kube.priority_gate import PriorityGate
from ..log_fields import log_fields
from ..metrics import OperatorMetrics, ReconcileResult
from ..resources.conditions import ObservedState, Problem
from ..resources.resource import Deployment, JobQueue
from .actions import ActionRunner
from .credentials import Credentials
from .failure_backoff import FailureBackoff
from .objects.owned_objects import Monitoring, OwnedObjects
from .observation import Observation, QueueSample
from .outcome import Applied, outcome, with_pods
from .plan import Actions, plan
from .pods.pod_exits import PodExits
from .pods.pod_view import FleetView
from .pods.registrations import Registrations
from .pods.worker_pods import PodRole, WorkerPod, worker_rows
from .replicas.competing_scaler import ForeignScaler, SecondScaler
from .replicas.disruption import Disruption
from .status import LastScale, stamp
from .status_writer import StatusWriter

__all__ = ["JobQueueReconciler"]

logger = logging.getLogger("penstock.operator.reconciler")


class JobQueueReconciler:
    """The reconciliation of one JobQueue.

    Args:
        cluster: the API server.
        cache: the objects it reported last.
        metrics: of the operator.
        monitoring: whether PodMonitors are created.
        credentials: what a JobQueue's workers take from their Secret now; None while that is not known.
        problem: reason and message why a JobQueue has no database address; None if it has one.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        metrics: OperatorMetrics,
        monitoring: Monitoring,
        credentials: Callable[[JobQueue], Credentials | None] = lambda _: None,
        problem: Callable[[JobQueue], Problem | None] = lambda _: None,
    ) -> None:
        self._cache, self._metrics = cache, metrics
        self._credentials, self._problem = credentials, problem
        self.gate = PriorityGate()
        self._owned = OwnedObjects(cluster=cluster, cache=cache, monitoring=monitoring, gate=self.gate)
        self._runner = ActionRunner(cluster=cluster, cache=cache, owned=self._owned)
        self._status = StatusWriter(cluster=cluster, cache=cache, gate=self.gate)
        self._disruption = Disruption(cluster=cluster, cache=cache)
        self._pod_exits = PodExits()
        self._registrations = Registrations()
        self._fleet = FleetView()
        self._sampler = Sampler()
        self._other_scaler = SecondScaler()
        self._unexpected = FailureBackoff()
        self._scaling = FailureBackoff()
        self._history: History | None = None
        self._scaled: LastScale | None = None
        self._draining = 0
        self._drain_waits_for = ""
        self._blocked = False
        self.settled = False
        """True if nothing is left to do until something changes, or until `due_at` of the monotonic clock."""
        self.due_at = math.inf

    @property
    def startup_seconds(self) -> float | None:
        """Seconds from a pod's start until it serves; None until one was observed."""
        return self._fleet.startup_seconds

    async def reconcile(
        self, queue: JobQueue, sample: QueueSample, *, refusal: Problem | None = None
    ) -> ReconcileResult:
        """Bring the cluster one step closer to what the queue needs, and write its status.

        Args:
            queue: the JobQueue as it is now.
            sample: the latest of its database.
            refusal: reason and message why the JobQueue is not to be scaled.

        Raises:
            NotLeader: another replica leads.
        """
        state = ObservedState(
            policy=queue.policy,
            refusal=refusal,
            database=self._problem(queue) or sample.problem,
            connected=sample.connected,
            listening=sample.listening,
            schedules=sample.schedules,
        )
        self.settled, self.due_at = refusal is not None or queue.deleting, math.inf
        try:
            if refusal is None and queue.policy is not None and not queue.deleting:
                state = await self._scale(queue, sample, state)
            await self._report(queue, sample, state)
        except NotLeader:
            raise
        except Exception as error:
            if self._pause(queue, error):
                logger.exception("reconciliation failed", extra=log_fields(queue))
            state = self._failed(queue, sample, state, error)
            await self._report(queue, sample, state)
        if state.refusal is not None or state.failure is not None:
            return ReconcileResult.REFUSED if state.refusal is not None else ReconcileResult.FAILED
        if sample.state is None:
            return ReconcileResult.BLIND
        return ReconcileResult.BLOCKED if self._blocked else ReconcileResult.DONE

    def forget(self, queue: JobQueue) -> None:
        """Stop: the JobQueue was deleted, and its series go; or it moved to another database, and they stay."""
        self._disruption.cancel()
        if queue.uid not in self._cache.jobqueues.views:
            self._metrics.forget(queue)

    async def _scale(self, queue: JobQueue, sample: QueueSample, state: ObservedState) -> ObservedState:
        self._unexpected.check(queue.generation)
        await self._fleet.observe(self._cache.pods_of(queue), sample.state, sample.database, time.monotonic())
        deployment, objects_problem = await self._keep_objects(queue)
        seen = self._observe(queue, sample, deployment)
        actions = plan(seen)
        applied = await self._apply(actions, seen)
        applied = replace(applied, workers=objects_problem or applied.workers)
        state = self._outcome(state, seen, applied)
        if sample.database is not None and sample.state is not None:
            await self._pod_exits.write(sample.database, sample.state.id, queue, self._cache)
        self._unexpected.succeeded()
        return state

    async def _keep_objects(self, queue: JobQueue) -> tuple[Deployment | None, Problem | None]:
        """The Deployment, and what keeps the owned objects from being as they should."""
        try:
            deployment: Deployment | None = await self._owned.ensure(queue, self._credentials(queue))
            problem = self._owned.problem
        except ClusterError as error:
            problem = error
            deployment = self._owned.existing(queue)  # a template that is refused does not stop running workers
        if problem is None:
            return deployment, None
        self.due_at = self._owned.resting_until  # only a new template heals what the template alone causes
        return deployment, (reason_of_call(problem), str(problem))

    def _observe(self, queue: JobQueue, sample: QueueSample, deployment: Deployment | None) -> Observation:
        now, pods = time.monotonic(), self._cache.pods_of(queue)
        return Observation(
            queue=queue,
            now=now,
            wall_time=time.time(),
            sample=sample,
            snapshot=self._snapshot(queue, sample, now),
            deployment=deployment,
            members=tuple(self._fleet.members(pods, sample.state)),
            ended=tuple(self._cache.gone_pods_of(queue)),
            unowned=tuple(self._cache.unowned_pods_of(queue)),
            waiting=self._fleet.waiting,
            removing=self._runner.removing((pod.uid for pod in pods), now),
            history=self._history,
            startup_seconds=self._fleet.startup_seconds,
        )

    def _snapshot(self, queue: JobQueue, sample: QueueSample, now: float) -> QueueSnapshot | None:
        if sample.state is None:
            return None
        snapshot = self._sampler.add(sample.state, now, stopping=self._cache.stopping_of(queue))
        ticks = () if sample.schedules is None or sample.state.paused else sample.schedules.ticks()
        snapshot = replace(snapshot, startup_seconds=self._fleet.startup_seconds, ticks=ticks)
        if queue.policy is not None and (change := next_change(snapshot, queue.policy, now)) is not None:
            self.due_at = min(self.due_at, change)
        return snapshot

    async def _apply(self, actions: Actions | None, seen: Observation) -> Applied:
        if actions is None or seen.deployment is None:
            return Applied(deployment=seen.deployment, waiting=True)
        other = self._other_scaler.observe(seen.deployment, actions.decision.desired)
        self.due_at = min(self.due_at, self._other_scaler.due_at)
        applied = Applied(deployment=seen.deployment, decision=actions.decision, other_scaler=other)
        try:
            self._other_scaler.check()
            self._scaling.check(seen.queue.generation)
            actions, deployment = await self._runner.apply(actions, seen)
        except Conflict as error:
            logger.info("deployment has changed, retrying", extra=log_fields(seen.queue, error))
            return applied
        except ForeignScaler:
            return replace(applied, waiting=True)
        except (ClusterError, StoreError) as error:
            return self._not_scaled(seen.queue, error, applied)
        self._scaling.succeeded()
        self._history = actions.decision.history
        if actions.scale_down is not None:
            self._draining, self._drain_waits_for = actions.scale_down.leaving, actions.scale_down.waiting_for
        await self._record_scaling(seen, actions.decision, deployment)
        return replace(applied, decision=actions.decision, deployment=deployment, unchanged=not actions.changed)

    def _not_scaled(self, queue: JobQueue, error: ClusterError | StoreError, applied: Applied) -> Applied:
        if self._scaling.failed(queue.generation, error):
            logger.warning("scaling failed", extra=log_fields(queue, error))
        self.due_at = min(self.due_at, self._scaling.until or math.inf)
        if isinstance(error, ClusterError):
            return replace(applied, waiting=True, workers=(reason_of_call(error), str(error)))
        return replace(applied, waiting=True, database=(reason_of(error), str(error)))

    async def _record_scaling(self, seen: Observation, decision: Decision, deployment: Deployment) -> None:
        assert seen.deployment is not None
        before, after = seen.deployment.replicas, deployment.replicas
        if before != after:
            at = stamp(time.time())
            self._scaled = LastScale(time=at, before=before, after=after, reason=decision.bound.value)
            self._metrics.scaled(seen.queue, before, after)
            await self._status.post_scaling(seen.queue, before, after, decision)

    def _outcome(self, state: ObservedState, seen: Observation, applied: Applied) -> ObservedState:
        """The state to report; sets `settled`."""
        workers = None if seen.sample.state is None else seen.sample.state.workers
        known = [one.pod for one in seen.members if one.role is not PodRole.LOST]
        elsewhere = self._registrations.observe(known, workers, seen.now)
        protects = self._disruption.observe(seen.queue, None if workers is None else worker_rows(workers), seen.now)
        pending = (self._registrations.pending or protects) and not applied.waiting
        self.settled = applied.settled(seen) and not pending
        self._blocked = applied.workers is not None
        return outcome(self._with_pods(state, seen.members, seen.unowned), seen, applied, elsewhere=elsewhere)

    def _with_pods(self, state: ObservedState, members: Sequence[WorkerPod], unowned: Sequence[str]) -> ObservedState:
        state = with_pods(state, members, unowned=unowned, warnings=self._owned.warnings, now=time.time())
        return replace(state, draining=self._draining, drain_waits_for=self._drain_waits_for)

    def _pause(self, queue: JobQueue, error: Exception) -> bool:
        """Start a pause that doubles with each failure; whether this error differs from the last one."""
        if error is not self._unexpected.error:
            self._metrics.failures.inc()
        news = self._unexpected.failed(queue.generation, error)
        self.settled, self.due_at = True, self._unexpected.until or math.inf
        return news

    def _failed(self, queue: JobQueue, sample: QueueSample, state: ObservedState, error: Exception) -> ObservedState:
        """The state to report after an unexpected exception: a condition."""
        members = self._fleet.members(self._cache.pods_of(queue), sample.state)
        state = replace(state, decision=None, snapshot=None, failure=described(error))
        return self._with_pods(state, members, self._cache.unowned_pods_of(queue))

    async def _report(self, queue: JobQueue, sample: QueueSample, state: ObservedState) -> None:
        """Status, events and metrics; one write, and only if something changed."""
        workers = () if sample.state is None else sample.state.workers
        busy = sum(1 for one in workers if one["in_flight"])
        if not queue.deleting and not await self._status.write(queue, state, busy=busy, scaled=self._scaled):
            self.settled = False
        self.due_at = min(self.due_at, self._status.due_at)
        self._metrics.observe(queue, state, paused=None if sample.state is None else sample.state.paused)
