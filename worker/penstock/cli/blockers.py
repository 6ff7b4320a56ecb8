"""Open transactions that hold what jobs need, in words, for `penstock doctor` and `penstock jobs why`. Pure.

Facts: see functions/lock_holders.sql and functions/row_holder.sql.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .findings import NAMED, Finding, ok, warning
from .output import safe, seconds


def who(holder: Mapping[str, Any]) -> str:
    """The transaction: its process, or the identifier under which it was prepared."""
    age = "" if holder["seconds"] is None else f" for {seconds(float(holder['seconds']))}"
    if holder["pid"] is None:
        return f"prepared transaction {safe(str(holder['prepared']))}{age}"
    parts = [safe(str(part)) for part in (holder["name"], holder["state"]) if part]
    return f"pid {holder['pid']}" + (f" ({', '.join(parts)})" if parts else "") + age


def remedy(holder: Mapping[str, Any]) -> str:
    """What ends it."""
    if holder["pid"] is None:
        return "ROLLBACK PREPARED it if no transaction manager knows it: see pg_prepared_xacts"
    return f"end its transaction, or SELECT pg_terminate_backend({holder['pid']})"


def of_table_locks(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Who holds whole tables: looked at first, for every look at a table that is held fails."""
    yield from _of("table locks", facts["table_locks"])


def of_locks(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Who holds rows; nothing for a schema that does not tell."""
    if (holders := state.get("locks")) is not None:
        yield from _of("row locks", holders)


def _of(check: str, holders: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    if not holders:
        yield ok(check, "no open transaction holds what jobs need")
        return
    said = "; ".join(f"{who(holder)} holds {_what(holder)}{_blocked(holder)}" for holder in holders[:NAMED])
    more = len(holders) - NAMED
    said += f"; and {more} more" if more > 0 else ""
    yield warning(check, said, f"{remedy(holders[0])}; set idle_in_transaction_session_timeout for such logins")


def _what(holder: Mapping[str, Any]) -> str:
    tables = [f"the table {safe(str(name))}" for name in holder.get("tables") or ()]
    count = holder["rows"]
    rows = [f"{count:,} {'row' if count == 1 else 'rows'}, as {safe(str(holder['example']))}"] if count else []
    return " and ".join([*tables, *rows])


def _blocked(holder: Mapping[str, Any]) -> str:
    count = holder["blocked"]
    return f", {count} {'session waits' if count == 1 else 'sessions wait'} for it" if count else ""
