"""The nine conditions of a JobQueue, from its observed state. Pure; every condition exists from the first status on.

Each layer has its own condition, because a problem in one must not hide a problem in another; Ready summarizes them.
A reason is one CamelCase word. A message is one sentence that says what happened, to what, and what to do or what
happens next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from penstock.jobqueue.policy import Mode, QueuePolicy, StopPolicy
from penstock.plural import plural
from penstock.scaling import Bound, Decision, QueueSnapshot

from ..sanitize import sanitized
from .queue_schedules import QueueSchedules

TYPES: Final = (
    "Ready",
    "DatabaseReachable",
    "Listening",
    "WorkersAvailable",
    "ScalingActive",
    "ScalingLimited",
    "LatencyTargetMet",
    "Draining",
    "SchedulesValid",
)
MESSAGE_LENGTH: Final = 1024
Problem = tuple[str, str]
"""Reason and message of a condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedState:
    """The result of one reconciliation, as the status shows it.

    Args:
        policy: the parsed spec; None if it is invalid.
        refusal: reason and message why the JobQueue is not reconciled: invalid spec, or the queue has another owner.
        failure: reason and message of an unexpected exception.
        database: reason and message of a database problem.
        connected: whether the last sample of the database succeeded.
        listening: whether LISTEN is active.
        workers: reason and message of a problem of the worker pods or of the objects that create them.
        lost: sentence that names the pods whose worker is lost; `ready` excludes them.
        existing: pods that are not terminating.
        ready: those that are ready.
        draining: workers that drain before a scale-down.
        drain_waits_for: why the replicas are not lowered yet; empty if they are.
        other_scaler: who else sets the replicas of the Deployment; empty if nobody does.
        other_cost_manager: who else sets the pods' deletion cost; empty if nobody does.
        warnings: sentences about pods and template that do not keep the workers from being available.
        decision: the last scaling decision.
        snapshot: of the queue.
        schedules: of the queue; None before they were listed.
        waited: seconds that 95 % of the attempts of the last minute waited at most.
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
    other_scaler: str = ""
    other_cost_manager: str = ""
    warnings: tuple[str, ...] = ()
    decision: Decision | None = None
    snapshot: QueueSnapshot | None = None
    schedules: QueueSchedules | None = None
    waited: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition without its times."""

    status: str
    reason: str
    message: str


def conditions_of(state: ObservedState) -> dict[str, Condition]:
    """Every condition by type."""
    made = {
        "DatabaseReachable": _database(state),
        "Listening": _listening(state),
        "WorkersAvailable": _with_warnings(_workers(state), state.warnings),
        "ScalingActive": _active(state),
        "ScalingLimited": _limited(state),
        "LatencyTargetMet": _latency(state),
        "Draining": _draining(state),
        "SchedulesValid": _schedules(state),
    }
    return {"Ready": _ready(state, made), **made}


def api_conditions(
    state: ObservedState, *, generation: int, now: str, before: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The conditions in the format of the API; `lastTransitionTime` changes only with the status."""
    previous = {one.get("type"): one for one in before}
    made = []
    for kind, condition in conditions_of(state).items():
        old = previous.get(kind, {})
        since = old.get("lastTransitionTime") if old.get("status") == condition.status else None
        made.append(
            {
                "type": kind,
                "status": condition.status,
                "observedGeneration": generation,
                "lastTransitionTime": since or now,
                "reason": condition.reason,
                "message": sanitized(condition.message, MESSAGE_LENGTH),
            }
        )
    return made


def _ready(state: ObservedState, made: Mapping[str, Condition]) -> Condition:
    database, workers = made["DatabaseReachable"], made["WorkersAvailable"]
    if state.refusal is not None:
        return Condition("False", *state.refusal)
    if state.failure is not None:
        return Condition("False", *state.failure)
    if database.status != "True":
        return Condition(database.status, "DatabaseUnreachable", database.message)
    if state.policy is not None and state.policy.stop_policy is not StopPolicy.NONE:
        return Condition("False", "Stopped", f"stopPolicy is {state.policy.stop_policy.value}: workers claim no jobs.")
    if workers.status == "False":
        return Condition("False", "WorkersUnavailable", workers.message)
    return Condition("True", "Ready", f"Database reachable; {_ready_of(state)}.")


def _desired(state: ObservedState) -> int:
    return state.decision.desired if state.decision is not None else 0


def _ready_of(state: ObservedState) -> str:
    desired = _desired(state)
    return f"{min(state.ready, desired)} of {plural(desired, 'worker')} ready" if desired else "no worker needed"


def _database(state: ObservedState) -> Condition:
    if state.database is not None:
        return Condition("False", *state.database)
    if not state.connected:
        return Condition("Unknown", "Connecting", "The database has not been sampled yet.")
    return Condition("True", "Connected", "The last sample of the queue succeeded.")


def _listening(state: ObservedState) -> Condition:
    if state.listening:
        return Condition("True", "Subscribed", "LISTEN is active; enqueues wake the operator.")
    return Condition("False", "PollingOnly", "LISTEN is not active; falling back to polling.")


def _with_warnings(condition: Condition, warnings: Sequence[str]) -> Condition:
    return replace(condition, message=" ".join((condition.message, *warnings)))


def _workers(state: ObservedState) -> Condition:
    desired, policy = _desired(state), state.policy
    if state.workers is not None:
        return Condition("False", *state.workers)
    if state.failure is not None:
        return Condition("Unknown", *state.failure)
    if state.refusal is not None or (desired == 0 and state.existing == 0):
        return Condition("True", "NoneNeeded", "No worker is needed.")
    if state.lost and desired > 0:
        return Condition("True" if state.ready else "False", "WorkersLost", state.lost)
    ready = _ready_of(state)
    if state.ready >= desired:
        return Condition("True", "AllReady", f"{ready[:1].upper()}{ready[1:]}.")
    always_on = policy is not None and (policy.scaling.min_replicas > 0 or policy.scaling.mode is Mode.FIXED)
    status = "False" if state.ready == 0 and always_on else "True"
    return Condition(status, "Starting", f"{ready}; {desired - state.ready} starting.")


def _active(state: ObservedState) -> Condition:
    if state.refusal is not None or state.policy is None:
        reason = state.refusal[0] if state.refusal else "InvalidSpec"
        return Condition("False", reason, "The queue is not scaled: see the condition Ready.")
    if state.failure is not None:
        return Condition("False", state.failure[0], "The replicas stay as they are: see the condition Ready.")
    if state.other_scaler:
        who = f"The replicas of the Deployment are also set by {state.other_scaler}"
        what = "the operator leaves that value for now. Remove the other scaler: the JobQueue does the scaling."
        return Condition("False", "ForeignScaler", f"{who}; {what}")
    if state.policy.stop_policy is not StopPolicy.NONE:
        return Condition("False", "Stopped", f"stopPolicy is {state.policy.stop_policy.value}.")
    if state.policy.scaling.mode is Mode.FIXED:
        return Condition("True", "Fixed", "The replicas are set by spec.replicas (mode Fixed).")
    if state.decision is None or state.decision.bound is Bound.SIGNAL_LOST:
        return Condition("False", "SignalLost", "The queue could not be sampled; the replicas stay as they are.")
    return Condition("True", "Scaling", "The replicas follow the demand of the queue.")


def _limited(state: ObservedState) -> Condition:
    decision = state.decision
    if decision is not None and decision.limited:
        return Condition("True", decision.bound.value, decision.explanation)
    return Condition("False", "NotLimited", "No bound keeps the replicas below the demand of the queue.")


def _latency(state: ObservedState) -> Condition:
    policy, snapshot = state.policy, state.snapshot
    if policy is None or policy.scaling.steps or policy.scaling.mode is Mode.FIXED:
        return Condition("Unknown", "NoTarget", "The replicas do not follow a latency target.")
    if snapshot is None:
        return Condition("Unknown", "NoSignal", "The queue could not be sampled.")
    target, waited = policy.scaling.target.queue_latency_seconds, snapshot.oldest_ready_seconds or 0.0
    if waited > target:
        return Condition("False", "Violated", f"The oldest ready job has waited longer than the target of {target} s.")
    return Condition("True", "Met", f"No ready job has waited longer than the target of {target} s.")


def _draining(state: ObservedState) -> Condition:
    draining = plural(state.draining, "worker drains", "workers drain")
    if state.drain_waits_for:
        also = f"; {draining}" if state.draining else ""
        status = "True" if state.draining else "False"
        return Condition(status, "Waiting", f"Scale-down waits: {state.drain_waits_for}{also}.")
    if state.draining:
        return Condition("True", "PodsDraining", f"{draining} before removal: their running jobs finish first.")
    if state.other_cost_manager:
        return Condition(
            "False",
            "ForeignDeletionCost",
            f"{state.other_cost_manager} also sets the pods' deletion cost; a scale-down may remove other pods than "
            "the operator chose.",
        )
    return Condition("False", "None", "No worker is draining.")


def _schedules(state: ObservedState) -> Condition:
    if state.schedules is None:
        return Condition("Unknown", "NotListed", "The schedules of the queue have not been listed.")
    return Condition(*state.schedules.verdict())
