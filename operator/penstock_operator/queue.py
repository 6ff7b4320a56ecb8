"""One JobQueue, level-based: observe, decide, apply, tell. The same path for create, update, resume and tick.

Owns what one queue must remember between looks: the history of its decisions, its rates, who has just been let go.
Everything else is read anew each time, from the cluster and the database. An error of the cluster ends in a condition
and is tried again at the next look; it never leaves this queue.

Surprising: while the database cannot be looked at, `decide` gets no snapshot at all, so nothing moves.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from penstock.errors import StoreError
from penstock.scaling import Decision, History, QueueSnapshot, decide
from penstock.scaling.sampler import Sampler

from .cache import Cache
from .children import Children, Monitoring
from .cluster import Cluster
from .conditions import Facts
from .credentials import Credentials
from .database.client import DatabaseClient
from .database_reasons import reason_of
from .disruption import Disruption
from .errors import ClusterError, Conflict, Deposed, NotFound
from .failure import described, reason_of_call
from .first_history import first_history, wanted_replicas
from .fleet import Member, Role, worker_rows
from .fleet_view import FleetView, lost_text
from .look import Look
from .metrics import OperatorMetrics, Result
from .pod_ends import PodNews
from .quiet import at_rest
from .registrations import Registrations
from .replica_plan import ReplicaPlan
from .resource import Deployment, JobQueue, Pod
from .rest import Rest
from .scale_down import COST, ScaleDownPlan, plan_scale_down
from .second_scaler import ForeignScaler, SecondScaler
from .status import LastScale, stamp
from .teller import Teller
from .turns import Turn
from .worker_health import foreign, paused, restarts, trouble

__all__ = ["Look", "Queue"]

logger = logging.getLogger("penstock.operator.queue")

GOING_SECONDS = 10.0
"""For so long a pod that was let go is waited for; a survivor is then called back, or tried again."""


class Queue:
    """The reconciliation of one JobQueue.

    Args:
        cluster: the API server.
        cache: what it last said.
        metrics: of the operator.
        monitoring: whether PodMonitors are made.
        credentials: what a JobQueue's workers take from their Secret now, None while that is not known.
        problem: reason and sentence why a JobQueue has no address, None where it has one.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        metrics: OperatorMetrics,
        monitoring: Monitoring,
        credentials: Callable[[JobQueue], Credentials | None] = lambda _: None,
        problem: Callable[[JobQueue], tuple[str, str] | None] = lambda _: None,
    ) -> None:
        self._cluster, self._cache, self._metrics = cluster, cache, metrics
        self._credentials, self._problem = credentials, problem
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
        self._waiting_for, self._draining = "", 0
        self._blocked = False
        self._failing, self._acting, self._others = Rest(), Rest(), SecondScaler()
        self.settled, self.due_at = False, math.inf
        """Whether nothing is to be done before something changes, or before `due_at` of the monotonic clock."""

    @property
    def startup_seconds(self) -> float | None:
        """How long a pod of this queue takes until it serves; None while none was seen to start."""
        return self._fleet.startup_seconds

    async def treat(self, queue: JobQueue, look: Look, *, refusal: tuple[str, str] | None = None) -> Result:
        """Bring the cluster one step closer to what the queue needs, say what was found, and how it went."""
        facts = Facts(
            policy=queue.policy, refusal=refusal, database=self._problem(queue) or look.problem,
            connected=look.connected, listening=look.listening,
        )  # fmt: skip
        self.settled, self.due_at = refusal is not None or queue.deleting, math.inf
        if refusal is None and queue.policy is not None and not queue.deleting:
            facts = await self._attempt(queue, look, facts)
        busy = 0 if look.state is None else sum(1 for one in look.state.workers if one["in_flight"])
        if not queue.deleting and not await self._teller.tell(queue, facts, busy=busy, scaled=self._scaled):
            self.settled = False
        self.due_at = min(self.due_at, self._teller.due_at)
        self._metrics.observe(queue, facts, paused=None if look.state is None else look.state.paused)
        if refusal is not None or facts.failure is not None:
            return Result.REFUSED if refusal is not None else Result.FAILED
        return Result.BLIND if look.state is None else Result.BLOCKED if self._blocked else Result.DONE

    def forget(self, queue: JobQueue) -> None:
        """The JobQueue is gone, and its series go too; or it has another database now, and they stay."""
        self._disruption.cancel()
        if queue.uid not in self._cache.jobqueues.views:
            self._metrics.forget(queue)

    async def _attempt(self, queue: JobQueue, look: Look, facts: Facts) -> Facts:
        """Act; an exception that nobody expected is a condition, one traceback, and a pause that grows."""
        try:
            self._failing.check(queue.generation)
            await self._fleet.observe(self._cache.pods_of(queue), look.state, look.database, time.monotonic())
            facts = await self._act(queue, look, facts)
            if look.database is not None and look.state is not None:
                await self._pod_news.tell(look.database, look.state.id, queue, self._cache)
        except Deposed:
            raise
        except Exception as error:
            if error is not self._failing.error:
                self._metrics.failures.inc()
            if self._failing.failed(queue.generation, error):
                logger.exception("%s: the reconciliation failed", queue.where)
            self.settled, self.due_at = True, self._failing.until or math.inf
            members = self._fleet.members(self._cache.pods_of(queue), look.state)
            return replace(self._with_pods(queue, facts, members), failure=described(error))
        self._failing.succeeded()
        return facts

    async def _act(self, queue: JobQueue, look: Look, facts: Facts) -> Facts:
        assert queue.policy is not None
        snapshot = self._snapshot(queue, look, now := time.monotonic())
        deployment, workers = await self._ensure(queue)
        decision, settled, stuck, database, second = None, False, deployment is None, facts.database, ""
        if deployment is not None:
            members = self._fleet.members(self._cache.pods_of(queue), look.state)
            history = self._history or first_history(self._cache, queue, deployment, members, now)
            decision = decide(snapshot, queue.policy, history, now)
            second = self._others.observe(deployment, decision.desired)
            self.due_at = min(self.due_at, self._others.due_at)
            try:
                self._others.check()
                self._acting.check(queue.generation)
                deployment, decision = await self._towards(queue, deployment, decision, look)
                self._history, settled = decision.history, decision.desired == history.desired
                self._acting.succeeded()
            except Conflict as error:
                logger.info("%s: %s; decided again at the next look", queue.where, error)
            except ForeignScaler:
                stuck = True
            except (ClusterError, StoreError) as error:
                stuck, (workers, database) = True, self._not_scaled(queue, error, workers, database)
        pods = self._cache.pods_of(queue)
        members = self._fleet.members(pods, look.state)
        known = [one.pod for one in members if one.role is not Role.LOST]
        elsewhere = self._registrations.observe(known, None if look.state is None else look.state.workers, now)
        self._blocked = workers is not None
        protects = self._disruption.observe(queue, None if look.state is None else worker_rows(look.state.workers), now)
        quiet = at_rest(snapshot, decision, deployment, pods) and not (self._registrations.pending or protects)
        self.settled = stuck or (settled and quiet)
        return replace(
            self._with_pods(queue, facts, members),
            database=database,
            decision=decision,
            snapshot=snapshot,
            second_scaler=second,
            workers=workers or paused(deployment) or self._trouble(queue, deployment, pods, decision) or elsewhere,
            waited=look.waited,
        )

    async def _ensure(self, queue: JobQueue) -> tuple[Deployment | None, tuple[str, str] | None]:
        """The Deployment, and what keeps the children from being as they should."""
        try:
            deployment: Deployment | None = await self._children.ensure(queue, self._credentials(queue))
            problem = self._children.problem
        except ClusterError as error:
            problem = error
            deployment = self._children.held(queue)  # a template that is refused does not stop what runs
        if problem is None:
            return deployment, None
        self.due_at = self._children.resting_until  # what the template alone decides heals with it alone
        return deployment, (reason_of_call(problem), str(problem))

    def _with_pods(self, queue: JobQueue, facts: Facts, members: Sequence[Member]) -> Facts:
        pods, strangers = [one.pod for one in members], self._cache.foreign_pods_of(queue)
        return replace(
            facts,
            existing=len(pods),
            ready=sum(one.pod.ready and one.role is not Role.LOST for one in members),
            foreign_cost=", ".join(sorted({pod.foreign_cost for pod in pods if pod.foreign_cost})),
            lost=lost_text(members),
            draining=self._draining,
            drain_waits_for=self._waiting_for,
            warnings=(*self._children.warnings, *restarts(pods, now=time.time()), *foreign(strangers)),
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

    def _not_scaled(
        self, queue: JobQueue, error: ClusterError | StoreError,
        workers: tuple[str, str] | None, database: tuple[str, str] | None,
    ) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:  # fmt: skip
        if self._acting.failed(queue.generation, error):
            logger.warning("%s: not scaled: %s", queue.where, error)
        self.due_at = min(self.due_at, self._acting.until or math.inf)
        if isinstance(error, ClusterError):
            return workers or (reason_of_call(error), str(error)), database
        return workers, database or (reason_of(error), str(error))

    async def _towards(
        self, queue: JobQueue, deployment: Deployment, decision: Decision, look: Look
    ) -> tuple[Deployment, Decision]:
        """Add at once; remove only what has drained. The decision comes back with what is asked for beside it."""
        before, starts = deployment.replicas, self.startup_seconds
        members = self._fleet.members(self._cache.pods_of(queue), look.state)
        replicas = wanted_replicas(self._cache, queue, deployment, decision.desired, members, starts=starts)
        decision = replace(decision, explanation=replicas.explained(decision.explanation))
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
            await self._teller.scaled(queue, before, deployment.replicas, decision)
        return deployment, decision

    def _plan(
        self, queue: JobQueue, deployment: Deployment, replicas: ReplicaPlan, look: Look,
        held: Mapping[int, int] | None = None,
    ) -> ScaleDownPlan | None:  # fmt: skip
        """None without a look: who holds what cannot be known, so nobody is asked to leave."""
        pods, now = self._cache.pods_of(queue), time.monotonic()
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
