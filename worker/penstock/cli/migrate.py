"""`penstock migrate`: create or upgrade the schema, print the SQL for it, or check it for changes made by hand."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from penstock.database.variables import DATABASE_VARIABLES
from penstock.errors import SchemaMismatch
from penstock.plural import plural_word
from penstock.settings import Settings


def migrate(
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the migrations as an SQL script, without a database.")
    ] = False,
    roles: Annotated[
        bool, typer.Option("--roles", help="Also create the group roles with their grants; see `penstock grants`.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail if the schema was changed by hand.")
    ] = False,
) -> None:
    """Create or upgrade the schema `penstock`; idempotent.

    The database is PENSTOCK_DIRECT_URL or, without it, PENSTOCK_DATABASE_URL. The login must be allowed to create the
    schema.

    Example: penstock migrate --roles
    """
    from penstock import store  # noqa: PLC0415 - the driver is loaded when it is needed

    if sql:
        typer.echo(store.migration_sql(roles=roles), nl=False)
        return
    settings = Settings.from_env({name: os.environ.get(name, "") for name in DATABASE_VARIABLES})
    if check:
        if found := store.schema_drift(settings.direct_url):
            raise SchemaMismatch(f"schema penstock differs from this release: {'; '.join(found)}")
        typer.echo(f"schema penstock: version {store.latest_version()}, unchanged since `penstock migrate`")
        return
    done = store.migrate(settings.direct_url, roles=roles)
    if done.applied:
        number = plural_word(len(done.applied), "migration")
        what = f"applied {number} {', '.join(map(str, done.applied))}"
    else:
        what = "replaced the functions" if done.functions else "nothing to do"
    typer.echo(f"schema penstock: version {done.version}, {what}{', roles granted' if roles else ''}")
