"""The checks of `penstock doctor`: from the facts of the database to one finding per check, with a remedy.

Pure: no database, no clock. A check that could not be made is a finding as well, because silence would read as health.
A failure means that jobs are lost, refused or not run; a warning is what can become a failure.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from penstock.plural import plural

from .output import format_duration, safe

OLDEST_MAJOR: Final = 15
NEWEST_MAJOR: Final = 18
SKEW_SECONDS: Final = 2.0
"""Penstock decides nothing by the local clock; beyond this, logs and metrics of two machines are hard to compare."""
OLD_TRANSACTION_SECONDS: Final = 300.0
DEAD_TUPLES: Final = 100_000
CONNECTIONS_SHARE: Final = 0.8
OVERDUE_SECONDS: Final = 10.0
"""Promotion runs every 0.75 s; a job that is overdue for more than ten times that has no maintenance leader."""
CHANGE_SECONDS: Final = 30.0
"""A dead leader is replaced within four thirds of a lease; twice that is too long."""
NAMED: Final = 5
"""Maximum number of queues that a message names; enqueuers can create any number of them."""


class Level(enum.StrEnum):
    """Severity of a finding."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILURE = "failure"


class Finding(NamedTuple):
    """The result of one check: its severity, what was found, and what to do about it (empty if nothing)."""

    check: str
    level: Level
    message: str
    hint: str = ""


def ok(check: str, message: str) -> Finding:
    """The check passed."""
    return Finding(check, Level.OK, message)


def skipped(check: str, message: str, hint: str = "") -> Finding:
    """The check could not be made; `message` says why."""
    return Finding(check, Level.SKIPPED, message, hint)


def warning(check: str, message: str, hint: str) -> Finding:
    """Something that can become a failure."""
    return Finding(check, Level.WARNING, message, hint)


def failure(check: str, message: str, hint: str) -> Finding:
    """Jobs are lost, refused or not run."""
    return Finding(check, Level.FAILURE, message, hint)


def of_server(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The server's version, and whether it accepts writes."""
    major = facts["version_num"] // 10_000
    if major < OLDEST_MAJOR:
        hint = f"upgrade the server to PostgreSQL {OLDEST_MAJOR} to {NEWEST_MAJOR}"
        yield failure("server version", f"PostgreSQL {facts['version']} is not supported: too old", hint)
    elif major > NEWEST_MAJOR:
        hint = f"this release was tested with {OLDEST_MAJOR} to {NEWEST_MAJOR}; check for a newer release of Penstock"
        yield warning("server version", f"PostgreSQL {facts['version']} is newer than the tested versions", hint)
    else:
        yield ok("server version", f"PostgreSQL {facts['version']}")
    if facts["standby"] or facts["read_only"]:
        message = "a standby" if facts["standby"] else "default_transaction_read_only is on"
        yield failure("writes", f"the server accepts no writes: {message}", "point the URL at the primary")
    else:
        yield ok("writes", "the server accepts writes")


def of_rights(facts: Mapping[str, Any], may: Sequence[str], wanted: str | None) -> Iterator[Finding]:
    """The roles whose work this login can do, and whether the wanted one is among them."""
    login = safe(facts["login"])
    message = f"login {login} has the rights of: {', '.join(may) or 'no role'}"
    if wanted is not None and wanted not in may:
        hint = f"as the schema's owner, run the output of `penstock grants --for {wanted}`, or GRANT penstock_{wanted}"
        yield failure("rights", f"login {login} lacks rights of the role {wanted}", hint)
    elif not may:
        hint = "`penstock grants` prints what each role needs; `penstock migrate --roles` creates the roles"
        yield failure("rights", message, hint)
    elif facts["superuser"]:
        hint = "outside of development, use one login per role: `penstock grants --for worker --to LOGIN`"
        yield warning("rights", f"login {login} is a superuser; no Penstock process needs that", hint)
    else:
        yield ok("rights", message + (", and owns the schema" if facts["owner"] else ""))


def of_connections(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The connections of all clients, and those of this login if it has its own limit."""
    used, limit = facts["connections"], facts["max_connections"]
    message = f"{used} of {plural(limit, 'connection')} in use"
    login_limit, own = facts["login_limit"], facts["login_connections"]
    if login_limit >= 0 and own >= CONNECTIONS_SHARE * login_limit:
        hint = "raise the login's CONNECTION LIMIT; a worker needs four, and one more for each open transaction"
        yield warning("connections", f"this login uses {own} of its {plural(login_limit, 'connection')}", hint)
    elif used >= CONNECTIONS_SHARE * limit:
        hint = "raise max_connections, lower maxReplicas, or use a pooler in transaction mode"
        yield warning("connections", message, hint)
    else:
        yield ok("connections", message)


def of_transactions(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The oldest transaction: autovacuum cannot remove rows that died after it started."""
    check, prepared, oldest = "oldest transaction", facts["prepared"], facts["oldest"]
    if prepared is not None and prepared["seconds"] > OLD_TRANSACTION_SECONDS:
        number = plural(prepared["number"], "prepared transaction")
        message = f"{number}, the oldest open for {format_duration(prepared['seconds'])}"
        yield warning(
            check, message, "ROLLBACK PREPARED those that no transaction manager knows: see pg_prepared_xacts"
        )
    elif oldest is not None and oldest["seconds"] > OLD_TRANSACTION_SECONDS:
        who = f"pid {oldest['pid']} ({safe(oldest['name'] or 'no name')}, {oldest['state']})"
        hint = f"end it, or SELECT pg_terminate_backend({oldest['pid']}); set idle_in_transaction_session_timeout"
        yield warning(
            check,
            f"{who} open for {format_duration(oldest['seconds'])}: autovacuum cannot remove newer dead rows",
            hint,
        )
    elif not facts["sees_all"]:
        message = "this login sees only its own transactions; none of them is old"
        yield skipped(check, message, "GRANT pg_read_all_stats to check the transactions of other logins")
    else:
        yield ok(check, "none" if oldest is None else f"open for {format_duration(oldest['seconds'])}")


def of_tables(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Dead rows that autovacuum has not removed yet."""
    worst = max(facts["tables"], key=lambda one: one["dead"], default=None)
    if worst is None:
        yield skipped("dead tuples", "the server has no statistics for the schema's tables")
        return
    message = (
        f"{worst['dead']:,} in penstock.{worst['name']}, {worst['live']:,} live, vacuumed {_ago(worst['vacuumed'])}"
    )
    if worst["dead"] > max(DEAD_TUPLES, worst["live"]):
        hint = f"end old transactions, check that autovacuum is on, then VACUUM penstock.{worst['name']}"
        yield warning("dead tuples", message, hint)
    else:
        yield ok("dead tuples", message)


def _ago(value: float | None) -> str:
    return "never" if value is None else f"{format_duration(value)} ago"


def of_partitions(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that outcomes have partitions; without one for today no job can finish. `partitions`: those attached."""
    last, today = facts["last_partition"], facts["today"]
    hint = "run `penstock migrate`; after that maintenance, in a worker or the operator, creates them 14 days ahead"
    if last is None or last < today or today not in facts.get("partitions", [today]):
        yield failure(
            "partitions", "outcome has no partition for today: no job can finish until a worker creates it", hint
        )
    elif last == today:
        yield warning("partitions", "outcome has no partition for tomorrow", hint)
    else:
        yield ok("partitions", f"outcome has partitions until {last.removeprefix('outcome_')}")


def of_clock(skew: float, round_trip: float) -> Iterator[Finding]:
    """The local clock compared with the server's."""
    message = f"the local clock differs by {skew:+.3f} s from the server's"
    if abs(skew) > SKEW_SECONDS + round_trip / 2:
        hint = "enable NTP on this machine; jobs do not depend on it, but times in logs and metrics will not match"
        yield warning("clock", message, hint)
    else:
        yield ok("clock", message)


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def of_functions(*, same: bool) -> Iterator[Finding]:
    """Check that the functions in the database are those of this release."""
    if same:
        yield ok("functions", "match this release")
    else:
        hint = "run `penstock migrate`, unless an upgrade of this process is still to come"
        yield warning("functions", "the functions in the database are those of another release", hint)


def of_state(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Maintenance and the jobs that wait for it; workers; jobs that no worker can run."""
    leaders = {leader["name"]: leader for leader in state["leaders"]}
    leader, alive = leaders.get("maintenance"), state["workers"].get("running", 0)
    late = state["overdue_seconds"] or 0.0
    hint = "start a worker or the operator; if one runs, check its log for maintenance errors"
    if leader is not None and leader["lease_left"] > 0:
        yield ok("maintenance", f"leader {safe(leader['holder'])} for {format_duration(leader['leading_seconds'])}")
    elif leader is not None and leader["lease_left"] > -CHANGE_SECONDS and late <= OVERDUE_SECONDS:
        message = (
            f"no leader: the lease of {safe(leader['holder'])} expired {format_duration(-leader['lease_left'])} ago"
        )
        yield warning("maintenance", message, "check again in 30 s: another worker or the operator takes over")
    elif alive or late > OVERDUE_SECONDS:
        yield failure("maintenance", "no leader: due jobs stay deferred, and lost workers keep their jobs", hint)
    else:
        yield ok("maintenance", "no leader and none needed: no worker runs, and no job is due")
    if late > OVERDUE_SECONDS:
        number = plural(state["overdue"], "deferred job is", "deferred jobs are")
        message = f"{number} due but not promoted, the oldest for {format_duration(late)}"
        yield failure("due jobs", message, hint)
    else:
        yield ok("due jobs", "none is overdue")
    yield from _of_workers(state)


def _of_workers(state: Mapping[str, Any]) -> Iterator[Finding]:
    gone = state["workers"].get("lapsed", 0) + state["workers"].get("lost", 0)
    counts = ", ".join(f"{number} {name}" for name, number in sorted(state["workers"].items())) or "none"
    if gone:
        hint = "wait for one lease (15 s); if they remain, maintenance has no leader"
        yield warning("workers", f"{counts}: lapsed and lost workers still hold claims", hint)
    else:
        yield ok("workers", counts)
    if unknown := state["unknown"]:
        hint = "deploy workers with these tasks, or cancel the jobs: `penstock jobs cancel --task NAME --dry-run`"
        yield warning("tasks known", f"jobs wait because no worker has their task: {_tasks(unknown)}", hint)
    else:
        yield ok("tasks known", "no job waits for a worker that has its task")
    if incompatible := state.get("incompatible"):
        hint = "deploy workers of the release that enqueued them; `penstock jobs why ID` says how long a job has waited"
        yield warning(
            "arguments fit", f"jobs wait because no worker accepts their arguments: {_tasks(incompatible)}", hint
        )
    else:
        yield ok("arguments fit", "no job waits for a worker that accepts its arguments")


def _tasks(tasks: list[str]) -> str:
    return ", ".join(safe(task) for task in tasks[:5]) + (", …" if len(tasks) > 5 else "")
