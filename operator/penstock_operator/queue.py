"""One JobQueue, level-based: observe, decide, apply, tell. The same path for create, update, resume and tick.

Owns what one queue must remember between looks: the history of its decisions, its rates, who has just been let go.
Everything else is read anew each time, from the cluster and the database. An error of the cluster ends in a condition
and is tried again at the next look; it never leaves this queue.

Surprising: while the database cannot be looked at, `decide` gets no snapshot at all, so nothing moves.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from penstock.errors import StoreError
from penstock.scaling import Bound, Decision, History, QueueSnapshot, decide
from penstock.scaling.sampler import Sampler
from penstock.store import QueueState

from .cache import Cache
from .children import Children, Monitoring, NameTaken
from .cluster import Cluster
from .conditions import Facts
from .credentials import Credentials
from .database.client import DatabaseClient
from .disruption import Disruption
from .errors import ClusterError, Conflict, Forbidden, NotFound, Unreachable
from .fleet import Member, Role, worker_rows
from .fleet_view import FleetView, lost_text
from .metrics import OperatorMetrics, Result
from .pod_ends import PodNews
from .registrations import Registrations
from .replica_plan import ReplicaPlan, plan_replicas
from .resource import Deployment, JobQueue, Pod, epoch
from .scale_down import COST, ScaleDownPlan, plan_scale_down
from .status import LastScale, stamp
from .teller import Teller
from .turns import Turn
from .worker_health import restarts, trouble

logger = logging.getLogger("penstock.operator.queue")

_TIMED = frozenset({Bound.STABILIZATION, Bound.COOLDOWN, Bound.STEP_PERIOD, Bound.SCALE_UP_RATE, Bound.SIGNAL_LOST})
GOING_SECONDS = 10.0
"""For so long a pod that was let go is waited for; a survivor is then called back, or tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is known of a queue's database at one moment; `state` is None where the queue could not be seen.

    `waited` are the seconds that 95 of 100 attempts of the last minute waited at most; None where none ended.
    """

    database: DatabaseClient | None = None
    connected: bool = False
    listening: bool = False
    state: QueueState | None = None
    waited: float | None = None
    problem: tuple[str, str] | None = None


class Queue:
    """The reconciliation of one JobQueue.

    Args:
        cluster: the API server.
        cache: what it last said.
        metrics: of the operator.
        monitoring: whether PodMonitors are made.
        credentials: what a JobQueue's workers take from their Secret now, None while that is not known.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        metrics: OperatorMetrics,
        monitoring: Monitoring,
        credentials: Callable[[JobQueue], Credentials | None] = lambda _: None,
    ) -> None:
        self._cluster, self._cache, self._metrics = cluster, cache, metrics
        self._credentials = credentials
        self.turn = Turn()
        self._children = Children(cluster=cluster, cache=cache, monitoring=monitoring, turn=self.turn)
        self._disruption = Disruption(cluster=cluster, cache=cache)
        self._pod_news = PodNews()
        self._registrations = Registrations()
        self._fleet = FleetView()
        self._teller = Teller(cluster=cluster, cache=cache, turn=self.turn)
        self._sampler = Sampler()
        self._history: History | None = None
        self._going: dict[str, float] = {}
        self._scaled: LastScale | None = None
        self._waiting_for = ""
        self._draining = 0
        self._blocked = False
        self.settled = False
        """Whether nothing is to be done before something changes."""

    @property
    def startup_seconds(self) -> float | None:
        """How long a pod of this queue takes until it serves; None while none was seen to start."""
        return self._fleet.startup_seconds

    async def treat(self, queue: JobQueue, look: Look, *, refusal: tuple[str, str] | None = None) -> Result:
        """Bring the cluster one step closer to what the queue needs, say what was found, and how it went."""
        facts = Facts(
            policy=queue.policy,
            refusal=refusal,
            database=look.problem,
            connected=look.connected,
            listening=look.listening,
        )
        self.settled = False
        if refusal is None and queue.policy is not None and not queue.deleting:
            facts = await self._act(queue, look, facts)
            if look.database is not None and look.state is not None:
                await self._pod_news.tell(look.database, look.state.id, queue, self._cache)
        busy = 0 if look.state is None else sum(1 for one in look.state.workers if one["in_flight"])
        if not queue.deleting and not await self._teller.tell(queue, facts, busy=busy, scaled=self._scaled):
            self.settled = False
        self._metrics.observe(queue, facts, paused=None if look.state is None else look.state.paused)
        if refusal is not None:
            return Result.REFUSED
        return Result.BLIND if look.state is None else Result.BLOCKED if self._blocked else Result.DONE

    def forget(self, queue: JobQueue) -> None:
        """The JobQueue is gone, and its series go too; or it has another database now, and they stay."""
        self._disruption.cancel()
        if queue.uid not in self._cache.jobqueues.views:
            self._metrics.forget(queue)

    async def _act(self, queue: JobQueue, look: Look, facts: Facts) -> Facts:
        assert queue.policy is not None
        now = time.monotonic()
        await self._fleet.observe(self._cache.pods_of(queue), look.state, look.database, now)
        snapshot = self._snapshot(queue, look, now)
        workers: tuple[str, str] | None = None
        try:
            deployment: Deployment | None = await self._children.ensure(queue, self._credentials(queue))
        except ClusterError as error:
            workers = _reason(error), str(error)
            deployment = self._children.held(queue)  # a template that is refused does not stop what runs
        decision, settled = None, False
        if deployment is not None:
            history = self._history or self._starting(queue, deployment, look, now)
            decision = decide(snapshot, queue.policy, history, now)
            try:
                deployment = await self._towards(queue, deployment, decision, look)
                self._history, settled = decision.history, decision.desired == history.desired
            except Conflict as error:
                logger.info("%s: %s; decided again at the next look", queue.where, error)
            except ClusterError as error:
                workers = workers or (_reason(error), str(error))
            except StoreError as error:
                logger.warning("%s: %s", queue.where, error)
        pods = self._cache.pods_of(queue)
        members = self._fleet.members(pods, look.state)
        known = [one.pod for one in members if one.role is not Role.LOST]
        elsewhere = self._registrations.observe(known, None if look.state is None else look.state.workers, now)
        self._blocked = workers is not None
        protects = self._disruption.observe(queue, None if look.state is None else worker_rows(look.state.workers), now)
        at_rest = _at_rest(snapshot, decision, deployment, pods) and not (self._registrations.pending or protects)
        self.settled = settled and workers is None and at_rest
        return replace(
            self._with_pods(facts, members),
            decision=decision,
            snapshot=snapshot,
            workers=workers or self._trouble(queue, deployment, pods, decision) or elsewhere,
            waited=look.waited,
        )

    def _with_pods(self, facts: Facts, members: Sequence[Member]) -> Facts:
        pods = [one.pod for one in members]
        return replace(
            facts,
            existing=len(pods),
            ready=sum(one.pod.ready and one.role is not Role.LOST for one in members),
            foreign_cost=", ".join(sorted({pod.foreign_cost for pod in pods if pod.foreign_cost})),
            lost=lost_text(members),
            draining=self._draining,
            drain_waits_for=self._waiting_for,
            warnings=(*self._children.warnings, *restarts(pods, now=time.time())),
        )

    def _trouble(
        self, queue: JobQueue, deployment: Deployment | None, pods: Sequence[Pod], decision: Decision | None
    ) -> tuple[str, str] | None:
        gone, desired = self._cache.gone_pods_of(queue), 0 if decision is None else decision.desired
        return trouble(deployment, pods, gone, waiting=self._fleet.waiting, desired=desired, now=time.time())

    def _snapshot(self, queue: JobQueue, look: Look, now: float) -> QueueSnapshot | None:
        """What the look says, and how long a pod takes to start by what was seen of those before."""
        if look.state is None:
            return None
        seen = self._sampler.look(look.state, now, stopping=self._cache.stopping_of(queue))
        return replace(seen, startup_seconds=self._fleet.startup_seconds)

    def _replicas(
        self, queue: JobQueue, deployment: Deployment, desired: int, members: Sequence[Member]
    ) -> ReplicaPlan:
        assert queue.policy is not None
        budget = queue.policy.scaling.connection_budget
        stopping = len(self._cache.stopping_of(queue))
        allow = None if budget is None else max(0, budget.max_connections // budget.per_worker - stopping)
        return plan_replicas(desired, deployment, members, connections_allow=allow)

    def _starting(self, queue: JobQueue, deployment: Deployment, look: Look, now: float) -> History:
        """What an operator that has just come may assume: the replicas found are right, and were added when it says.

        But for those that are there in place of pods that serve nothing.
        """
        members = self._fleet.members(self._cache.pods_of(queue), look.state)
        found = deployment.replicas - self._replicas(queue, deployment, deployment.replicas // 2, members).extra
        last = queue.status.get("lastScale") or {}
        added_at = None
        if last.get("time") and last.get("to", 0) > last.get("from", 0):
            added_at = now - max(0.0, time.time() - epoch(last["time"]))
        return History.starting(found, now=now, added_at=added_at)

    async def _towards(self, queue: JobQueue, deployment: Deployment, decision: Decision, look: Look) -> Deployment:
        """Add at once; remove only what has drained."""
        before = deployment.replicas
        members = self._fleet.members(self._cache.pods_of(queue), look.state)
        replicas = self._replicas(queue, deployment, decision.desired, members)
        if replicas.target > before:
            deployment = await self._children.scale(deployment, replicas.target)
        steps = self._plan(queue, deployment, replicas, look)
        if steps is not None and look.database is not None:
            if steps.cordon and look.state is not None:
                # Their own reports lag; who is asked to leave is chosen by what each holds now.
                held = await look.database.held_by(look.state.id)
                steps = self._plan(queue, deployment, replicas, look, held) or steps
            deployment = await self._carry_out(steps, deployment, look.database)
        if deployment.replicas != before:
            self._scaled = LastScale(
                time=stamp(time.time()), before=before, after=deployment.replicas, reason=decision.bound.value
            )
            self._metrics.scaled(queue, before, deployment.replicas)
            told = replace(decision, explanation=replicas.explained(decision.explanation))
            await self._teller.scaled(queue, before, deployment.replicas, told)
        return deployment

    def _plan(
        self, queue: JobQueue, deployment: Deployment, replicas: ReplicaPlan, look: Look,
        held: Mapping[int, int] | None = None,
    ) -> ScaleDownPlan | None:  # fmt: skip
        """None without a look: who holds what cannot be known, so nobody is asked to leave."""
        now = time.monotonic()
        pods = self._cache.pods_of(queue)
        here = {pod.uid for pod in pods}
        self._going = {uid: until for uid, until in self._going.items() if uid in here and until > now}
        if look.state is None:
            return None
        members = self._fleet.members(pods, look.state, held)
        made = plan_scale_down(replicas, deployment=deployment, members=members, going=self._going.keys())
        self._draining, self._waiting_for = made.leaving, made.waiting_for
        return made

    async def _carry_out(self, steps: ScaleDownPlan, deployment: Deployment, database: DatabaseClient) -> Deployment:
        await database.cordon(steps.uncordon, cordon=False)
        await database.cordon(steps.cordon, cordon=True)
        for pod in steps.clear_cost:
            await self._cost(pod, None)
        if steps.scale_to is None:
            return deployment
        for pod in steps.removable:
            await self._cost(pod, COST)  # every answer is awaited: the replica set must see all of them
        scaled = await self._children.scale(deployment, steps.scale_to)
        until = time.monotonic() + GOING_SECONDS
        self._going |= {pod.uid: until for pod in steps.removable}
        return scaled

    async def _cost(self, pod: Pod, cost: int | None) -> None:
        try:
            self._cache.pods.observe(await self._cluster.set_deletion_cost(pod, cost))
        except NotFound:
            logger.info("%s/%s: gone before its deletion cost was written", pod.namespace, pod.name)


def _at_rest(
    snapshot: QueueSnapshot | None, decision: Decision | None, deployment: Deployment | None, pods: Sequence[Pod]
) -> bool:
    """Nothing to do, nothing under way, and no window that time alone would open."""
    if snapshot is None or decision is None or deployment is None or decision.bound in _TIMED:
        return False
    quiet = snapshot.ready == 0 and snapshot.in_flight == 0 and snapshot.due_soon == 0
    return quiet and decision.desired == deployment.replicas == len(pods) and all(pod.ready for pod in pods)


def _reason(error: ClusterError) -> str:
    if isinstance(error, NameTaken):
        return "NameTaken"
    if isinstance(error, Forbidden):
        return "Forbidden"
    return "ApiServerUnreachable" if isinstance(error, Unreachable) else "TemplateRejected"
