"""The loops: one for each database with its JobQueues, and one above them that says which there are.

Owns the pace. A loop looks at its database when it is woken (notification, spec, pod, Deployment) and when the clock
says so, and treats all of its queues from that one look. One queue's failure stays its own.

A loop without a database reconciles too: its queues get a status and a Deployment, and keep their replicas.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from penstock.cancellation import end_all
from penstock.store import QueueState

from .database.client import DatabaseClient
from .database.limits import MEMORY_MIB
from .database.pauses import Pauses
from .database.sampler import DatabaseSampler
from .database.scope import SampleScope
from .declaring import Declaring
from .errors import Deposed
from .members import POLL_SECONDS, Member, pause_of, ready, soon_of
from .metrics import OperatorMetrics, Result
from .queue import Look, Queue
from .recent_waits import RecentWaits
from .resource import JobQueue
from .sampling import Address
from .vital import VitalSigns, place_of

logger = logging.getLogger("penstock.operator.reconcile")

SHORTEST_SECONDS = 0.02
"""Wake-ups closer together than this share one look."""
FOLLOWING_SECONDS = 0.2
BREATH = 3.0
"""Pause after a look, in lengths of that look: however many wake-ups come, a loop keeps a core busy for a quarter."""
LONGEST_BREATH_SECONDS = 5.0  # what waits is to be seen, even by a database whose looks take seconds
CHEAP_SECONDS = 0.3  # a breath that is longer is waited for before a sample of some queues as well
TOGETHER_SECONDS = 0.25
"""Queues that take longer to treat, while the API server is slow, go on beside the next look."""


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
    _waits: RecentWaits = field(default_factory=RecentWaits)
    _states: dict[str, QueueState] = field(default_factory=dict)
    scope: SampleScope = field(default_factory=SampleScope)
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
                    await self._follow(database)
                self.ticked_at = time.monotonic()
                await self._rest(pause, min(LONGEST_BREATH_SECONDS, BREATH * self._look_seconds))
                self.ticked_at = time.monotonic()  # a pause is no lack of progress
        finally:
            await end_all(self._working.values())
            self._forget(set())
            self._signs.end()
            if database is not None:
                await database.stop()

    def wake(self) -> None:
        """Sample all queues at once."""
        self.scope.want_all()
        self.woken.set()

    async def _rest(self, pause: float, breath: float) -> None:
        """Wait until something happens or so many seconds are over; a sample of all queues waits for the breath."""
        began = time.monotonic()
        await asyncio.sleep(SHORTEST_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, pause - SHORTEST_SECONDS)):
                await self.woken.wait()
        left = began + breath - time.monotonic()
        if left > 0 and (breath > CHEAP_SECONDS or not self._some_suffice()):
            await asyncio.sleep(left)

    async def _follow(self, database: DatabaseClient | None) -> None:
        """Another replica decides by now: what was remembered of our own decisions would be wrong afterwards."""
        for uid in self._queues:
            self.metrics.forget(self._seen[uid])
        for known in (self._queues, self._seen, self._treated):
            known.clear()
        self._declaring.forget()
        self._waits.forget()
        self.scope.want_all()
        self.pauses.succeeded()
        await (database.stand_by() if database is not None else asyncio.sleep(0))

    async def tick(self, database: DatabaseClient | None) -> float:
        """One sample of all queues, or of those that something happened to; seconds until the next, unless woken."""
        self._look_seconds = 0.0
        if database is not None and self._some_suffice():
            return await self._tick_some(database)
        states, problem = await self._look(database)
        if problem is not None:
            self.opened(None)
        self._states, members = dict(states), self.members()
        connected = database is not None and problem is None
        listening = connected and database is not None and database.listening
        look = Look(database=database, connected=connected, listening=listening, problem=problem)
        await self._begin_all(members, look)
        self._forget({member.queue.uid for member in members})
        if database is None or problem is not None:
            self.scope.want_all()
            return self.pauses.left
        await self._waits.read(database, states)
        await self._signs.look(database, [member.queue for member in members])
        pause = await self._pause(database, states, members)
        self.scope.sampled_all(self._sampled, pause)
        return pause

    def _some_suffice(self) -> bool:
        here = {one.queue.uid: one.queue.generation for one in self.members() if one.refusal is None}
        return not self.failing and self.scope.suffices(here)

    async def _tick_some(self, database: DatabaseClient) -> float:
        """The same for the queues that were notified, and for those whose JobQueue or children changed."""
        changed = [one for one in self.members() if one.queue.uid in self.dirty]
        names = [one.queue_name for one in changed if one.refusal is None and one.queue_name is not None]
        states = await self.sampler.sample_some(database, names, soon=soon_of(self._queues.values()))
        if states is None:
            self.scope.want_all()
            return 0.0
        self._look_seconds = self.sampler.seconds
        self._states.update(states)
        touched = [one for one in self.members() if one.queue.uid in self.dirty or one.queue_name in states]
        await self._begin_all(touched, Look(database=database, connected=True, listening=database.listening))
        for one in touched:
            self.scope.within(pause_of(one, self._queues.get(one.queue.uid), one.state(states)))
        await asyncio.sleep(min(LONGEST_BREATH_SECONDS, BREATH * self._look_seconds))  # a server decides how often
        return self.scope.left

    async def _begin_all(self, members: Sequence[Member], look: Look) -> None:
        """Begin what is due, and wait for it for a moment."""
        began, elsewhere = time.monotonic(), 0.0
        # Who waits comes first: a new leader looks after everybody's children, and that takes its time.
        for member in sorted(members, key=lambda one: not getattr(one.state(self._states), "ready", 0)):
            queue, state = member.queue, member.state(self._states)
            if look.connected and member.refusal is None and self._sampled.get(queue.uid) != queue.generation:
                self.wake()  # it has changed since: what its status says is to stand in the database before
                continue
            wrong = look.problem or self._declaring.refused.get(queue.uid)
            waited = None if state is None else self._waits.of(state.id)
            seen = replace(look, state=state, waited=waited, problem=wrong)
            if state is not None and member.refusal is None:
                self.metrics.seen(queue)
            if self._is_due(member, seen):
                self._begin(member, seen)
                yielded = time.monotonic()
                await asyncio.sleep(0)  # what has begun goes on meanwhile: hundreds may be due at once
                elsewhere += time.monotonic() - yielded
        self._look_seconds += time.monotonic() - began - elsewhere
        if self._working:
            await asyncio.wait(self._working.values(), timeout=TOGETHER_SECONDS)

    async def _look(self, database: DatabaseClient | None) -> tuple[Mapping[str, QueueState], tuple[str, str] | None]:
        wanted = {member.queue.uid: member.queue.generation for member in self.members()}
        if database is None:
            self.pauses.failed(wanted, self.problem or ("", ""))
            return {}, self.problem
        if (held := self.pauses.held(wanted)) is not None:
            return {}, held
        found = await self.sampler.sample(database, self._ours, soon=soon_of(self._queues.values()), opened=self.opened)
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

    def _is_due(self, member: Member, look: Look) -> bool:
        """False for a queue at rest about which nothing has changed; most queues, most of the time."""
        queue, uid = self._queues.get(member.queue.uid), member.queue.uid
        at_rest = queue is not None and queue.settled and time.monotonic() < queue.due_at
        return not at_rest or uid in self.dirty or self._treated.get(uid) != (member, look)

    def _begin(self, member: Member, look: Look) -> None:
        """Treat a queue in a task of its own; one that is still being treated is due again afterwards."""
        uid = member.queue.uid
        queue = self._queues.get(uid) or self._queues.setdefault(uid, self.make())
        hurries = ready(look) > 0 and (uid not in self._treated or ready(self._treated[uid][1]) == 0)
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
        here = [(member, member.state(states)) for member in members if member.refusal is None]
        database.rest(state.id for _, state in here if state is not None and state.ready == 0)
        pauses = (pause_of(one, self._queues.get(one.queue.uid), state) for one, state in here)
        return await database.pause(min([POLL_SECONDS, *pauses]))
