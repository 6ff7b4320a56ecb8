"""Open transactions whose locks block jobs, described for `penstock doctor` and `penstock jobs why`. Pure.

The facts come from functions/lock_holders.sql and functions/row_holder.sql.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from penstock.plural import plural

from .doctor_checks import NAMED, Finding, ok, warning
from .output import format_duration, safe


def who(holder: Mapping[str, Any]) -> str:
    """The transaction, by its process or by the identifier under which it was prepared."""
    age = "" if holder["seconds"] is None else f" for {format_duration(float(holder['seconds']))}"
    if holder["pid"] is None:
        return f"prepared transaction {safe(str(holder['prepared']))}{age}"
    parts = [safe(str(part)) for part in (holder["name"], holder["state"]) if part]
    return f"pid {holder['pid']}" + (f" ({', '.join(parts)})" if parts else "") + age


def termination_advice(holder: Mapping[str, Any]) -> str:
    """Return the advice on how to finish the transaction."""
    if holder["pid"] is None:
        return "if no transaction manager knows the transaction, ROLLBACK PREPARED it: see pg_prepared_xacts"
    return f"end the transaction, or SELECT pg_terminate_backend({holder['pid']})"


def of_table_locks(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Transactions that lock whole tables; checked first, because every query of a locked table fails."""
    yield from _of("table locks", facts["table_locks"])


def of_locks(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Transactions that lock rows; yields nothing for an older schema."""
    if (holders := state.get("locks")) is not None:
        yield from _of("row locks", holders)


def _of(check: str, holders: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    if not holders:
        yield ok(check, "no open transaction blocks jobs")
        return
    message = "; ".join(f"{who(holder)} locks {_what(holder)}{_blocked(holder)}" for holder in holders[:NAMED])
    more = len(holders) - NAMED
    message += f"; and {more} more" if more > 0 else ""
    advice = termination_advice(holders[0])
    yield warning(check, message, f"{advice}; set idle_in_transaction_session_timeout for its login")


def _what(holder: Mapping[str, Any]) -> str:
    tables = [f"the table {safe(str(name))}" for name in holder.get("tables") or ()]
    count = holder["rows"]
    rows = [f"{plural(count, 'row')}, for example {safe(str(holder['example']))}"] if count else []
    return " and ".join([*tables, *rows])


def _blocked(holder: Mapping[str, Any]) -> str:
    count = holder["blocked"]
    return f" and blocks {plural(count, 'session')}" if count else ""
