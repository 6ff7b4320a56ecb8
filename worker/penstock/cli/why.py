"""Why a job is not running: from the facts of one moment to one reason. Pure.

What stands in a job's way is looked at in the order in which a claim would meet it: its own time, then the pause, the
limit, workers, slots, and jobs before it. The first is the reason, the others follow as `also`, because a deferred job
of a paused queue would not run when its time comes either.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import blockers
from .output import safe, seconds

SUSPECT_CRASHES: Final = 2
"""Losses of its worker after which a job is run alone."""
LATE_SECONDS: Final = 5.0
"""A due job is promoted within a second; later than this somebody is missing."""
COUNTED: Final = 10_000
"""What lies ahead is counted up to here."""


class Why(enum.StrEnum):
    """Every reason that there is."""

    NO_SUCH_JOB = "no_such_job"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    KEY_TAKEN = "key_taken"
    RUNNING = "running"
    CANCELLING = "cancelling"
    WORKER_GONE = "worker_gone"
    SCHEDULED = "scheduled"
    RETRY = "retry"
    ASKED = "asked"
    TASK_UNKNOWN = "task_unknown"
    INCOMPATIBLE_ARGUMENTS = "incompatible_arguments"
    BREAKER_OPEN = "breaker_open"
    CRASH = "crash"
    DEADLINE = "deadline"
    OUTCOME_REJECTED = "outcome_rejected"
    NOT_PROMOTED = "not_promoted"
    LOCKED = "locked"
    PAUSED = "paused"
    LIMIT_COUNTED = "limit_counted"
    AT_LIMIT = "at_limit"
    UNDECLARED = "undeclared"
    NO_WORKER = "no_worker"
    CORDONED = "cordoned"
    BELOW_MARK = "below_mark"
    SOLO = "solo"
    BEHIND_SOLO = "behind_solo"
    BUSY = "busy"
    BEHIND = "behind"
    NEXT = "next"


class Reason(NamedTuple):
    """One reason: the word for programs, the sentence and what to do (may be empty) for people."""

    why: Why
    said: str
    do: str = ""


_SHOW: Final = "`penstock jobs show {id}`"
_DEFERRED: Final[Mapping[str, tuple[Why, str, str]]] = {
    "scheduled": (Why.SCHEDULED, "it was enqueued for then", "to start it now: `penstock jobs retry {id}`"),
    "error": (Why.RETRY, "attempt {attempt} of {most} failed{error}; this is its back-off", _SHOW),
    "timeout": (Why.RETRY, "attempt {attempt} of {most} took too long; this is its back-off", _SHOW),
    "crash": (Why.CRASH, "attempt {attempt} of {most} crashed its child process; this is its back-off", ""),
    "no_child": (Why.CRASH, "no child process could be started for it; the attempt was given back", ""),
    "lease_lost": (
        Why.CRASH, "it is exclusive, its worker could not renew its lease in time, and the attempt was given back", "",
    ),
    "defect": (Why.RETRY, "a defect of its worker ended attempt {attempt} of {most}{error}; it runs again", _SHOW),
    "deadline": (Why.DEADLINE, "attempt {attempt} of {most} ran past the queue's deadline and was taken back", ""),
    "worker_lost": (
        Why.CRASH, "its worker was lost while it held the job ({crashes} times; the third makes a dead letter)", "",
    ),
    "outcome_rejected": (
        Why.OUTCOME_REJECTED, "the database refused to store how attempt {attempt} of {most} ended{error}",
        "`penstock jobs show {id}` has the refusal; to run it now `penstock jobs retry {id}`, to end it `jobs cancel`",
    ),
    "no_partition": (
        Why.OUTCOME_REJECTED, "its transaction found no partition for its outcome; the attempt does not count",
        "a worker makes the partition; `penstock doctor` if it stays so",
    ),
    "task_unknown": (
        Why.TASK_UNKNOWN, "no worker that took it knows the task {task}; the attempt was given back",
        "deploy workers whose App has the task, or give the task that name as an alias",
    ),
    "incompatible_arguments": (
        Why.INCOMPATIBLE_ARGUMENTS,
        "no worker that took it accepts its arguments for task {task}, since {refused}; the attempt was given back",
        "deploy workers of the release that enqueued it (`penstock jobs show {id}` names the parameter), or cancel it",
    ),
    "breaker": (
        Why.BREAKER_OPEN, "the circuit breaker of task {task} is open; the attempt was given back",
        "it is looked at again by itself; the task's failures: `penstock dead list --task {task}`",
    ),
}  # fmt: skip
"""By the row's reason; any other word is the task's own (Retry or Snooze)."""


def explain(job_id: int, facts: Mapping[str, Any]) -> tuple[Reason, list[Reason]]:
    """The reason, and what else stands in the way. Facts: see functions/why_job.sql."""
    job = facts["job"]
    if job is None:
        said = f"there is no job {job_id}: never enqueued here, rolled back, discarded, or past the queue's retention"
        return Reason(Why.NO_SUCH_JOB, said), []
    match job["state"]:
        case "completed" | "cancelled":
            return _ended(job), []
        case "dead":
            return _dead(job, facts), []
        case "running":
            return _running(job, facts), list(_locked(facts))
    deferred, locked = list(_deferred(job, facts)), list(_locked(facts))
    if locked and deferred and deferred[0].why is Why.NOT_PROMOTED:  # that is why it is late
        deferred, locked = locked, deferred
    found = [*deferred, *locked, *_obstacles(job, facts)]
    return found[0], [reason for reason in found[1:] if reason.why is not Why.NEXT]


_LOCKS: Final[Mapping[str, str]] = {
    "job": "its row, which claims, rescues and acknowledgements step over",
    "limit": "the limit of its queue, which every claim needs",
    "worker": "the row of its worker, which cannot renew its lease",
    "leader": "the row of the leader of the upkeep",
}


def _locked(facts: Mapping[str, Any]) -> Iterator[Reason]:
    for name, what in _LOCKS.items():
        if name == "leader" and facts["job"]["state"] == "queued":
            continue
        if (holder := (facts.get("locks") or {}).get(name)) is not None:
            said = f"{blockers.who(holder)} holds {what}, in an open transaction"
            yield Reason(Why.LOCKED, said, blockers.remedy(holder))


def _ended(job: Mapping[str, Any]) -> Reason:
    by = f" by worker {job['worker']}" if job["worker"] is not None else ""
    when = f"{seconds(job['ended'])} ago, at {job['finished_at']}"
    if job["state"] == "completed":
        return Reason(Why.COMPLETED, f"it completed {when}{by}, in attempt {job['attempt']}")
    return Reason(Why.CANCELLED, f"it was cancelled {when}{by}: {_text(job['reason'])}")


def _dead(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Reason:
    error = f", {_text(job['error'])}" if job["error"] else ""
    tried = f"attempt {job['attempt']} of {job['max_attempts']}"
    said = f"it is a dead letter since {seconds(job['ended'])} ({_text(job['reason'])}{error}, {tried})"
    if (holder := facts["key_holder"]) is not None:
        do = f"wait for job {holder}, or `penstock dead redrive {job['id']} --drop-key`"
        return Reason(Why.KEY_TAKEN, f"{said}; its unique key is now held by job {holder}", do)
    return Reason(Why.DEAD, said, f"`penstock dead show {job['id']}`, then `penstock dead redrive {job['id']}`")


def _running(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Reason:
    worker = next((one for one in facts["workers"] if one["id"] == job["worker"]), None)
    since = f"since {seconds(job['runs'])}, attempt {job['attempt']} of {job['max_attempts']}"
    if worker is None or worker["state"] == "lost" or worker["lease_left"] <= 0:
        leads = facts["leader"] is not None and facts["leader"]["lease_left"] > 0
        who = f"worker {job['worker']}" + (f" ({_text(worker['identity'])})" if worker else "")
        do = "the upkeep takes it back within a lease" if leads else "nobody does the upkeep: `penstock doctor`"
        return Reason(Why.WORKER_GONE, f"it is claimed {since}, by {who}, which is gone: its lease is over", do)
    where = f"on {_text(worker['identity'])} (worker {worker['id']}, lease for {seconds(worker['lease_left'])})"
    if job["cancel"]:
        do = "it ends with its attempt; a task that does not look at ctx.cancelled in a thread cannot be interrupted"
        return Reason(Why.CANCELLING, f"it is running {since}, {where}, and told to stop", do)
    return Reason(Why.RUNNING, f"it is running {since}, {where}")


def _deferred(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Reason]:
    if job["state"] != "scheduled":
        return
    if job["due_in"] < -LATE_SECONDS:
        leads = facts["leader"] is not None and facts["leader"]["lease_left"] > 0
        who = f"{_text(facts['leader']['holder'])} does the upkeep and is late" if leads else "nobody does the upkeep"
        said = f"it has been due for {seconds(-job['due_in'])} and was not made ready: {who}"
        yield Reason(Why.NOT_PROMOTED, said, "start a worker or the operator; `penstock doctor`")
        return
    values = {
        "id": job["id"], "attempt": job["attempt"], "most": job["max_attempts"], "crashes": job["crashes"],
        "task": _text(job["task"]), "reason": _text(job["reason"]),
        "error": f" with {_text(job['error'])}" if job["error"] else "",
        "refused": seconds(job.get("incompatible") or 0.0),
    }  # fmt: skip
    own = (Why.ASKED, "the task asked for it ({reason})", "`penstock jobs retry {id}` makes it ready now")
    why, said, do = _DEFERRED.get(job["reason"] or "", own)
    when = f"it is deferred for {seconds(max(job['due_in'], 0.0))} more, until {job['due_at']}: "
    yield Reason(why, when + _filled(said, values), _filled(do, values))


def _filled(text: str, values: Mapping[str, object]) -> str:
    """A template of ours with its values, in one pass: a value may hold braces of its own."""
    return re.sub(r"\{(\w+)\}", lambda found: str(values[found[1]]), text)


def _obstacles(job: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[Reason]:
    """What a claim of this job would meet; for a queued one there is always something."""
    yield from _closed(facts["queue"])
    live = [w for w in facts["workers"] if w["serves"] and w["state"] != "lost" and w["lease_left"] > 0]
    asking = [w for w in live if w["state"] == "running"]
    if not live:
        yield _unserved(facts["queue"])
    elif not asking:
        told = ", ".join(f"{_text(w['identity'])} {w['state']}" for w in live[:5])
        do = "its operator is scaling down or replacing them; new ones follow, or `kubectl get jobqueues` says why not"
        yield Reason(Why.CORDONED, f"every worker of its queue has stopped asking for jobs: {told}", do)
    if job["state"] == "queued":
        if facts.get("below_mark"):
            said = "it lies below the mark at which claims of its queue start: job_ord_seq was behind, as in a copy"
            yield Reason(Why.BELOW_MARK, said, "maintenance corrects it within a minute, `penstock migrate` at once")
        yield from _before(job, facts, asking)


def _closed(queue: Mapping[str, Any]) -> Iterator[Reason]:
    """The queue gives nothing to any claim."""
    name = queue["name"]
    if queue["paused_at"] is not None:
        by = "its JobQueue (spec.stopPolicy)" if queue["by_declarer"] else _text(queue["paused_by"] or "unknown")
        do = f"`penstock queues resume {name}`" if not queue["by_declarer"] else "set spec.stopPolicy to None"
        yield Reason(Why.PAUSED, f"queue {name} is paused since {queue['paused_at']}, by {by}", do)
    if queue["limited"] and queue["in_flight"] is None:
        said = f"the limit of queue {name} was just turned on and its running jobs are being counted"
        yield Reason(Why.LIMIT_COUNTED, said, "the upkeep counts within seconds, after claims in flight are over")
    elif queue["limited"] and queue["in_flight"] >= queue["max_in_flight"]:
        said = f"queue {name} runs {queue['in_flight']} jobs, all that limits.maxInFlight lets through"
        yield Reason(Why.AT_LIMIT, said, "wait for one to end, or raise spec.limits.maxInFlight")


def _unserved(queue: Mapping[str, Any]) -> Reason:
    name = queue["name"]
    if not queue["declared"]:
        said = f"no worker serves queue {name}, and no JobQueue declares it, so nobody will start one"
        do = f"is the name right? make a JobQueue for it, or run `penstock worker APP --queue {name}`"
        return Reason(Why.UNDECLARED, said, do)
    do = "`kubectl get jobqueues` says why there are none: maxReplicas 0, a stop policy, images, quotas"
    return Reason(Why.NO_WORKER, f"no live worker serves queue {name}", do)


def _before(job: Mapping[str, Any], facts: Mapping[str, Any], asking: list[Mapping[str, Any]]) -> Iterator[Reason]:
    """Slots, and jobs that go first."""
    slots, running, suspect = sum(w["concurrency"] for w in asking), facts["running"], facts["suspect"]
    ahead = facts["higher"] + facts["earlier"]
    told = f"{_count(facts['higher'])} of higher priority and {_count(facts['earlier'])} earlier ones"
    if job["crashes"] >= SUSPECT_CRASHES:
        said = f"its worker was lost {job['crashes']} times: it waits to be run alone, when a worker holds nothing else"
        yield Reason(Why.SOLO, said, "a third loss makes it a dead letter: look for what kills the worker")
    if suspect is not None and len(asking) == 1:
        said = f"the only worker runs job {suspect} alone, because its worker was lost twice before"
        yield Reason(Why.BEHIND_SOLO, said, "wait for it, or have a second worker (minReplicas)")
    if asking and running >= slots:
        said = f"all {slots} slots of {len(asking)} workers are taken ({running} jobs run), and {told} go first"
        do = "raise spec.worker.concurrency or scaling.maxReplicas; `penstock workers` shows what takes long"
        yield Reason(Why.BUSY, said, do)
    elif ahead:
        yield Reason(Why.BEHIND, f"{told} go first; {slots} slots, {running} jobs run")
    elif asking:
        free = f"{slots - running} slots are free"
        said = f"nothing stands in its way: it has been ready for {seconds(job['waits'])}, {free}"
        yield Reason(Why.NEXT, said, "a worker that sleeps looks at least every PENSTOCK_POLL_SECONDS")


def _count(number: int) -> str:
    return f"{number:,}" + ("+" if number >= COUNTED else "")


def _text(value: object) -> str:
    return safe(str(value))
