"""From what `penstock doctor` saw to what it says: one finding per check, and what to do about it.

Pure: no database, no clock. A check that could not be made is a finding as well, because silence would read as health.
Only a failure means that jobs are lost, refused or not run; a warning is what will become one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from .output import safe, seconds

OLDEST_MAJOR: Final = 15
NEWEST_MAJOR: Final = 18
SKEW_SECONDS: Final = 2.0
"""Penstock decides nothing by this clock; logs and metrics of different machines are hard to read beyond it."""
OLD_TRANSACTION_SECONDS: Final = 300.0
DEAD_TUPLES: Final = 100_000
CONNECTIONS_SHARE: Final = 0.8
OVERDUE_SECONDS: Final = 10.0
"""Promotion runs once in 0.75 s; what waits ten times as long waits for somebody to do it."""
WAITED_SECONDS: Final = 60.0
CHANGE_SECONDS: Final = 30.0
"""A leader that died is followed within a lease and its third; twice that is too long."""
MANY_UNDECLARED: Final = 100
"""Undeclared queues that are worth a word."""
COUNTED_QUEUES: Final = 10_000
COUNTED_JOBS: Final = 1_000
"""Where functions/undeclared.sql stops counting."""
NAMED: Final = 5
"""Queues that a sentence names; who enqueues can make any number of them."""


class Level(enum.StrEnum):
    """How bad."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    """One line: which check, how bad, what was seen, and what to do (empty if nothing)."""

    check: str
    level: Level
    said: str
    do: str = ""


def ok(check: str, said: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Level.OK, said)


def skipped(check: str, said: str, do: str = "") -> Finding:
    """Not looked at, and why."""
    return Finding(check, Level.SKIPPED, said, do)


def warning(check: str, said: str, do: str) -> Finding:
    """Will become a failure."""
    return Finding(check, Level.WARNING, said, do)


def failure(check: str, said: str, do: str) -> Finding:
    """Jobs are lost, refused or not run."""
    return Finding(check, Level.FAILURE, said, do)


def of_server(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Version, and whether it takes writes."""
    major = facts["version_num"] // 10_000
    if major < OLDEST_MAJOR:
        do = f"upgrade it to {OLDEST_MAJOR} to {NEWEST_MAJOR}"
        yield failure("server version", f"PostgreSQL {facts['version']} is too old", do)
    elif major > NEWEST_MAJOR:
        do = f"tested are {OLDEST_MAJOR} to {NEWEST_MAJOR}; look for a newer release of Penstock"
        yield warning("server version", f"PostgreSQL {facts['version']} is newer than this release knows", do)
    else:
        yield ok("server version", f"PostgreSQL {facts['version']}")
    if facts["standby"] or facts["read_only"]:
        said = "a standby" if facts["standby"] else "default_transaction_read_only is on"
        yield failure("writes", f"the server takes no writes: {said}", "let the URL lead to the primary")
    else:
        yield ok("writes", "the server takes writes")


def of_rights(facts: Mapping[str, Any], may: Sequence[str], wanted: str | None) -> Iterator[Finding]:
    """What this login can do, and whether that is what it is for."""
    login = safe(facts["login"])
    said = f"login {login} can do the work of: {', '.join(may) or 'no role'}"
    if wanted is not None and wanted not in may:
        do = f"let the schema's owner run what `penstock grants --for {wanted}` prints, or GRANT penstock_{wanted}"
        yield failure("rights", f"login {login} lacks rights of the role {wanted}", do)
    elif not may:
        do = "`penstock grants` prints what each role needs; `penstock migrate --roles` makes them"
        yield failure("rights", said, do)
    elif facts["superuser"]:
        do = "fine on a laptop; elsewhere a login for each purpose: `penstock grants --for worker --to LOGIN`"
        yield warning("rights", f"login {login} is a superuser, which no process needs", do)
    else:
        yield ok("rights", said + (", and it owns the schema" if facts["owner"] else ""))


def of_connections(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Of all clients, and of this login where it has a limit of its own."""
    used, most = facts["connections"], facts["max_connections"]
    said = f"{used} of {most} connections are in use"
    limit, own = facts["login_limit"], facts["login_connections"]
    if limit >= 0 and own >= CONNECTIONS_SHARE * limit:
        do = "raise the login's CONNECTION LIMIT; a worker needs four, and one more for each open transaction"
        yield warning("connections", f"this login uses {own} of its {limit} connections", do)
    elif used >= CONNECTIONS_SHARE * most:
        do = "raise max_connections, lower maxReplicas, or put a pooler in transaction mode before the server"
        yield warning("connections", said, do)
    else:
        yield ok("connections", said)


def of_transactions(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The oldest one holds back the removal of dead rows, of ours too."""
    check, prepared, oldest = "oldest transaction", facts["prepared"], facts["oldest"]
    if prepared is not None and prepared["seconds"] > OLD_TRANSACTION_SECONDS:
        said = f"{prepared['number']} prepared transactions, one since {seconds(prepared['seconds'])}"
        yield warning(check, said, "end what no transaction manager knows any more: see pg_prepared_xacts")
    elif oldest is not None and oldest["seconds"] > OLD_TRANSACTION_SECONDS:
        who = f"pid {oldest['pid']} ({safe(oldest['name'] or 'no name')}, {oldest['state']})"
        do = f"end it, or SELECT pg_terminate_backend({oldest['pid']}); set idle_in_transaction_session_timeout"
        yield warning(check, f"{who} since {seconds(oldest['seconds'])}: dead rows pile up behind it", do)
    elif not facts["sees_all"]:
        said = "only this login's own transactions are visible, none of them is old"
        yield skipped(check, said, "GRANT pg_read_all_stats to see the others")
    else:
        yield ok(check, "none" if oldest is None else f"since {seconds(oldest['seconds'])}")


def of_tables(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Dead rows that autovacuum has not removed."""
    worst = max(facts["tables"], key=lambda one: one["dead"], default=None)
    if worst is None:
        yield skipped("dead tuples", "the server keeps no statistics of the schema's tables")
        return
    said = f"{worst['dead']:,} in penstock.{worst['name']}, {worst['live']:,} live, vacuumed {_ago(worst['vacuumed'])}"
    if worst["dead"] > max(DEAD_TUPLES, worst["live"]):
        do = f"look for an old transaction above; then VACUUM penstock.{worst['name']}; is autovacuum on?"
        yield warning("dead tuples", said, do)
    else:
        yield ok("dead tuples", said)


def _ago(value: float | None) -> str:
    return "never" if value is None else f"{seconds(value)} ago"


def of_partitions(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Without a partition for today each outcome waits until one is made. `partitions` are those that are attached."""
    last, today = facts["last_partition"], facts["today"]
    do = "run `penstock migrate`; then maintenance, which a worker or the operator does, keeps fourteen days ahead"
    if last is None or last < today or today not in facts.get("partitions", [today]):
        yield failure("partitions", "outcome has no partition for today: no job can end until a worker makes it", do)
    elif last == today:
        yield warning("partitions", "outcome has no partition for tomorrow", do)
    else:
        yield ok("partitions", f"outcome is ready up to {last.removeprefix('outcome_')}")


def of_clock(skew: float, round_trip: float) -> Iterator[Finding]:
    """This machine's against the server's."""
    said = f"this clock is {abs(skew):.3f} s {'ahead of' if skew >= 0 else 'behind'} the server's"
    if abs(skew) > SKEW_SECONDS + round_trip / 2:
        do = "start NTP here; no job depends on it, but times in logs and metrics will not fit together"
        yield warning("clock", said, do)
    else:
        yield ok("clock", said)


def of_queues(queues: Sequence[Any]) -> Iterator[Finding]:
    """Paused ones, and ready jobs that nobody serves."""
    paused = [queue for queue in queues if queue.paused is not None]
    if paused:
        by_hand = [queue.name for queue in paused if queue.resumable]
        told = [f"{q.name} (since {seconds(q.paused)}, by {safe(q.pauser)})" for q in paused]
        do = f"`penstock queues resume {by_hand[0]}`" if by_hand else "spec.stopPolicy of their JobQueues"
        yield warning("queues paused", some(told), f"if that is over: {do}")
    else:
        yield ok("queues paused", f"none of {len(queues)}")
    unserved = [
        q for q in queues if q.ready and not q.workers and q.paused is None and (q.oldest or 0) > WAITED_SECONDS
    ]
    if unserved:
        told = [f"{q.name} ({q.ready:,} ready, oldest {seconds(q.oldest)})" for q in unserved]
        do = "a JobQueue for each, `kubectl get jobqueues`; or start one: `penstock worker APP --queue NAME`"
        yield warning("queues served", f"no worker runs for {some(told)}", do)
    else:
        yield ok("queues served", "every queue with jobs that wait for a minute has a worker")


def some(told: Sequence[str]) -> str:
    """The first of them, and how many more."""
    more = len(told) - NAMED
    return ", ".join(told[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def of_undeclared(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Queues that somebody made by enqueueing to a name; nothing for a schema that does not count them."""
    found = state.get("undeclared")
    if found is None:
        return
    number, free = found["number"], found["free"]
    if not number:
        yield ok("queues undeclared", f"none; {found['most']:,} may exist")
        return
    said = f"{number:,}{' or more' if number >= COUNTED_QUEUES else ''}, {free:,} more may exist"
    if found["newest"] is not None:
        said += f"; newest {found['newest']}, {seconds(found['newest_seconds'])} old"
    if found["biggest"] is not None:
        jobs = found["biggest_jobs"]
        said += f"; biggest {found['biggest']} ({jobs:,}{' or more' if jobs >= COUNTED_JOBS else ''} jobs)"
    if number > MANY_UNDECLARED or not free:
        do = (
            "find who enqueues to these names; `penstock jobs cancel --queue NAME` empties one, and it goes in a day; "
            "a JobQueue or a worker for those that are meant; the owner may SELECT penstock.limit_undeclared(NUMBER)"
        )
        yield warning("queues undeclared", said, do)
    else:
        yield ok("queues undeclared", said)


def of_functions(*, same: bool) -> Iterator[Finding]:
    """The functions in the database against this release's."""
    if same:
        yield ok("functions", "those of this release")
    else:
        do = "run `penstock migrate` after an upgrade; before one it is as it should be"
        yield warning("functions", "the installed functions are not those of this release", do)


def of_state(state: Mapping[str, Any]) -> Iterator[Finding]:
    """The upkeep, and what only it does; tasks that nobody knows."""
    leaders = {leader["name"]: leader for leader in state["leaders"]}
    leader, alive = leaders.get("maintenance"), state["workers"].get("running", 0)
    late = state["overdue_seconds"] or 0.0
    do = "start a worker or the operator; if some run, read their logs for errors of the upkeep"
    if leader is not None and leader["lease_left"] > 0:
        yield ok("upkeep", f"led by {safe(leader['holder'])} since {seconds(leader['held'])}")
    elif leader is not None and leader["lease_left"] > -CHANGE_SECONDS and late <= OVERDUE_SECONDS:
        said = f"{safe(leader['holder'])} led it until {seconds(-leader['lease_left'])} ago"
        yield warning("upkeep", said, "look again in a moment: another worker or the operator takes over")
    elif alive or late > OVERDUE_SECONDS:
        yield failure("upkeep", "nobody leads it: due jobs stay deferred, lost workers keep their jobs", do)
    else:
        yield ok("upkeep", "nobody leads it and nobody needs it: no worker runs, no job is due")
    if late > OVERDUE_SECONDS:
        said = f"{state['overdue']:,} deferred jobs are due and not promoted, one since {seconds(late)}"
        yield failure("due jobs", said, do)
    else:
        yield ok("due jobs", "none is late")
    yield from _of_workers(state)


def _of_workers(state: Mapping[str, Any]) -> Iterator[Finding]:
    gone = state["workers"].get("lapsed", 0) + state["workers"].get("lost", 0)
    told = ", ".join(f"{number} {name}" for name, number in sorted(state["workers"].items())) or "none"
    if gone:
        do = "wait for one lease (15 s); if they stay, nobody does the upkeep"
        yield warning("workers", f"{told}: those that are gone still hold claims", do)
    else:
        yield ok("workers", told)
    if unknown := state["unknown"]:
        do = "deploy workers that know them, or cancel: `penstock jobs cancel --task NAME --dry-run`"
        yield warning("tasks known", f"jobs wait for workers that know {_tasks(unknown)}", do)
    else:
        yield ok("tasks known", "no job waits for a worker that knows its task")
    if incompatible := state.get("incompatible"):
        do = "deploy workers of the release that enqueued them; `penstock jobs why ID` says since when one waits"
        yield warning("arguments fit", f"jobs wait for workers that accept their arguments: {_tasks(incompatible)}", do)
    else:
        yield ok("arguments fit", "no job waits for a worker that accepts its arguments")


def _tasks(tasks: list[str]) -> str:
    return ", ".join(safe(task) for task in tasks[:5]) + (", …" if len(tasks) > 5 else "")
