"""Scale-downs on real pods, with jobs longer than every window: none is interrupted.

The windows are those of scaling down (1 s), the poll (2 s) and, in a soak, the lease (15 s); each job takes longer. A
scale-down is one decrease of a Deployment's replicas. PENSTOCK_SCALE_DOWNS sets their number for each of two queues,
one scaled by hand and one by its jobs, and makes it a soak; PENSTOCK_SEED repeats a run's choices.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.cluster.faults.at_once import at_once
from tests.cluster.faults.fleet import Fleet

pytestmark = pytest.mark.timeout(3600)
SOAK = "PENSTOCK_SCALE_DOWNS" in os.environ
SCALE_DOWNS = int(os.environ.get("PENSTOCK_SCALE_DOWNS") or 3)
SEED = int(os.environ.get("PENSTOCK_SEED") or 15)
SECONDS = (15.5, 20.0) if SOAK else (3.0, 6.0)
MAX_REPLICAS = 3


class Decreases:
    """Counts decreases of a Deployment's replicas, each time that they are asked for."""

    def __init__(self, fleet: Fleet) -> None:
        fleet.until(lambda: fleet.found(fleet.path("deployments", group="apps/v1"))["items"], "its Deployment")
        self.count = 0
        self._fleet, self._path, self._last = fleet, fleet.deployment_path, 0

    def replicas(self) -> int:
        """Now; at least every 20 ms while somebody waits for them."""
        now = int(self._fleet.site.client.request("GET", self._path)["spec"]["replicas"])
        self.count += now < self._last
        self._last = now
        return now


def enqueue(fleet: Fleet, rng: random.Random, count: int) -> list[int]:
    return [job for _ in range(count) for job in fleet.enqueue("work", seconds=round(rng.uniform(*SECONDS), 2))]


@at_once
def test_scaling_down_by_hand_interrupts_no_job(fleet: Fleet):
    """Mode Fixed: `kubectl scale` to fewer while more jobs run than the pods that stay could run."""
    rng = random.Random(SEED)
    fleet.declare(replicas=0)
    decreases = Decreases(fleet)
    while decreases.count < SCALE_DOWNS:
        print(f"{fleet.name}: {decreases.count} scale-downs, {len(fleet.jobs)} jobs")
        before = rng.randint(2, MAX_REPLICAS)
        fleet.scale(before)
        fleet.until(lambda: decreases.replicas() == before, f"{before} replicas")  # noqa: B023 - used here
        fleet.until_serving(before)
        fleet.until_started(enqueue(fleet, rng, rng.randint(before, before * 2)))
        after = rng.randint(0, before - 1)
        fleet.scale(after)
        fleet.until(lambda: decreases.replicas() == after, f"{after} replicas")  # noqa: B023 - used here
    fleet.scale(1)
    fleet.until_done().each_ran_once()
    print(f"{fleet.name}: {decreases.count} scale-downs, {len(fleet.jobs)} jobs: none interrupted")


@at_once
def test_scaling_down_by_the_queue_interrupts_no_job(fleet: Fleet):
    """Mode Auto: bursts at random, so that pods leave while others still run."""
    rng = random.Random(SEED + 1)
    fleet.declare(scaling={"maxReplicas": MAX_REPLICAS, "target": {"queueLatencySeconds": 2}})
    decreases = Decreases(fleet)
    while decreases.count < SCALE_DOWNS:
        print(f"{fleet.name}: {decreases.count} scale-downs, {len(fleet.jobs)} jobs")
        enough = decreases.count + rng.randint(1, 2)
        jobs = enqueue(fleet, rng, rng.randint(3, MAX_REPLICAS * 2))
        fleet.until(lambda: decreases.replicas() >= 2, "two replicas")
        fleet.until_started(jobs)
        fleet.until(lambda: decreases.replicas() == 0 or decreases.count >= enough, "fewer")  # noqa: B023
    fleet.until_done().each_ran_once()
    print(f"{fleet.name}: {decreases.count} scale-downs, {len(fleet.jobs)} jobs: none interrupted")
