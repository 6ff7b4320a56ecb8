"""The input of one reconciliation, observed once: a sample of the database and the state of the cluster.

Frozen values only. `plan` reads an `Observation` and nothing else; nobody updates one while actions are applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from penstock.scaling import History, QueueSnapshot
from penstock.store import QueueState

from ..database.client import DatabaseClient
from ..resources.queue_schedules import QueueSchedules
from ..resources.resource import Deployment, JobQueue, Pod
from .pods.worker_pods import WorkerPod


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSample:
    """The part of a database sample that belongs to one queue.

    Args:
        database: the client that took it; None if the JobQueue has no database.
        connected: whether the sample succeeded.
        listening: whether LISTEN is active.
        state: of the queue; None if it could not be sampled.
        schedules: of the queue; None before they were listed.
        waited: seconds that 95 % of the attempts of the last minute waited at most; None if none finished.
        problem: reason and message why the queue could not be sampled.
    """

    database: DatabaseClient | None = None
    connected: bool = False
    listening: bool = False
    state: QueueState | None = None
    schedules: QueueSchedules | None = None
    waited: float | None = None
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The input of `plan`: one JobQueue with its Deployment, pods, workers and queue at one moment.

    Args:
        queue: the JobQueue.
        now: monotonic seconds.
        wall_time: seconds since the epoch.
        sample: of its database.
        snapshot: what the sample says about the queue; None if it could not be sampled.
        deployment: as last written or read; None if there is none yet.
        members: its pods that are not terminating, each with its worker and its role.
        ended: its pods that are terminating or have ended and are still listed.
        unowned: names of pods with the JobQueue's label that belong to another owner.
        waiting: seconds for which each pod that never served has existed, by uid.
        removing: uids of pods that a scale-down just released and the watch still shows.
        history: of the last decision; None before the first.
        startup_seconds: how long a pod of this queue takes to serve; None until one was observed.
    """

    queue: JobQueue
    now: float
    wall_time: float
    sample: QueueSample
    snapshot: QueueSnapshot | None = None
    deployment: Deployment | None = None
    members: tuple[WorkerPod, ...] = ()
    ended: tuple[Pod, ...] = ()
    unowned: tuple[str, ...] = ()
    waiting: Mapping[str, float]
    removing: frozenset[str] = frozenset()
    history: History | None = None
    startup_seconds: float | None = None

    @property
    def pods(self) -> list[Pod]:
        """The pods of `members`."""
        return [member.pod for member in self.members]

    def with_jobs_in_flight(self, counts: Mapping[int, int]) -> Observation:
        """The same with exact counts of the jobs in flight, by worker id; reports of workers lag."""
        members = []
        for one in self.members:
            worker = one.worker and replace(one.worker, in_flight=counts.get(one.worker.id, 0))
            members.append(replace(one, worker=worker))
        return replace(self, members=tuple(members))
