"""What `penstock doctor` says of the settings of the server, the database and the login. Pure.

Most of what can be set to something unusual is set again for each session, and only mentioned. A warning is what cannot
be set by an ordinary login, or what is paid for with each statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.store.session import SETTINGS, needs_transactions

from .findings import Finding, ok, warning
from .output import safe


def of_settings(found: Mapping[str, Any], *, login: str, pooled: bool) -> Iterator[Finding]:
    """Findings about the encoding, the settings that are relied on, and those that nothing can be done about.

    Args:
        found: see sql/settings.sql.
        login: whose settings they are.
        pooled: a pooler stands before the server.
    """
    yield _of_encoding(found["encoding"])
    yield _of_relied_on(found["settings"], login=login, pooled=pooled)
    yield from _of_the_rest(found)


def _of_encoding(encoding: str) -> Finding:
    if encoding == "UTF8":
        return ok("encoding", "UTF8")
    do = "move to a database made with ENCODING 'UTF8' TEMPLATE template0"
    if encoding == "SQL_ASCII":
        said = "SQL_ASCII: the server checks no text, and what other programs write in another encoding is unreadable"
        return warning("encoding", said, do)
    return warning("encoding", f"{encoding}: jobs and results with characters that it lacks are refused", do)


def _of_relied_on(settings: Mapping[str, str], *, login: str, pooled: bool) -> Finding:
    unusual = [s for s in SETTINGS if s.name in settings and not re.search(s.accepted, settings[s.name])]
    if not unusual:
        return ok("settings", "those that Penstock relies on have their usual values")
    named = ", ".join(f"{s.name} = {safe(settings[s.name]) or 'empty'}" for s in unusual)
    if not pooled:
        return ok("settings", f"{named}: Penstock sets its own in each session; your own connections keep these")
    if not needs_transactions([s.name for s in unusual]):
        return ok("settings", f"{named}: not for sessions of the pooler")
    do = f"ALTER ROLE {safe(login)} SET {unusual[0].name} = '{unusual[0].value}', and so on, for a login of its own"
    return warning("settings", f"{named}: behind the pooler each statement sets its own, for two more round trips", do)


def _of_the_rest(found: Mapping[str, Any]) -> Iterator[Finding]:
    """What an ordinary login cannot set."""
    settings = found["settings"]
    role = settings.get("session_replication_role", "origin")
    if role != "origin":
        said = f"session_replication_role is {role}: triggers do not fire for this login"
        yield warning("triggers", said, "ALTER ROLE … RESET session_replication_role, as a superuser")
    messages = settings.get("lc_messages", "C")
    if re.match(r"(C|POSIX|en)\b|$|en_", messages) is None:
        said = f"the server's messages are in {safe(messages)}: a refused login may read as an unreachable server"
        yield warning("messages", said, "ALTER SYSTEM SET lc_messages = 'C'")
    if names := [safe(name) for name in found["row_security"]]:
        do = "; ".join(f"ALTER TABLE penstock.{name} DISABLE ROW LEVEL SECURITY" for name in names)
        yield warning("row security", f"row security is on for {', '.join(names)}: it hides rows from the roles", do)
