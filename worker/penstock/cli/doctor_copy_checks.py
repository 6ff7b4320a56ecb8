"""The checks of `penstock doctor` for copied databases and for rows changed by hand. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.plural import plural

from .doctor_checks import SKEW_SECONDS, Finding, failure, ok, some, warning
from .output import format_duration


def of_integrity(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Sequences, marks, the server's clock, orphans and limits; yields nothing for an older schema."""
    found = state.get("integrity")
    if found is None:
        return
    audit = 'run `penstock migrate`, or wait a minute for maintenance; see "Move a database" in the documentation'
    if lagging := found["sequences"]:
        named = [f"{one['sequence']} at {one['last']:,}, highest stored {one['highest']:,}" for one in lagging]
        yield failure("sequences", f"they lag their tables, numbers will repeat: {some(named)}", audit)
    elif below := found["below_marks"]:
        yield failure(
            "sequences", f"jobs below the mark where claims start will not run, in queue {some(below)}", audit
        )
    else:
        yield ok("sequences", "ahead of their tables; no job is below a mark")
    if (ahead := found["clock_lag"] or 0.0) > SKEW_SECONDS:
        hint = "correct the server's clock; older leases expire once a leader has led for a full lease"
        yield warning("server clock", f"{format_duration(ahead)} earlier than a time that the database wrote", hint)
    else:
        yield ok("server clock", "not earlier than the times that the database wrote")
    yield _orphans(found)


def _orphans(found: Mapping[str, Any]) -> Finding:
    """Rows that refer to a row that was removed by hand."""
    hint = "maintenance corrects it within a minute: start a worker or the operator if none runs"
    if queues := found["orphan_queues"]:
        message = f"jobs or dead letters whose queue is missing: {some([f'id {one}' for one in queues])}"
        return failure("orphans", message, f"{hint}; then run `penstock worker APP --queue orphaned-{queues[0]}`")
    if strays := found["strays"]:
        jobs = plural(strays, "running job belongs to a missing worker", "running jobs belong to missing workers")
        return warning("orphans", jobs, hint)
    if limits := found["limits"]:
        return warning("orphans", f"the limit does not count the running jobs of queue {some(limits)}", hint)
    return ok("orphans", "every job has its queue, every running job its worker, every limit its count")
