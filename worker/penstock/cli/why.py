"""Explains why a job is not running: one reason, from a snapshot of the database. Pure.

Obstacles are checked in the order in which a claim would meet them: when the job is due, then the pause, the limit,
workers, slots, and jobs that run first. The first one is the reason; the others follow as `also`, because a deferred
job of a paused queue would not run when it is due either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.plural import plural

from . import lock_holders
from .output import format_duration, safe
from .why_reasons import DEFERRED, Reason, Why

__all__ = ["Reason", "Why", "explain"]

SUSPECT_CRASHES: Final = 2
"""Number of lost workers after which a job is run alone."""
LATE_SECONDS: Final = 5.0
"""A due job is promoted within a second; if it is later than this, maintenance has no leader or is slow."""
COUNTED: Final = 10_000
"""The count of jobs that run first stops here."""


def explain(job_id: int, facts: Mapping[str, Any]) -> tuple[Reason, list[Reason]]:
    """The reason and the further obstacles. The facts are the result of functions/why_job.sql."""
    job = facts["job"]
    if job is None:
        message = (
            f"there is no job {job_id}: never enqueued here, rolled back, discarded, or past the queue's retention"
        )
        return Reason(Why.NO_SUCH_JOB, message), []
    match job["state"]:
        case "completed" | "cancelled":
            return _ended(job), []
        case "dead":
            return _dead(job, facts), []
        case "running":
            return _running(job, facts), list(_locked(facts))
    deferred, locked = list(_deferred(job, facts)), list(_locked(facts))
    if locked and deferred and deferred[0].why is Why.NOT_PROMOTED:  # the lock is why it is late
        deferred, locked = locked, deferred
    found = [*deferred, *locked, *_obstacles(job, facts)]
    return found[0], [reason for reason in found[1:] if reason.why is not Why.NEXT]


_LOCKS: Final[Mapping[str, str]] = {
    "job": "its row, so claims, rescues and acknowledgements skip it",
    "limit": "the limit of its queue, so every claim waits",
    "worker": "the row of its worker, so the lease cannot be renewed",
    "leader": "the row of the maintenance leader, so maintenance stops",
}


def _locked(facts: Mapping[str, Any]) -> Iterator[Reason]:
    for name, what in _LOCKS.items():
        if name == "leader" and facts["job"]["state"] == "queued":
            continue
        if (holder := (facts.get("locks") or {}).get(name)) is not None:
            message = f"{lock_holders.who(holder)} locks {what}"
            yield Reason(Why.LOCKED, message, lock_holders.termination_advice(holder))


def _ended(job: Mapping[str, Any]) -> Reason:
    by = f" by worker {job['worker']}" if job["worker"] is not None else ""
    when = f"{format_duration(job['ended'])} ago, at {job['finished_at']}"
    if job["state"] == "completed":
        return Reason(Why.COMPLETED, f"it completed {when}{by}, on attempt {job['attempt']}")
    return Reason(Why.CANCELLED, f"it was cancelled {when}{by}: {_text(job['reason'])}")


def _dead(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Reason:
    error = f", {_text(job['error'])}" if job["error"] else ""
    tried = f"attempt {job['attempt']} of {job['max_attempts']}"
    message = f"it has been a dead letter for {format_duration(job['ended'])} ({_text(job['reason'])}{error}, {tried})"
    if (holder := facts["key_holder"]) is not None:
        hint = f"wait until job {holder} finishes, or `penstock dead redrive {job['id']} --drop-key`"
        return Reason(Why.KEY_TAKEN, f"{message}; its unique key now belongs to job {holder}", hint)
    return Reason(Why.DEAD, message, f"`penstock dead show {job['id']}`, then `penstock dead redrive {job['id']}`")


def _running(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Reason:
    worker = next((one for one in facts["workers"] if one["id"] == job["worker"]), None)
    since = f"for {format_duration(job['runs'])}, attempt {job['attempt']} of {job['max_attempts']}"
    if worker is None or worker["state"] == "lost" or worker["lease_left"] <= 0:
        leads = facts["leader"] is not None and facts["leader"]["lease_left"] > 0
        who = f"worker {job['worker']}" + (f" ({_text(worker['identity'])})" if worker else "")
        hint = (
            "maintenance rescues it within one lease" if leads else "maintenance has no leader: run `penstock doctor`"
        )
        return Reason(Why.WORKER_GONE, f"it has been claimed {since}, by {who}, whose lease has expired", hint)
    left = format_duration(worker["lease_left"])
    where = f"on {_text(worker['identity'])} (worker {worker['id']}, lease expires in {left})"
    if job["cancel"]:
        hint = "it ends with its attempt; a task in a thread stops only if it checks ctx.cancelled"
        return Reason(Why.CANCELLING, f"it has been running {since}, {where}, and was asked to stop", hint)
    return Reason(Why.RUNNING, f"it has been running {since}, {where}")


def _deferred(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Reason]:
    if job["state"] != "scheduled":
        return
    if job["due_in"] < -LATE_SECONDS:
        leads = facts["leader"] is not None and facts["leader"]["lease_left"] > 0
        leader = (
            f"the maintenance leader, {_text(facts['leader']['holder'])}, is late"
            if leads
            else "maintenance has no leader"
        )
        message = f"it has been due for {format_duration(-job['due_in'])} and was not promoted: {leader}"
        yield Reason(Why.NOT_PROMOTED, message, "start a worker or the operator; run `penstock doctor`")
        return
    values = {
        "id": job["id"],
        "attempt": job["attempt"],
        "max": job["max_attempts"],
        "crashes": plural(job["crashes"], "time"),
        "task": _text(job["task"]),
        "reason": _text(job["reason"]),
        "error": f" with {_text(job['error'])}" if job["error"] else "",
        "refused": format_duration(job.get("incompatible") or 0.0),
    }
    own = (Why.REQUESTED, "the task asked for it ({reason})", "to run it now: `penstock jobs retry {id}`")
    why, message, hint = DEFERRED.get(job["reason"] or "", own)
    when = f"it is deferred for another {format_duration(max(job['due_in'], 0.0))}, until {job['due_at']}: "
    yield Reason(why, when + _filled(message, values), _filled(hint, values))


def _filled(text: str, values: Mapping[str, object]) -> str:
    """A template with its values, in one pass, because a value may contain braces."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), text)


def _obstacles(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Reason]:
    """The obstacles that a claim of this job would meet; for a queued job there is always one."""
    yield from _closed(facts["queue"])
    live = [w for w in facts["workers"] if w["serves"] and w["state"] != "lost" and w["lease_left"] > 0]
    asking = [w for w in live if w["state"] == "running"]
    if not live:
        yield _unserved(facts["queue"])
    elif not asking:
        named = ", ".join(f"{_text(w['identity'])} {w['state']}" for w in live[:5])
        hint = "the operator is scaling down or replacing workers; `kubectl get jobqueues` says why"
        yield Reason(Why.CORDONED, f"every worker of its queue has stopped claiming jobs: {named}", hint)
    if job["state"] == "queued":
        if facts.get("below_mark"):
            message = (
                "it is below the mark where claims of its queue start: job_ord_seq lagged, as in a copied database"
            )
            yield Reason(Why.BELOW_MARK, message, "wait a minute for maintenance, or run `penstock migrate`")
        yield from _before(job, facts, asking)


def _closed(queue: Mapping[str, Any]) -> Iterator[Reason]:
    """Yield the reasons that close the queue to every claim."""
    name = queue["name"]
    if queue["paused_at"] is not None:
        by = (
            "its JobQueue (spec.stopPolicy)"
            if queue["by_declarer"]
            else _text(queue["paused_by"] or "an unknown login")
        )
        hint = f"`penstock queues resume {name}`" if not queue["by_declarer"] else "set spec.stopPolicy to None"
        yield Reason(Why.PAUSED, f"queue {name} has been paused since {queue['paused_at']} by {by}", hint)
    if queue["limited"] and queue["in_flight"] is None:
        message = f"the limit of queue {name} has just been set, and its running jobs are still being counted"
        yield Reason(Why.LIMIT_COUNTED, message, "wait some seconds for maintenance to count them")
    elif queue["limited"] and queue["in_flight"] >= queue["max_in_flight"]:
        message = (
            f"queue {name} has {plural(queue['in_flight'], 'job')} in flight, the maximum of spec.limits.maxInFlight"
        )
        yield Reason(Why.AT_LIMIT, message, "wait for one to finish, or raise spec.limits.maxInFlight")


def _unserved(queue: Mapping[str, Any]) -> Reason:
    name = queue["name"]
    if not queue["declared"]:
        message = f"no worker serves queue {name}, and no JobQueue declares it, so none will be started"
        hint = f"check the name; create a JobQueue for it, or run `penstock worker APP --queue {name}`"
        return Reason(Why.UNDECLARED, message, hint)
    hint = "`kubectl get jobqueues` says why: maxReplicas 0, a stop policy, an image or a quota"
    return Reason(Why.NO_WORKER, f"no live worker serves queue {name}", hint)


def _before(job: Mapping[str, Any], facts: Mapping[str, Any], asking: list[Mapping[str, Any]]) -> Iterator[Reason]:
    """Busy slots, and jobs that run first."""
    slots, running, suspect = sum(w["concurrency"] for w in asking), facts["running"], facts["suspect"]
    ahead = facts["higher"] + facts["earlier"]
    first = f"{_count(facts['higher'])} with a higher priority and {_count(facts['earlier'])} enqueued earlier"
    if job["crashes"] >= SUSPECT_CRASHES:
        message = f"its worker was lost {plural(job['crashes'], 'time')}: it waits for a worker that can run it alone"
        yield Reason(
            Why.NEEDS_ISOLATION, message, "a third loss makes it a dead letter: find out what kills the worker"
        )
    if suspect is not None and len(asking) == 1:
        message = f"the only worker runs job {suspect} alone, because that job lost its worker twice"
        yield Reason(Why.ISOLATED_JOB, message, "wait for it, or add a second worker (minReplicas)")
    if asking and running >= slots:
        workers = plural(len(asking), "worker")
        message = f"all {plural(slots, 'slot')} of {workers} are busy ({running} running); jobs that run first: {first}"
        hint = "raise spec.worker.concurrency or scaling.maxReplicas; `penstock workers` shows the oldest jobs"
        yield Reason(Why.BUSY, message, hint)
    elif ahead:
        yield Reason(Why.JOBS_AHEAD, f"jobs that run first: {first}; {plural(slots, 'slot')}, {running} running")
    elif asking:
        free = plural(slots - running, "slot is free", "slots are free")
        message = f"it is next: ready for {format_duration(job['waits'])}, and {free}"
        yield Reason(Why.NEXT, message, "an idle worker polls every PENSTOCK_POLL_SECONDS")


def _count(number: int) -> str:
    return f"{number:,}" + ("+" if number >= COUNTED else "")


def _text(value: object) -> str:
    return safe(str(value))
