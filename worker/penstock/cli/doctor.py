"""`penstock doctor`: check everything that jobs depend on, and report what is wrong and what to do about it.

Every check is made even if another one failed, unless it depends on it. Changes nothing. Never prints a password: the
driver's errors contain hosts and logins at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.database.system_certificates import use_system_certificates
from penstock.errors import ConfigurationError, PenstockError, SchemaMismatch, SchemaMissing, StoreError
from penstock.plural import plural
from penstock.settings import Settings

from . import doctor_checks, doctor_copy_checks, doctor_queue_checks, lock_holders
from .database import DatabaseUrls, JobQueueOption, Namespace, OutputOption, database_urls
from .doctor_checks import Finding, Level, failure, ok, skipped, warning
from .output import safe, write

if TYPE_CHECKING:
    from penstock.store.inspect.diagnostics import Diagnostics


def doctor(
    *,
    role: Annotated[
        str | None, typer.Option("--for", help="Fail unless the login has the rights of this role, as `worker`.")
    ] = None,
    output: OutputOption = "table",  # type: ignore[assignment]
    jobqueue: JobQueueOption = None,
    namespace: Namespace = None,
) -> None:
    """Check the database, its settings, workers and queues.

    Checks the URL, the server with its version and settings, the schema, the login's rights, changes made by hand (as
    the schema's owner), LISTEN on the direct URL, clocks, connections, old transactions, locks, dead tuples,
    partitions, maintenance, workers, and paused or unserved queues. Changes nothing and prints no password. Exit code
    1 if a check failed, 0 if there are only warnings.

    Example: penstock doctor --for worker
    """
    from penstock import store  # noqa: PLC0415 - the driver is loaded when it is needed

    if role is not None and role not in store.roles():
        raise ConfigurationError(f"--for must be one of {', '.join(store.roles())}, got {role!r}")
    found = list(_examine(role, jobqueue, namespace))
    failed = sum(finding.level is Level.FAILURE for finding in found)
    warned = sum(finding.level is Level.WARNING for finding in found)
    value = {"healthy": not failed, "failures": failed, "warnings": warned, "checks": found}
    write(output, value, drawn=_drawn(found) + f"\n{plural(failed, 'failure')}, {plural(warned, 'warning')}\n")
    raise typer.Exit(1 if failed else 0)


def _drawn(found: list[Finding]) -> str:
    signs = {Level.OK: "ok", Level.SKIPPED: "skipped", Level.WARNING: "WARNING", Level.FAILURE: "FAILURE"}
    width = max(len(finding.check) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{signs[finding.level]:8} {finding.check.ljust(width)}  {safe(finding.message)}")
        if finding.hint:
            lines.append(f"{'':8} {'':{width}}  -> {safe(finding.hint)}")
    return "\n".join(lines) + "\n"


def _examine(role: str | None, jobqueue: str | None, namespace: str | None) -> Iterator[Finding]:
    """All checks in order; later ones use what earlier ones found out."""
    from penstock.store.errors import check_url  # noqa: PLC0415
    from penstock.store.inspect.diagnostics import Diagnostics  # noqa: PLC0415

    from .doctor_settings_checks import of_settings  # noqa: PLC0415

    try:
        urls = database_urls(jobqueue, namespace)
        for url in {urls.url, urls.direct_url}:
            check_url(url)
    except PenstockError as error:
        hint = "set PENSTOCK_DATABASE_URL to postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        yield failure("url", str(error), hint)
        return
    yield ok("url", "valid" + (", with a direct URL" if urls.pooled else ""))
    if "sslrootcert=system" in f"{urls.url} {urls.direct_url}":
        yield _certificates()
    with Diagnostics(urls.url, direct_url=urls.direct_url) as checkup:
        try:
            server = checkup.server()
        except StoreError as error:
            yield failure(
                "reachable", str(error), "check that the server is up, that the host name resolves here, and the login"
            )
            return
        facts = server.facts
        yield ok("reachable", f"{server.host}:{server.port}, database {facts['database']}, login {facts['login']}")
        yield from doctor_checks.of_server(facts)
        yield from of_settings(checkup.settings(), login=facts["login"], pooled=urls.pooled)
        yield from _schema(urls, facts, role)
        yield from _listen(urls, checkup)
        yield from doctor_checks.of_clock(server.skew, server.round_trip)
        yield from doctor_checks.of_connections(facts)
        yield from doctor_checks.of_transactions(facts)
        yield from lock_holders.of_table_locks(facts)
        if facts["schema"]:
            yield from doctor_checks.of_tables(facts)
            yield from doctor_checks.of_partitions(facts)
            yield from _state(urls, checkup)


def _certificates() -> Finding:
    """The file of authorities that `sslrootcert=system` uses."""
    used = use_system_certificates()
    if used is None:
        hint = "install ca-certificates, or set SSL_CERT_FILE to a PEM file of authorities"
        return failure("certificates", "sslrootcert=system, but this machine has no file of authorities", hint)
    return ok("certificates", f"sslrootcert=system uses {used}")


def _schema(urls: DatabaseUrls, facts: dict[str, Any], role: str | None) -> Iterator[Finding]:
    """The schema's version, the login's rights, and changes made by hand."""
    from penstock import store  # noqa: PLC0415
    from penstock.store.inspect.diagnostics import rights  # noqa: PLC0415
    from penstock.store.quoting import quoted  # noqa: PLC0415

    if not facts["schema"]:
        yield failure("schema", "this database has no schema penstock", "run `penstock migrate`")
        return
    try:
        version = store.check_schema(urls.url)
        newer = version > store.latest_version()
        message = f"version {version}" + (
            f", newer than version {store.latest_version()} of this release" if newer else ""
        )
        yield warning("schema", message, "upgrade this process") if newer else ok("schema", message)
    except (SchemaMissing, SchemaMismatch) as error:
        yield failure("schema", str(error), "run `penstock migrate` as its owner")
    except StoreError:
        yield skipped(
            "schema", "this login may not read the version", "use the login of a worker, the operator or the owner"
        )
    yield from doctor_checks.of_rights(facts, rights(facts), role)
    if not facts["owner"]:
        yield skipped("drift", "only the schema's owner can compare it", "as the owner: `penstock migrate --check`")
        return
    if not facts["may_create"]:
        grant = f"GRANT CREATE ON DATABASE {quoted(facts['database'])} TO {quoted(facts['login'])};"
        yield skipped("drift", "the comparison needs to create a temporary schema", f"as an administrator: {grant}")
        return
    yield from _guarded("drift", lambda: _drift(store.schema_drift(urls.url)))


def _drift(changed: list[str]) -> Iterator[Finding]:
    if changed:
        hint = "run `penstock migrate`, then `penstock migrate --check`, which lists what was changed by hand"
        differ = plural(len(changed), "object differs", "objects differ")
        yield failure("drift", f"{differ} from this release: {changed[0]}", hint)
    else:
        yield ok("drift", "the schema matches this release")


def _listen(urls: DatabaseUrls, checkup: Diagnostics) -> Iterator[Finding]:
    if not Settings.from_env({"PENSTOCK_LISTEN": os.environ.get("PENSTOCK_LISTEN", "")}, urls=False).listen:
        yield skipped("listen", "PENSTOCK_LISTEN is false: workers find jobs by polling")
        return
    through = " on the direct URL" if urls.pooled else ""
    try:
        yield ok("listen", f"a notification arrived after {checkup.listen_delay() * 1000:.1f} ms{through}")
    except StoreError as error:
        hint = "workers fall back to polling; set PENSTOCK_DIRECT_URL to the server itself, or PENSTOCK_LISTEN=false"
        yield warning("listen", str(error), hint)


def _state(urls: DatabaseUrls, checkup: Diagnostics) -> Iterator[Finding]:
    from penstock.store.inspect.inspection import Reader  # noqa: PLC0415
    from penstock.store.schema.migrate import current_checksum  # noqa: PLC0415

    def queues() -> Iterator[Finding]:
        with Reader(urls.url, pooled=urls.pooled) as reader:
            return doctor_queue_checks.of_queues(reader.queues())

    def state() -> Iterator[Finding]:
        facts = checkup.state()
        yield from doctor_checks.of_functions(same=facts["functions"] == current_checksum())
        yield from doctor_queue_checks.of_undeclared(facts)
        yield from lock_holders.of_locks(facts)
        yield from doctor_copy_checks.of_integrity(facts)
        yield from doctor_checks.of_state(facts)

    yield from _guarded("state", lambda: iter(list(state())))
    yield from _guarded("queues", queues)


def _guarded(check: str, make: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The findings of `make`; one that says so if the login lacks the right."""
    try:
        found = make()
    except StoreError as error:
        lacks = "lacks a right" in str(error)
        hint = "use a login of the role observer or operator" if lacks else "see the error"
        yield (skipped if lacks else failure)(check, str(error), hint)
    else:
        yield from found
