"""The eight conditions of a JobQueue, from facts. Pure; every condition is there from the first status on.

Each layer keeps its own condition, so that trouble in one does not hide in another; Ready is their summary. Reasons are
one CamelCase word, messages one sentence that names what to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from penstock.jobqueue.policy import Mode, QueuePolicy, StopPolicy
from penstock.scaling import Bound, Decision, QueueSnapshot

from .sanitize import sanitized

TYPES: Final = (
    "Ready",
    "DatabaseReachable",
    "Listening",
    "WorkersAvailable",
    "ScalingActive",
    "ScalingLimited",
    "LatencyTargetMet",
    "Draining",
)
MESSAGE_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one reconciliation has found out.

    `database` and `workers` are (reason, sentence) of what is wrong there, None while nothing is. `refusal` keeps the
    queue from being treated at all: its spec is invalid, or another JobQueue has its queue. `foreign_cost` names who
    else writes the pods' deletion cost, `second_scaler` who else sets the replicas. `lost` names the pods whose worker
    is lost; `ready` does not count them. `warnings` are sentences about the pod template. `failure` is an exception
    that nobody expected.
    """

    policy: QueuePolicy | None
    refusal: tuple[str, str] | None = None
    failure: tuple[str, str] | None = None
    database: tuple[str, str] | None = None
    connected: bool = False
    listening: bool = False
    workers: tuple[str, str] | None = None
    lost: str = ""
    existing: int = 0
    ready: int = 0
    draining: int = 0
    drain_waits_for: str = ""
    second_scaler: str = ""
    foreign_cost: str = ""
    warnings: tuple[str, ...] = ()
    decision: Decision | None = None
    snapshot: QueueSnapshot | None = None
    waited: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One condition without its times."""

    status: str
    reason: str
    message: str


def verdicts(facts: Facts) -> dict[str, Verdict]:
    """Every condition by type."""
    found = {
        "DatabaseReachable": _database(facts),
        "Listening": _listening(facts),
        "WorkersAvailable": _warned(_workers(facts), facts.warnings),
        "ScalingActive": _active(facts),
        "ScalingLimited": _limited(facts),
        "LatencyTargetMet": _latency(facts),
        "Draining": _draining(facts),
    }
    return {"Ready": _ready(facts, found), **found}


def conditions(facts: Facts, *, generation: int, now: str, before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conditions as the API wants them; `lastTransitionTime` moves only with the status."""
    held = {one.get("type"): one for one in before}
    made = []
    for kind, verdict in verdicts(facts).items():
        old = held.get(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == verdict.status else None
        made.append(
            {
                "type": kind,
                "status": verdict.status,
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
                "reason": verdict.reason,
                "message": sanitized(verdict.message, MESSAGE_LENGTH),
            }
        )
    return made


def _ready(facts: Facts, found: Mapping[str, Verdict]) -> Verdict:
    if facts.refusal is not None:
        return Verdict("False", *facts.refusal)
    if facts.failure is not None:
        return Verdict("False", *facts.failure)
    if found["DatabaseReachable"].status != "True":
        status = found["DatabaseReachable"].status
        return Verdict(status, "DatabaseUnreachable", found["DatabaseReachable"].message)
    if facts.policy is not None and facts.policy.stop_policy is not StopPolicy.NONE:
        return Verdict("False", "Stopped", f"stopPolicy is {facts.policy.stop_policy.value}: no job is claimed.")
    if found["WorkersAvailable"].status == "False":
        return Verdict("False", "WorkersUnavailable", found["WorkersAvailable"].message)
    return Verdict("True", "Ready", "The database is reachable and the workers are as they should be.")


def _database(facts: Facts) -> Verdict:
    if facts.database is not None:
        return Verdict("False", *facts.database)
    if not facts.connected:
        return Verdict("Unknown", "Connecting", "The database has not been looked at yet.")
    return Verdict("True", "Connected", "The last look at the queue succeeded.")


def _listening(facts: Facts) -> Verdict:
    if facts.listening:
        return Verdict("True", "Subscribed", "Wake-ups arrive by notification.")
    return Verdict("False", "PollingOnly", "No wake-ups arrive; the queue is looked at by the clock.")


def _warned(verdict: Verdict, warnings: Sequence[str]) -> Verdict:
    return replace(verdict, message=" ".join((verdict.message, *warnings)))


def _workers(facts: Facts) -> Verdict:
    if facts.workers is not None:
        return Verdict("False", *facts.workers)
    if facts.failure is not None:
        return Verdict("Unknown", *facts.failure)
    desired = facts.decision.desired if facts.decision is not None else 0
    if facts.refusal is not None or (desired == 0 and facts.existing == 0):
        return Verdict("True", "NoneNeeded", "No worker is needed.")
    if facts.lost and desired > 0:
        return Verdict("True" if facts.ready else "False", "WorkersLost", facts.lost)
    if facts.ready >= desired:
        return Verdict("True", "AllReady", f"{facts.ready} of {desired} workers are ready.")
    policy = facts.policy
    standing = policy is not None and (policy.scaling.min_replicas > 0 or policy.scaling.mode is Mode.FIXED)
    if facts.ready == 0 and standing:
        return Verdict("False", "Starting", f"None of {desired} workers is ready yet.")
    return Verdict("True", "Starting", f"{facts.ready} of {desired} workers are ready, the others are starting.")


def _active(facts: Facts) -> Verdict:
    if facts.refusal is not None or facts.policy is None:
        return Verdict("False", facts.refusal[0] if facts.refusal else "InvalidSpec", "The queue is not scaled.")
    if facts.failure is not None:
        return Verdict("False", facts.failure[0], "The replicas stay as they are: see the condition Ready.")
    if facts.second_scaler:
        who = f"The replicas of the Deployment are also set by {facts.second_scaler}"
        return Verdict("False", "ForeignScaler", f"{who}; theirs are left for now. Remove it: the JobQueue scales.")
    if facts.policy.stop_policy is not StopPolicy.NONE:
        return Verdict("False", "Stopped", f"stopPolicy is {facts.policy.stop_policy.value}.")
    if facts.policy.scaling.mode is Mode.FIXED:
        return Verdict("True", "Fixed", "The replicas are those of spec.replicas.")
    if facts.decision is None or facts.decision.bound is Bound.SIGNAL_LOST:
        return Verdict("False", "SignalLost", "The queue cannot be looked at; the replicas stay as they are.")
    return Verdict("True", "Scaling", "The replicas follow the queue.")


def _limited(facts: Facts) -> Verdict:
    decision = facts.decision
    if decision is not None and decision.limited:
        return Verdict("True", decision.bound.value, decision.explanation)
    return Verdict("False", "NotLimited", "No bound keeps the replicas below what the queue wants.")


def _latency(facts: Facts) -> Verdict:
    policy, snapshot = facts.policy, facts.snapshot
    if policy is None or policy.scaling.steps or policy.scaling.mode is Mode.FIXED:
        return Verdict("Unknown", "NoTarget", "The replicas do not follow a latency target.")
    if snapshot is None:
        return Verdict("Unknown", "NoSignal", "The queue cannot be looked at.")
    target, waited = policy.scaling.target.queue_latency_seconds, snapshot.oldest_ready_seconds or 0.0
    if waited > target:
        return Verdict("False", "Violated", f"The oldest ready job has waited longer than {target} s.")
    return Verdict("True", "Met", f"No ready job has waited longer than {target} s.")


def _draining(facts: Facts) -> Verdict:
    if facts.drain_waits_for:
        status, leaving = "True" if facts.draining else "False", ""
        if facts.draining:
            leaving = f"; {facts.draining} {'worker is' if facts.draining == 1 else 'workers are'} leaving"
        return Verdict(status, "Waiting", f"The replicas are not lowered yet: {facts.drain_waits_for}{leaving}.")
    if facts.draining == 0 and facts.foreign_cost:
        who = f"The pods' deletion cost is also managed by {facts.foreign_cost}"
        return Verdict("False", "ForeignDeletionCost", f"{who}: which pods go in a scale-down is not ours alone.")
    if facts.draining == 0:
        return Verdict("False", "None", "No worker is draining.")
    return Verdict("True", "PodsDraining", f"{facts.draining} workers finish what they run before they are removed.")
