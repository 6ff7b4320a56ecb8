"""The checks of `penstock doctor` for the settings of the server, the database and the login. Pure.

Penstock sets most unusual settings back in its own sessions; those are reported as ok. A setting that an ordinary login
cannot change, or that costs round trips on each statement, is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.store.session_settings import SETTINGS, needs_transactions

from .doctor_checks import Finding, ok, warning
from .output import safe


def of_settings(found: Mapping[str, Any], *, login: str, pooled: bool) -> Iterator[Finding]:
    """Findings about the encoding, the settings that Penstock relies on, and those that only a superuser can change.

    Args:
        found: the result of sql/settings.sql.
        login: the login that the settings apply to.
        pooled: whether the connection goes through a pooler.
    """
    yield _of_encoding(found["encoding"])
    yield _of_relied_on(found["settings"], login=login, pooled=pooled)
    yield from _of_the_rest(found)


def _of_encoding(encoding: str) -> Finding:
    if encoding == "UTF8":
        return ok("encoding", "UTF8")
    hint = "move to a database created with ENCODING 'UTF8' TEMPLATE template0"
    if encoding == "SQL_ASCII":
        message = "SQL_ASCII: the server does not validate text; text in other encodings cannot be read"
        return warning("encoding", message, hint)
    return warning("encoding", f"{encoding}: jobs and results with other characters are refused", hint)


def _of_relied_on(settings: Mapping[str, str], *, login: str, pooled: bool) -> Finding:
    unusual = [s for s in SETTINGS if s.name in settings and not re.search(s.accepted, settings[s.name])]
    if not unusual:
        return ok("settings", "those that Penstock relies on have their default values")
    named = ", ".join(f"{s.name} = {safe(settings[s.name]) or 'empty'}" for s in unusual)
    if not pooled:
        return ok("settings", f"{named}: Penstock overrides them in its sessions; your own connections keep them")
    if not needs_transactions([s.name for s in unusual]):
        return ok("settings", f"{named}: they do not apply to sessions of the pooler")
    hint = f"ALTER ROLE {safe(login)} SET {unusual[0].name} = '{unusual[0].value}', and so on, for a login of its own"
    return warning("settings", f"{named}: through the pooler, each statement costs two more round trips", hint)


def _of_the_rest(found: Mapping[str, Any]) -> Iterator[Finding]:
    """Settings that an ordinary login cannot change."""
    settings = found["settings"]
    role = settings.get("session_replication_role", "origin")
    if role != "origin":
        message = f"session_replication_role is {role}: triggers do not fire for this login"
        yield warning("triggers", message, "ALTER ROLE … RESET session_replication_role, as a superuser")
    messages = settings.get("lc_messages", "C")
    if re.match(r"(C|POSIX|en)\b|$|en_", messages) is None:
        message = f"lc_messages is {safe(messages)}: a refused login may be reported as an unreachable server"
        yield warning("messages", message, "ALTER SYSTEM SET lc_messages = 'C'")
    if names := [safe(name) for name in found["row_security"]]:
        hint = "; ".join(f"ALTER TABLE penstock.{name} DISABLE ROW LEVEL SECURITY" for name in names)
        yield warning(
            "row security", f"row security is on for {', '.join(names)}: it hides rows from Penstock's roles", hint
        )
