"""The loops: one for each database with its JobQueues, and one above them that says which there are.

Owns the pace. A loop looks at its database when it is woken (notification, spec, pod, Deployment) and when the clock
says so, and treats all of its queues from that one look. One queue's failure stays its own.

Surprising: a loop without a database is a loop too. Queues whose Secret cannot be read are treated from it, so that
they get their status and their Deployment, while their replicas stay as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.errors import StoreError
from penstock.store import QueueState, end_all

from .database.client import DatabaseClient
from .database.limits import MEMORY_MIB
from .database.pauses import Pauses
from .database.sampler import DatabaseSampler
from .declaring import Declaring
from .errors import Deposed
from .metrics import OperatorMetrics, Result
from .queue import Look, Queue
from .resource import JobQueue
from .sampling import SOON_SECONDS, Address
from .vital import VitalSigns, place_of

logger = logging.getLogger("penstock.operator.reconcile")

SHORTEST_SECONDS = 0.02
"""Wake-ups closer together than this share one look."""
MOVING_SECONDS, BUSY_SECONDS = 0.5, 1.0
DEFERRED_SECONDS = 2.0  # the replicas for a job that falls due between two polls are to start before that
FOLLOWING_SECONDS = 0.2
BREATH = 3.0
"""Pause after a look, in lengths of that look: however many wake-ups come, a loop keeps a core busy for a quarter."""
LONGEST_BREATH_SECONDS = 5.0  # what waits is to be seen, even by a database whose looks take seconds
TOGETHER_SECONDS = 0.25
"""Queues that take longer to treat, while the API server is slow, go on beside the next look."""
SOONEST_SECONDS = 60.0
"""What is due later than that is never counted as due soon, however slow the slowest queue's pods start."""
WORKED_SECONDS = 60.0
"""For so long after the last worker what jobs waited is still asked."""


@dataclass(frozen=True, slots=True)
class Member:
    """A JobQueue of a loop, with what makes it refused, if anything does."""

    queue: JobQueue
    refusal: tuple[str, str] | None = None


@dataclass(slots=True, kw_only=True)
class DatabaseLoop:
    """The reconciliation of all JobQueues of one database.

    Args:
        address: of the database; None where `problem` says why there is none.
        holder: names this operator in the database's leader row.
        members: gives the JobQueues as they are now.
        make: makes the reconciliation of one queue.
        metrics: of the operator.
        may_act: False while another replica leads.
        pauses: after failures of the database.
        opened: told the database's own identity before anything is done with it, None after a look that failed.
    """

    address: Address | None
    holder: str
    members: Callable[[], Sequence[Member]]
    make: Callable[[], Queue]
    metrics: OperatorMetrics
    may_act: Callable[[], bool]
    opened: Callable[[str | None], None]
    problem: tuple[str, str] | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ticked_at: float = field(default_factory=time.monotonic)
    dirty: set[str] = field(default_factory=set)
    _queues: dict[str, Queue] = field(default_factory=dict)
    _seen: dict[str, JobQueue] = field(default_factory=dict)
    _sampled: dict[str, int] = field(default_factory=dict)
    _treated: dict[str, tuple[Member, Look]] = field(default_factory=dict)
    _declaring: Declaring = field(default_factory=Declaring)
    sampler: DatabaseSampler = field(init=False)
    _working: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    pauses: Pauses = field(default_factory=Pauses)
    memory_mib: int = MEMORY_MIB
    _look_seconds: float = 0.0
    _worked_at: float = float("-inf")
    _signs: VitalSigns = field(init=False)

    def __post_init__(self) -> None:
        self._signs = VitalSigns(metrics=self.metrics)
        self.sampler = DatabaseSampler(self._declaring, self.metrics, self._name)

    @property
    def failing(self) -> bool:
        """Whether the last look did not succeed."""
        return self.pauses.failing

    async def run(self) -> None:
        """Look, treat and wait until cancelled."""
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
                if self.may_act():
                    pause = await self.tick(database)
                else:
                    pause = FOLLOWING_SECONDS
                    self._follow()
                self.ticked_at = time.monotonic()
                breath = max(SHORTEST_SECONDS, min(LONGEST_BREATH_SECONDS, BREATH * self._look_seconds))
                await asyncio.sleep(breath)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause - breath)):
                        await self.woken.wait()
                self.ticked_at = time.monotonic()  # a pause is no lack of progress
        finally:
            await end_all(self._working.values())
            self._forget(set())
            self._signs.end()
            if database is not None:
                await database.stop()

    def _follow(self) -> None:
        """Another replica decides by now: what was remembered of our own decisions would be wrong afterwards."""
        for uid in self._queues:
            self.metrics.forget(self._seen[uid])
        for known in (self._queues, self._seen, self._treated):
            known.clear()
        self._declaring.forget()
        self.pauses.succeeded()

    async def tick(self, database: DatabaseClient | None) -> float:
        """One look at all queues and what follows; seconds until the next, unless woken."""
        self._look_seconds = 0.0
        states, problem = await self._look(database)
        if problem is not None:
            self.opened(None)
        members, waits = self.members(), await self._waits(database, states)
        connected = database is not None and problem is None
        listening = connected and database is not None and database.listening
        look = Look(database=database, connected=connected, listening=listening, problem=problem)
        began, elsewhere = time.monotonic(), 0.0
        # Who waits comes first: a new leader looks after everybody's children, and that takes its time.
        for member in sorted(members, key=lambda one: not getattr(_state(states, one), "ready", 0)):
            if connected and member.refusal is None and self._sampled.get(member.queue.uid) != member.queue.generation:
                self.woken.set()  # it has changed since: what its status says is to stand in the database before
                continue
            state = _state(states, member)
            wrong = look.problem or self._declaring.refused.get(member.queue.uid)
            seen = replace(look, state=state, waited=None if state is None else waits.get(state.id), problem=wrong)
            if seen.state is not None and member.refusal is None:
                self.metrics.seen(member.queue)
            if self._is_due(member, seen):
                self._begin(member, seen)
                yielded = time.monotonic()
                await asyncio.sleep(0)  # what has begun goes on meanwhile: hundreds may be due at once
                elsewhere += time.monotonic() - yielded
        self._look_seconds += time.monotonic() - began - elsewhere
        if self._working:
            await asyncio.wait(self._working.values(), timeout=TOGETHER_SECONDS)
        self._forget({member.queue.uid for member in members})
        if database is None or problem is not None:
            return self.pauses.left
        await self._signs.look(database, [member.queue for member in members])
        return await self._pause(database, states, members)

    async def _look(self, database: DatabaseClient | None) -> tuple[Mapping[str, QueueState], tuple[str, str] | None]:
        wanted = {member.queue.uid: member.queue.generation for member in self.members()}
        if database is None:
            self.pauses.failed(wanted, self.problem or ("", ""))
            return {}, self.problem
        if (held := self.pauses.held(wanted)) is not None:
            return {}, held
        starts = [queue.startup_seconds or SOON_SECONDS for queue in self._queues.values()]
        soon = min(SOONEST_SECONDS, max(starts, default=SOON_SECONDS) + DEFERRED_SECONDS)
        found = await self.sampler.sample(database, self._ours, soon=soon, opened=self.opened)
        self._look_seconds = self.sampler.seconds
        self.pauses.ended(wanted, found[1])
        return found

    def _ours(self) -> list[JobQueue]:
        found = [member.queue for member in self.members() if member.refusal is None]
        self._sampled = {queue.uid: queue.generation for queue in found}
        return found

    def _name(self) -> str:
        """What log lines call the database: the first of the Secrets that lead to it."""
        place = place_of(member.queue for member in self.members())
        return "database" if place is None else f"database of Secret {'/'.join(place)}"

    async def _waits(self, database: DatabaseClient | None, states: Mapping[str, QueueState]) -> Mapping[int, float]:
        """What jobs waited lately, while any may have ended; it is for people: an error of it is no trouble."""
        if any(state.workers for state in states.values()):
            self._worked_at = time.monotonic()
        if database is None or time.monotonic() - self._worked_at > WORKED_SECONDS:
            return {}
        try:
            return await database.waits()
        except StoreError:
            return {}

    def _is_due(self, member: Member, look: Look) -> bool:
        """False for a queue at rest about which nothing has changed; most queues, most of the time."""
        queue, uid = self._queues.get(member.queue.uid), member.queue.uid
        at_rest = queue is not None and queue.settled and time.monotonic() < queue.due_at
        return not at_rest or uid in self.dirty or self._treated.get(uid) != (member, look)

    def _begin(self, member: Member, look: Look) -> None:
        """Treat a queue in a task of its own; one that is still being treated is due again afterwards."""
        uid = member.queue.uid
        queue = self._queues.get(uid) or self._queues.setdefault(uid, self.make())
        hurries = _ready(look) > 0 and (uid not in self._treated or _ready(self._treated[uid][1]) == 0)
        if uid in self._working:
            self.dirty.add(uid)
            if hurries and queue.turn.waits:  # behind the repairs of others, while its own jobs have come
                self._working[uid].cancel()
            return
        queue.turn.hurries = hurries
        self.dirty.discard(uid)
        self._seen[uid], self._treated[uid] = member.queue, (member, look)
        task = asyncio.create_task(self._treat(queue, member, look), name=f"treat {member.queue.where}")
        self._working[uid] = task
        task.add_done_callback(lambda _: self._done(uid))

    def _done(self, uid: str) -> None:
        self._working.pop(uid, None)
        if uid in self.dirty:
            self.woken.set()

    async def _treat(self, queue: Queue, member: Member, look: Look) -> None:
        began, result = time.monotonic(), Result.FAILED
        try:
            result = await queue.treat(member.queue, look, refusal=member.refusal)
        except Deposed as error:
            logger.info("%s: %s", member.queue.where, error)
            result = Result.BLOCKED
        except Exception:  # one bad JobQueue never disturbs the others
            self.metrics.failures.inc()
            logger.exception("%s: the reconciliation failed", member.queue.where)
        self.metrics.reconciled(result, time.monotonic() - began)

    def _forget(self, kept: set[str]) -> None:
        for uid in self._queues.keys() - kept - self._working.keys():
            self._queues.pop(uid).forget(self._seen.pop(uid))
            self._treated.pop(uid, None)
            self._declaring.forget(uid)
            self.dirty.discard(uid)

    async def _pause(
        self, database: DatabaseClient, states: Mapping[str, QueueState], members: Sequence[Member]
    ) -> float:
        """Short while something moves, a second while there is work, else until somebody wants to look again."""
        here = [(member, _state(states, member)) for member in members if member.refusal is None]
        database.rest(state.id for _, state in here if state is not None and state.ready == 0)
        longest = min([15.0, *(_poll(member) for member, _ in here)])
        for member, state in here:
            queue = self._queues.get(member.queue.uid)
            if queue is None or not queue.settled:
                longest = min(longest, BUSY_SECONDS if state is not None and state.ready else MOVING_SECONDS)
            else:
                longest = min(longest, max(MOVING_SECONDS, queue.due_at - time.monotonic()))
            if state is not None and state.deferred:
                longest = min(longest, DEFERRED_SECONDS)
        return await database.pause(longest)


def _state(states: Mapping[str, QueueState], member: Member) -> QueueState | None:
    return None if member.queue.policy is None else states.get(member.queue.policy.queue_name)


def _ready(look: Look) -> int:
    return 0 if look.state is None else look.state.ready


def _poll(member: Member) -> float:
    policy = member.queue.policy
    return 15.0 if policy is None else float(policy.scaling.activation.poll_period_seconds)
