"""The momentary numbers of a worker: read by the probes at each scrape, exported by the metrics.

A frozen value between the two: a renamed number is an error of the type checker and not a series at zero.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """One reading. The defaults are those of a worker that has not started.

    Attributes:
        busy_slots: attempts that run.
        idle_slots: slots without an attempt.
        open_demand: jobs asked for and not claimed yet.
        waiting_jobs: claimed jobs that wait for a slot.
        unacknowledged_outcomes: outcomes that the database has not accepted yet.
        prefetching: jobs are short enough to be claimed ahead of free slots.
        leading: this process is the maintenance leader.
        rescued_lease: claims reclaimed because a lease expired, since the start.
        rescued_poison: dead letters made of jobs that crashed their workers, since the start.
        rescued_deadline: attempts reclaimed at their queue's deadline, since the start.
        maintenance_succeeded_at: when maintenance last finished without an error; 0: never. As the following two in
            seconds of the Unix epoch.
        lease_renewed_at: when the last confirmed renewal was sent; 0: never.
        oldest_running_at: when the oldest claim arrived; 0: there is none.
    """

    busy_slots: int = 0
    idle_slots: int = 0
    open_demand: int = 0
    waiting_jobs: int = 0
    unacknowledged_outcomes: int = 0
    prefetching: bool = False
    leading: bool = False
    rescued_lease: int = 0
    rescued_poison: int = 0
    rescued_deadline: int = 0
    maintenance_succeeded_at: float = 0.0
    lease_renewed_at: float = 0.0
    oldest_running_at: float = 0.0
