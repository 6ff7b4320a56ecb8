"""What `penstock doctor` says of copies of a database and of rows changed by hand. Pure, as `findings`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .findings import SKEW_SECONDS, Finding, failure, ok, some, warning
from .output import seconds


def of_integrity(state: Mapping[str, Any]) -> Iterator[Finding]:
    """Sequences, marks, the server's clock, orphans and limits; nothing for an older schema."""
    found = state.get("integrity")
    if found is None:
        return
    audit = 'run `penstock migrate` now, or wait a minute for maintenance; see "Move a database" in the documentation'
    if behind := found["sequences"]:
        told = [f"{one['sequence']} at {one['last']:,}, stored is {one['highest']:,}" for one in behind]
        yield failure("sequences", f"behind the tables, so numbers are given twice: {some(told)}", audit)
    elif below := found["below_marks"]:
        yield failure("sequences", f"jobs lie below the marks, where no claim sees them, in queue {some(below)}", audit)
    else:
        yield ok("sequences", "ahead of the tables, and no job lies below a mark")
    if (ahead := found["clock_behind"] or 0.0) > SKEW_SECONDS:
        do = "set the server's clock right; leases from before it was set back end once a leader has led for as long"
        yield warning("server clock", f"it stands {seconds(ahead)} behind a time that the database wrote itself", do)
    else:
        yield ok("server clock", "it is not behind what the database wrote")
    yield _orphans(found)


def _orphans(found: Mapping[str, Any]) -> Finding:
    """Rows whose other half was removed by hand."""
    do = "maintenance corrects it within a minute: start a worker or the operator if none runs"
    if queues := found["orphan_queues"]:
        said = f"jobs or dead letters of queues without a row: {some([f'id {one}' for one in queues])}"
        return failure("orphans", said, f"{do}; then run them by `penstock worker APP --queue orphaned-{queues[0]}`")
    if strays := found["strays"]:
        jobs = "1 job runs" if strays == 1 else f"{strays:,} jobs run"
        return warning("orphans", f"{jobs} with workers that have no row", do)
    if limits := found["limits"]:
        return warning("orphans", f"the limit does not count what runs in queue {some(limits)}", do)
    return ok("orphans", "every job has its queue, every running one its worker, every limit its count")
