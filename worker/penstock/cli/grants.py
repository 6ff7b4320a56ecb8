"""`penstock grants`: print the rights of each role as SQL, for a database administrator. Needs no database."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.errors import ConfigurationError


def grants(
    *,
    role: Annotated[
        str | None,
        typer.Option("--for", help="Role to print: enqueuer, client, bulk_enqueuer, worker, operator or observer."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Grant to this login directly, without group roles; repeat it after each migration."),
    ] = None,
) -> None:
    """Print the minimum rights of each role as SQL.

    The script is idempotent; the owner of the schema runs it. Without options it creates the group roles penstock_ROLE
    that do not exist yet; `GRANT penstock_worker TO shop` then gives a login its role. `penstock migrate --roles` runs
    the same SQL.

    Example: penstock grants --for worker --to shop_worker
    """
    from penstock import store  # noqa: PLC0415 - the driver is loaded when it is needed

    if to is not None and role is None:
        raise ConfigurationError(f"--to needs a role: --for {'|'.join(store.roles())} --to {to}")
    typer.echo(store.roles_sql() if role is None else store.grants_sql(role, to), nl=False)
