"""`penstock grants`: print who may do what in the database, for whoever hands out rights. Needs no database."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.errors import ConfigurationError


def grants(
    *,
    role: Annotated[
        str | None,
        typer.Option("--for", help="One role: enqueuer, client, bulk_enqueuer, worker, operator or observer."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Grant to this login directly, where group roles cannot be made; again after each migrate."),
    ] = None,
) -> None:
    """Print the least rights of each role as SQL; safe to run again, by the owner of the schema.

    Without options: the group roles penstock_ROLE, made where they are missing; `GRANT penstock_worker TO shop` then
    gives a login its role. `penstock migrate --roles` does the same itself.

    Example: penstock grants --for worker --to shop_worker
    """
    from penstock import store  # noqa: PLC0415 - the driver is loaded when it is needed

    if to is not None and role is None:
        raise ConfigurationError(f"to needs a role: --for {'|'.join(store.roles())} --to {to}")
    typer.echo(store.roles_sql() if role is None else store.grants_sql(role, to), nl=False)
