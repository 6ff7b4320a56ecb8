"""The rights of each role: prints or runs the sections of `roles.sql`.

Functions that a role may execute run as their owner with a fixed search_path: no role needs a table. The roles belong
to the whole server, the grants to one database: a member has the rights in every database that it may connect to and
that was migrated with `--roles`. Role names come only from the file; a login is always quoted.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import Any, Final

import psycopg

from penstock.errors import ConfigurationError, MissingRights

from ..quoting import quoted
from .migration_rights import missing_roles

PREFIX: Final = "penstock_"
_AS_CALLER: Final = ("wake",)
"""Granted, but run with the caller's rights: almost every function calls it, and SECURITY DEFINER doubles the cost."""
_CALLERS_TRANSACTION: Final = ("enqueue", "enqueue_many", "enqueue_quietly", "begin_copy", "open_copy", "close_copy")
"""Functions that run in transactions of applications, whose own lock_timeout applies."""
LOCK_TIMEOUT: Final = "2s"
"""The lock timeout of every other function, unless its file sets a shorter one."""
_HEADING: Final = re.compile(r"^-- role: (\w+)$", re.MULTILINE)
_EXECUTE: Final = re.compile(r"GRANT EXECUTE ON FUNCTION ([^;]*) TO ")
_CREATE: Final = """\
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
    CREATE ROLE {role} NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- made meanwhile, for another database
END $$;
"""
_SEAL: Final = """\
DO $$
DECLARE
  v_function regprocedure;
  v_bounded boolean;
BEGIN
  FOR v_function, v_bounded IN
    SELECT p.oid, p.proname = ANY ('{{{unbounded}}}') OR array_to_string(p.proconfig, ' ') ~ 'lock_timeout='
    FROM pg_proc AS p WHERE p.pronamespace = 'penstock'::regnamespace AND p.proname = ANY ('{{{names}}}') LOOP
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, pg_temp', v_function);
    IF v_bounded IS NOT TRUE THEN
      EXECUTE format('ALTER FUNCTION %s SET lock_timeout = ''{timeout}''', v_function);
    END IF;
  END LOOP;
END $$;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA penstock FROM PUBLIC"""
"""Every login may execute a new function until that is revoked."""
_CLEAR: Final = """\
REVOKE ALL ON ALL TABLES IN SCHEMA penstock FROM {role};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA penstock FROM {role};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA penstock FROM {role};
"""
"""Revokes what an earlier release granted and this one does not."""
_LACKING_USAGE: Final = b"""\
SELECT rolname FROM pg_roles
WHERE rolname = ANY (%s) AND NOT has_schema_privilege(oid, 'penstock', 'USAGE') ORDER BY rolname"""
_IN_USE: Final = b"""\
SELECT rolname FROM pg_roles
WHERE rolname = ANY (%s) AND NOT rolsuper AND has_schema_privilege(oid, 'penstock', 'USAGE')"""


@functools.cache
def _sections() -> dict[str, str]:
    text = (resources.files("penstock.store") / "roles.sql").read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    return {role: body.strip() + "\n" for role, body in zip(parts[::2], parts[1::2], strict=True)}


def roles() -> list[str]:
    """The short names of the roles, in the order of the file."""
    return list(_sections())


def executable(role: str) -> list[str]:
    """Names of the functions that a role may execute, sorted."""
    listed = " ".join(_EXECUTE.findall(_sections()[role]))
    return sorted(set(re.findall(r"penstock\.(\w+)", listed)))


def grants_sql(role: str, to: str | None = None) -> str:
    """The grants of one role, as an idempotent script.

    Args:
        role: one of `roles()`.
        to: a login that gets them directly; None: the group role, which is created if it is missing.

    Raises:
        ConfigurationError: there is no such role, or the login's name is empty or contains NUL.
    """
    if role not in _sections():
        raise ConfigurationError(f"role must be one of {', '.join(roles())}, got {role!r}")
    if to is None:
        return _CREATE.format(role=PREFIX + role) + _sections()[role]
    if not to or "\0" in to:
        raise ConfigurationError(f"a login's name must be text without NUL, got {to!r}")
    return re.sub(rf" TO {PREFIX}{role};", lambda _: f" TO {quoted(to)};", _sections()[role])


def roles_sql() -> str:
    """All group roles with their grants, as an idempotent script."""
    return "\n".join(grants_sql(role) for role in roles())


def seal_sql() -> str:
    """The statements after every installation of the functions: PUBLIC may execute none; granted ones run as their
    owner and have a lock_timeout.
    """
    names = {name for role in roles() for name in executable(role)}
    return _SEAL.format(
        names=",".join(sorted(names.difference(_AS_CALLER))),
        unbounded=",".join(_CALLERS_TRANSACTION),
        timeout=LOCK_TIMEOUT,
    )


def create_and_grant(connection: psycopg.Connection[Any]) -> None:
    """Create the missing group roles, and grant.

    Raises:
        MissingRights: this login may not create a missing role, or may not grant; nothing was changed.
    """
    missing = missing_roles(connection, [PREFIX + role for role in roles()])
    for role in roles():
        try:
            connection.execute(_CREATE.format(role=PREFIX + role).encode())
        except psycopg.errors.InsufficientPrivilege:
            raise MissingRights(
                f"migrate: this login may not create roles; as an administrator run: {missing} and migrate again, or "
                "grant to logins directly with `penstock grants --for ROLE --to LOGIN`"
            ) from None
        _grant(connection, role)
    _check_usage(connection)


def _check_usage(connection: psycopg.Connection[Any]) -> None:
    """Raise if a grant had no effect: the server only warns a login that may not grant."""
    lacking = [name for (name,) in connection.execute(_LACKING_USAGE, ([PREFIX + role for role in roles()],))]
    if lacking:
        raise MissingRights(
            "migrate: this login may not grant the use of the schema; as the schema's owner run: "
            f"GRANT USAGE ON SCHEMA penstock TO {', '.join(lacking)}; and migrate again"
        )


def grant_again(connection: psycopg.Connection[Any]) -> None:
    """Grant this release's rights to the group roles that are in use in this database; others stay unchanged."""
    names = [PREFIX + role for role in roles()]
    in_use = {name for (name,) in connection.execute(_IN_USE, (names,))}
    for role in roles():
        if PREFIX + role in in_use:
            _grant(connection, role)


def _grant(connection: psycopg.Connection[Any], role: str) -> None:
    connection.execute((_CLEAR.format(role=PREFIX + role) + _sections()[role]).encode())
