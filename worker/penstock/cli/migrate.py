"""`penstock migrate`: bring the database's schema up to date, or print what would."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from penstock.database.variables import DATABASE_VARIABLES
from penstock.errors import SchemaMismatch
from penstock.settings import Settings


def migrate(
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the whole as a script; no database is needed.")] = False,
    roles: Annotated[
        bool, typer.Option("--roles", help="Also make the group roles and grant; see `penstock grants`.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if somebody changed the schema by hand.")
    ] = False,
) -> None:
    """Create or upgrade the schema `penstock`; safe to run again.

    The database is PENSTOCK_DIRECT_URL, or PENSTOCK_DATABASE_URL; its role must be allowed to create the schema.

    Example: penstock migrate --roles
    """
    from penstock import store  # noqa: PLC0415 - the driver is loaded when it is needed

    if sql:
        typer.echo(store.migration_sql(roles=roles), nl=False)
        return
    settings = Settings.from_env({name: os.environ.get(name, "") for name in DATABASE_VARIABLES})
    if check:
        if found := store.differences(settings.direct_url):
            raise SchemaMismatch(f"schema penstock is not as this release made it: {'; '.join(found)}")
        typer.echo(f"schema penstock: version {store.latest_version()}, as this release made it")
        return
    done = store.migrate(settings.direct_url, roles=roles)
    if done.applied:
        what = f"applied {', '.join(map(str, done.applied))}"
    else:
        what = "functions replaced" if done.functions else "nothing to do"
    typer.echo(f"schema penstock: version {done.version}, {what}{', roles granted' if roles else ''}")
