"""Whether a login has the rights of its role, and the SQL that grants what it lacks.

One query over the catalog, which any login may read, so the answer names everything that is missing at once instead of
the first statement that is refused. The SQL is for a person to run; names of roles in it are quoted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from penstock.database.source import Url
from penstock.errors import MissingRights

from ..connect import connect
from ..errors import mapped
from ..quoting import quoted
from ..sql_files import statement
from .roles import PREFIX, executable

_SHOWN: Final = 3
"""Functions that a message names."""
_INHERIT_OPTION: Final = 160_000
"""The first server version whose memberships have an INHERIT option of their own."""


class _Found(NamedTuple):
    login: str
    usage: bool
    functions: list[str]
    """Those of the role that the login may not execute."""
    exists: bool
    member: bool
    inherits: bool
    version: int


def check_rights(url: Url, role: str, *, pooled: bool = False) -> None:
    """Ask whether this login may do the work of a role.

    Args:
        url: of the login; never printed.
        role: one of `roles()`, as `operator`.
        pooled: the URL leads to a pooler in transaction mode.

    Raises:
        MissingRights: it may not; the message says what it lacks and has the SQL to run.
        DatabaseUnavailable, InvalidDatabaseURL: as `connect`.
    """
    with connect(url, name="penstock check", pooled=pooled) as connection, mapped("check the rights"):
        row = connection.execute(statement("missing_rights"), (PREFIX + role, executable(role))).fetchone()
    assert row is not None
    found = _Found(*row)
    if found.usage and not found.functions:
        return
    if found.functions:
        shown = ", ".join(found.functions[:_SHOWN])
        more = len(found.functions) - _SHOWN
        lacks = f"EXECUTE on {shown}" + (f" and {more} more" if more > 0 else "")
    else:
        lacks = "USAGE on the schema penstock"
    raise MissingRights(f'login "{found.login}" lacks {lacks}. Let the owner of the schema {remedy(found, role)}')


def remedy(found: _Found, role: str) -> str:
    """What the schema's owner is to run."""
    group, login = PREFIX + role, quoted(found.login)
    if not found.exists:
        return f"run: penstock migrate --roles, then in SQL: GRANT {group} TO {login};"
    if not found.member:
        return f"run: GRANT {group} TO {login};"
    if not found.inherits and found.version >= _INHERIT_OPTION:
        return f"run: GRANT {group} TO {login} WITH INHERIT TRUE; (it is a member, but inherits nothing)"
    if not found.inherits:
        return f"run: ALTER ROLE {login} INHERIT; (it is a member of {group}, but inherits nothing)"
    return f"run: penstock migrate --roles (the role {group} itself lacks it in this database)"
