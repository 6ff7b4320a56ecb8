"""`penstock doctor`: look at everything that makes jobs run, say what is wrong and what to do about it.

Every check is made even when another failed, unless it needs what failed. Changes nothing. Never prints a password:
errors of the driver name hosts and logins at most.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.database.system_certificates import use_system_certificates
from penstock.errors import ConfigurationError, PenstockError, SchemaMismatch, SchemaMissing, StoreError
from penstock.settings import Settings

from . import blockers, copy_findings, findings
from .database import Address, JobQueue, Namespace, Output, address
from .findings import Finding, Level, failure, ok, skipped, warning
from .output import safe, write

if TYPE_CHECKING:
    from penstock.store.checkup import Checkup

_UNREACHABLE = "not looked at: the database cannot be reached"


def doctor(
    *,
    role: Annotated[
        str | None, typer.Option("--for", help="Fail unless the login can do this role's work, as `worker`.")
    ] = None,
    output: Output = "table",  # type: ignore[assignment]
    jobqueue: JobQueue = None,
    namespace: Namespace = None,
) -> None:
    """Check the database and everything around it; exit code 1 if a check fails, 0 if there are only warnings.

    Looks at the URL, the server, its version and settings, the schema, the login's rights, changes by hand (as the
    schema's owner), LISTEN on the direct URL, clocks, connections, old transactions, locks, dead tuples, partitions,
    the upkeep, workers, paused and unserved queues. Changes nothing. What it says never holds a password.

    Example: penstock doctor --for worker
    """
    from penstock import store  # noqa: PLC0415 - the driver is loaded when it is needed

    if role is not None and role not in store.roles():
        raise ConfigurationError(f"for must be one of {', '.join(store.roles())}, got {role!r}")
    found = list(_examine(role, jobqueue, namespace))
    failed = sum(finding.level is Level.FAILURE for finding in found)
    warned = sum(finding.level is Level.WARNING for finding in found)
    value = {"healthy": not failed, "failures": failed, "warnings": warned, "checks": found}
    write(output, value, drawn=_drawn(found) + f"\n{failed} failures, {warned} warnings\n")
    raise typer.Exit(1 if failed else 0)


def _drawn(found: list[Finding]) -> str:
    signs = {Level.OK: "ok", Level.SKIPPED: "skipped", Level.WARNING: "WARNING", Level.FAILURE: "FAILURE"}
    width = max(len(finding.check) for finding in found)
    lines = []
    for finding in found:
        lines.append(f"{signs[finding.level]:8} {finding.check.ljust(width)}  {safe(finding.said)}")
        if finding.do:
            lines.append(f"{'':8} {'':{width}}  -> {safe(finding.do)}")
    return "\n".join(lines) + "\n"


def _examine(role: str | None, jobqueue: str | None, namespace: str | None) -> Iterator[Finding]:
    """Check after check; a generator, so that what one finds out the next can use."""
    from penstock.store.checkup import Checkup  # noqa: PLC0415
    from penstock.store.errors import check_url  # noqa: PLC0415

    from .settings_findings import of_settings  # noqa: PLC0415

    try:
        where = address(jobqueue, namespace)
        for url in {where.url, where.direct_url}:
            check_url(url)
    except PenstockError as error:
        do = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE in PENSTOCK_DATABASE_URL"
        yield failure("url", str(error), do)
        return
    yield ok("url", "parses" + (", a direct one stands beside it" if where.pooled else ""))
    if "sslrootcert=system" in f"{where.url} {where.direct_url}":
        yield _certificates()
    with Checkup(where.url, direct_url=where.direct_url) as checkup:
        try:
            server = checkup.server()
        except StoreError as error:
            yield failure("reachable", str(error), "is the server up, the host name known here, the login right?")
            return
        facts = server.facts
        yield ok("reachable", f"{server.host}:{server.port}, database {facts['database']}, login {facts['login']}")
        yield from findings.of_server(facts)
        yield from of_settings(checkup.settings(), login=facts["login"], pooled=where.pooled)
        yield from _schema(where, facts, role)
        yield from _listen(where, checkup)
        yield from findings.of_clock(server.skew, server.round_trip)
        yield from findings.of_connections(facts)
        yield from findings.of_transactions(facts)
        yield from blockers.of_table_locks(facts)
        if facts["schema"]:
            yield from findings.of_tables(facts)
            yield from findings.of_partitions(facts)
            yield from _state(where, checkup)


def _certificates() -> Finding:
    """What `sslrootcert=system` verifies by."""
    used = use_system_certificates()
    if used is None:
        do = "install ca-certificates, or set SSL_CERT_FILE to a file of authorities in PEM"
        return failure("certificates", "sslrootcert=system, and this machine has no file of authorities", do)
    return ok("certificates", f"sslrootcert=system verifies by {used}")


def _schema(where: Address, facts: dict[str, Any], role: str | None) -> Iterator[Finding]:
    """Version, rights, and what was changed by hand."""
    from penstock import store  # noqa: PLC0415
    from penstock.store.checkup import rights  # noqa: PLC0415
    from penstock.store.quoting import quoted  # noqa: PLC0415

    if not facts["schema"]:
        yield failure("schema", "the schema penstock is not on this database", "run `penstock migrate`")
        return
    try:
        version = store.check_schema(where.url)
        newer = version > store.latest_version()
        said = f"version {version}" + (f"; this release knows {store.latest_version()}" if newer else "")
        yield warning("schema", said, "upgrade this side") if newer else ok("schema", said)
    except (SchemaMissing, SchemaMismatch) as error:
        yield failure("schema", str(error), "run `penstock migrate` as its owner")
    except StoreError:
        yield skipped(
            "schema", "this login may not see the version", "ask with a worker's, the operator's or the owner's"
        )
    yield from findings.of_rights(facts, rights(facts), role)
    if not facts["owner"]:
        yield skipped("drift", "only the schema's owner can compare", "as the owner: `penstock migrate --check`")
        return
    if not facts["may_create"]:
        grant = f"GRANT CREATE ON DATABASE {quoted(facts['database'])} TO {quoted(facts['login'])};"
        yield skipped("drift", "the comparison needs a schema of its own for a moment", f"an administrator: {grant}")
        return
    yield from _guarded("drift", lambda: _drift(store.differences(where.url)))


def _drift(changed: list[str]) -> Iterator[Finding]:
    if changed:
        do = "run `penstock migrate`; what it leaves was changed by hand: see `penstock migrate --check`"
        yield failure("drift", f"{len(changed)} objects are not as this release made them: {changed[0]}", do)
    else:
        yield ok("drift", "the schema is as this release made it")


def _listen(where: Address, checkup: Checkup) -> Iterator[Finding]:
    if not Settings.from_env({"PENSTOCK_LISTEN": os.environ.get("PENSTOCK_LISTEN", "")}, urls=False).listen:
        yield skipped("listen", "PENSTOCK_LISTEN is false: workers find jobs by polling")
        return
    through = " through the direct URL; the pooled one needs none" if where.pooled else ""
    try:
        yield ok("listen", f"a wake-up arrived after {checkup.hears() * 1000:.1f} ms{through}")
    except StoreError as error:
        do = "jobs start by polling only; set PENSTOCK_DIRECT_URL to the server itself, or PENSTOCK_LISTEN=false"
        yield warning("listen", str(error), do)


def _state(where: Address, checkup: Checkup) -> Iterator[Finding]:
    from penstock.store.migrate import current_checksum  # noqa: PLC0415
    from penstock.store.reading import Reader  # noqa: PLC0415

    def queues() -> Iterator[Finding]:
        with Reader(where.url, pooled=where.pooled) as reader:
            return findings.of_queues(reader.queues())

    def state() -> Iterator[Finding]:
        seen = checkup.state()
        yield from findings.of_functions(same=seen["functions"] == current_checksum())
        yield from findings.of_undeclared(seen)
        yield from blockers.of_locks(seen)
        yield from copy_findings.of_integrity(seen)
        yield from findings.of_state(seen)

    yield from _guarded("state", lambda: iter(list(state())))
    yield from _guarded("queues", queues)


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A look that this login may not be allowed: then the finding says so."""
    try:
        found = look()
    except StoreError as error:
        lacks = "lacks a right" in str(error)
        do = "look with a login of the role observer or operator" if lacks else "see the error"
        yield (skipped if lacks else failure)(check, str(error), do)
    else:
        yield from found
