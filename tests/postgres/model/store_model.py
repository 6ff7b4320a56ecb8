"""What the store ought to do, in plain Python: the model of the state machine test.

Knows jobs, keys, workers and limits; no SQL, no clock, no randomness. Where the store may choose (which level's job a
claim's floor brings), the model takes what was chosen and checks that it was allowed.
a redriven dead letter that kept its key until its start keeps it until its next start.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.postgres.model.store_values import LIVE, Attempt, Job, Refused, Spec, Worker

MAX_ATTEMPTS = 5


@dataclass(slots=True)
class Model:
    jobs: dict[int, Job] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    stored: dict[tuple[int, int], str] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    limits: dict[str, int] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)

    def ids(self, *places: str) -> list[int]:
        return [job.id for job in self.jobs.values() if job.place in places]

    def running(self, queue: str) -> int:
        return sum(job.place == "running" and job.spec.queue == queue for job in self.jobs.values())

    def holder(self, queue: str, key: str | None) -> Job | None:
        """The live job that has the key."""
        found = [j for j in self.jobs.values() if j.place in LIVE and j.key == key and j.spec.queue == queue]
        assert key is None or len(found) <= 1
        return found[0] if key is not None and found else None

    # -- entering -----------------------------------------------------------------------------------------------

    def refuses(self, specs: Sequence[Spec]) -> bool:
        """Whether this enqueue is refused as a whole."""
        try:
            copy.deepcopy(self).enqueue(specs, [-1 - n for n in range(len(specs))])
        except Refused:
            return True
        return False

    def enqueue(self, specs: Sequence[Spec], fresh: Sequence[int]) -> list[int]:
        """The ids to be answered, if new jobs get those of `fresh`; jobs with keys come last, by key."""
        answer = list(fresh)
        for n in sorted(range(len(specs)), key=lambda n: (specs[n].key or "", n)):
            spec = specs[n]
            holder = self.holder(spec.queue, spec.key)
            if holder is not None and not holder.spec.expired:
                if spec.refuse:
                    raise Refused
                answer[n] = holder.id
                continue
            if holder is not None:
                holder.key = holder.kept = None
            assert fresh[n] not in self.jobs
            kept = spec.key if spec.until_start else None
            place = "scheduled" if spec.deferred else "queued"
            self.jobs[fresh[n]] = Job(fresh[n], spec, place, key=spec.key, kept=kept)
        return answer

    def promote(self) -> int:
        due = [job for job in self.jobs.values() if job.place == "scheduled" and job.due is not None]
        for job in due:
            self._ready(job)
        return len(due)

    def retry_now(self, ids: Iterable[int]) -> int:
        found = [self.jobs[one] for one in ids if self.jobs[one].place == "scheduled"]
        for job in found:
            self._ready(job)
        return len(found)

    def redrive(self, ids: Sequence[int], *, drop_key: bool) -> dict[int, int | None]:
        answer: dict[int, int | None] = {}
        for job in (self.jobs[one] for one in sorted(ids) if self.jobs[one].place == "dead"):
            key = None if drop_key else job.key
            holder = self.holder(job.spec.queue, key)
            answer[job.id] = holder.id if holder else None
            if holder is None:
                job.attempt = job.crashes = 0
                job.key, job.kept = key, None if drop_key else job.kept
                self._ready(job)
        return answer

    def discard(self, ids: Iterable[int]) -> int:
        found = [self.jobs[one] for one in ids if self.jobs[one].place == "dead"]
        for job in found:
            job.place = "discarded"
        return len(found)

    # -- running ------------------------------------------------------------------------------------------------

    def may_claim(self, worker: int) -> bool:
        known = self.workers.get(worker)
        return known is not None and known.state == "running" and not known.lapsed

    def claimable(self, worker: int, maximum: int) -> int:
        """How many jobs a claim must bring."""
        queue = self.workers[worker].queue
        if queue in self.paused or (queue in self.limits and queue not in self.counted):
            return 0
        ready = sum(job.place == "queued" and job.spec.queue == queue for job in self.jobs.values())
        room = max(self.limits[queue] - self.running(queue), 0) if queue in self.limits else maximum
        return min(ready, maximum, room)

    def claimed(self, worker: int, token: int, ids: Sequence[int]) -> None:
        """Take what the store chose; it must be the oldest of each level, and no more than a floor of a lower one."""
        queue = self.workers[worker].queue
        assert len(set(ids)) == len(ids)
        assert all(self.jobs[one].place == "queued" and self.jobs[one].spec.queue == queue for one in ids)
        left_over = False
        for priority in range(4):
            level = [j for j in self.jobs.values() if j.place == "queued" and j.spec.queue == queue]
            level = sorted((j for j in level if j.spec.priority == priority), key=lambda j: j.ord or 0)
            taken = [job for job in level if job.id in ids]
            assert taken == level[: len(taken)], "a claim takes the oldest of a level"
            assert not left_over or len(taken) <= 1, "a lower level gets its floor and no more"
            left_over = left_over or len(taken) < len(level)
        for job in (self.jobs[one] for one in ids):
            job.claim = Attempt(job.id, token, worker)
            job.place, job.attempt = "running", job.attempt + 1
            job.key = None if job.kept is not None else job.key
            self.attempts.append(job.claim)

    def ack(self, outcomes: Sequence[tuple[Attempt, str]]) -> set[tuple[int, int, str | None]]:
        """What is reported back: everything that was not accepted as it was sent."""
        answer: set[tuple[int, int, str | None]] = set()
        for attempt, sent in outcomes:
            job, name = self.jobs[attempt.job], (attempt.job, attempt.token)
            if job.claim != attempt:
                if (stored := self.stored.get(name)) != sent:
                    answer.add((*name, stored))
                continue
            state = "cancelled" if job.cancel else sent
            if state != sent:
                answer.add((*name, state))
            if state != "snooze":
                self.stored[name] = state
            self._end(job, state)
        return answer

    def _end(self, job: Job, state: str) -> None:
        if state in {"retry", "snooze"}:
            job.attempt -= state == "snooze"
            job.kept = None
            self._defer(job)
            return
        job.place = "dead" if state == "failed" else state
        job.key, job.claim, job.cancel = (job.key or job.kept if state == "failed" else None), None, False

    def release(self, attempts: Sequence[Attempt]) -> int:
        """Release; how many went. Keys are taken again in the order of the keys."""
        ours = [self.jobs[one.job] for one in attempts if self.jobs[one.job].claim == one]
        for job in [job for job in ours if job.cancel]:
            assert job.claim is not None
            self.stored[job.id, job.claim.token] = "cancelled"
            self._end(job, "cancelled")
        back = [job for job in ours if job.claim is not None]
        for job in back:
            job.attempt -= 1
            self._ready(job)
        for job in sorted((job for job in back if job.kept and not job.key), key=lambda job: (job.kept or "", job.ord)):
            job.key = job.kept if self.holder(job.spec.queue, job.kept) is None else None
            job.kept = job.key
        return len(back)

    def cancel(self, ids: Iterable[int]) -> dict[int, str]:
        answer = {}
        for job in (self.jobs[one] for one in ids if self.jobs[one].place in LIVE):
            answer[job.id] = "cancelling" if job.place == "running" else "cancelled"
            if job.place == "running":
                job.cancel = True
            else:
                self._end(job, "cancelled")
        return answer

    # -- workers ------------------------------------------------------------------------------------------------

    def release_claim(self, worker: int, token: int) -> int:
        """Release what is left of a claim."""
        claims = [job.claim for job in self.jobs.values() if job.claim]
        return self.release(sorted((a for a in claims if (a.worker, a.token) == (worker, token)), key=lambda a: a.job))

    def overdue(self, ids: Iterable[int]) -> tuple[int, int]:
        """Running jobs past their deadline: how many are deferred, how many were at their last attempt."""
        retried = buried = 0
        for job in (self.jobs[one] for one in ids):
            last = job.attempt >= MAX_ATTEMPTS
            retried += not job.cancel and not last
            buried += not job.cancel and last
            self._end(job, "cancelled" if job.cancel else "failed" if last else "retry")
        return retried, buried

    def rescue(self, *, strays: bool = False) -> tuple[int, int, int]:
        """Workers newly lost, jobs reclaimed, jobs poisoned; `strays`: also of workers that vanished."""
        newly = [worker for worker in self.workers.values() if worker.lapsed and worker.state != "lost"]
        for worker in newly:
            worker.state = "lost"
        lost = {number for number, worker in self.workers.items() if worker.state == "lost" and not worker.swept}
        rescued = poisoned = 0
        for job in self.jobs.values():
            gone = job.claim is not None and (strays or lost) and job.claim.worker not in self.workers
            if job.claim is None or not (job.claim.worker in lost or gone):
                continue
            job.crashes += 1
            if job.cancel:
                self._end(job, "cancelled")
            elif job.crashes > 2:
                poisoned += 1
                self._end(job, "failed")
            else:
                rescued += 1
                self._end(job, "retry")
        for number in lost:
            self.workers[number].swept = True
        return len(newly), rescued, poisoned

    def renew(
        self, worker: int, attempts: Sequence[Attempt], *, drained: bool
    ) -> tuple[str | None, set[int], set[int]]:
        """The worker's state, the fenced and the cancelled ids."""
        known = self.workers.get(worker)
        if known is not None and known.state != "lost":
            known.lapsed = False
            known.state = "drained" if known.state == "cordoned" and drained else known.state
        fenced = {a.job for a in attempts if self.jobs[a.job].claim != a and (a.job, a.token) not in self.stored}
        flagged = {a.job for a in attempts if self.jobs[a.job].claim == a and self.jobs[a.job].cancel}
        return known.state if known else None, fenced, flagged

    def cordon(self, worker: int, *, cordon: bool) -> bool:
        known = self.workers[worker]
        if known.state not in (("running",) if cordon else ("cordoned", "drained")):
            return False
        known.state = "cordoned" if cordon else "running"
        return True

    def start_drain(self, worker: int) -> str:
        known = self.workers[worker]
        known.state = "lost" if known.state == "lost" else "draining"
        return known.state

    def deregister(self, worker: int) -> bool:
        """Whether it leaves empty; otherwise it is lost at once."""
        empty = all(job.claim is None or job.claim.worker != worker for job in self.jobs.values())
        if self.workers[worker].state != "lost":
            if empty:
                del self.workers[worker]
            else:
                self.workers[worker].state, self.workers[worker].lapsed = "lost", True
        return empty

    # -- moves --------------------------------------------------------------------------------------------------

    def _ready(self, job: Job) -> None:
        job.place, job.claim, job.due, job.ord = "queued", None, None, None  # ord: to be read, and fresh

    def _defer(self, job: Job) -> None:
        job.place, job.claim, job.due, job.ord = "scheduled", None, None, None
