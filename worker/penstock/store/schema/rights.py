"""Checks that a login has the rights of its role, and makes the SQL that grants the missing ones.

One query over the catalog, which any login may read: the answer names every missing right, not only the first. The SQL
is for a person to run; role names in it are quoted.
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
"""The first server version in which memberships have an INHERIT option."""


class _Found(NamedTuple):
    login: str
    usage: bool
    functions: list[str]
    """Functions of the role that the login may not execute."""
    exists: bool
    member: bool
    inherits: bool
    version: int


def check_rights(url: Url, role: str, *, pooled: bool = False) -> None:
    """Check that a login has the rights of a role.

    Args:
        url: of the login; never printed.
        role: one of `roles()`, for example `operator`.
        pooled: the URL leads to a pooler in transaction mode.

    Raises:
        MissingRights: the message names the missing rights and the SQL that grants them.
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
    raise MissingRights(f'login "{found.login}" lacks {lacks}. As the owner of the schema {grant_remedy(found, role)}')


def grant_remedy(found: _Found, role: str) -> str:
    """The SQL that the schema's owner must run."""
    group, login = PREFIX + role, quoted(found.login)
    if not found.exists:
        return f"run: penstock migrate --roles, then in SQL: GRANT {group} TO {login};"
    if not found.member:
        return f"run: GRANT {group} TO {login};"
    if not found.inherits and found.version >= _INHERIT_OPTION:
        return f"run: GRANT {group} TO {login} WITH INHERIT TRUE; (it is a member, but does not inherit)"
    if not found.inherits:
        return f"run: ALTER ROLE {login} INHERIT; (it is a member of {group}, but does not inherit)"
    return f"run: penstock migrate --roles (the role {group} lacks it in this database)"
