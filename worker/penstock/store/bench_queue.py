"""The scratch queue of `penstock bench`: how many jobs are left in it, its results, and its removal.

Its name starts with `penstock-bench-`; nothing with any other name is deleted here. Only the schema's owner may delete,
which is checked before anything is written.
"""

from __future__ import annotations

import secrets
from typing import Any, Final, NamedTuple, Self

from penstock.errors import StoreError

from .connect import connect
from .errors import mapped
from .sql_files import statement

PREFIX: Final = "penstock-bench-"
_MAY: Final = b"""\
SELECT bool_and(has_table_privilege('penstock.' || t, 'SELECT, DELETE'))
FROM unnest(ARRAY['job', 'outcome', 'dead', 'queue']) AS t"""


class Drained(NamedTuple):
    """`ended` outcomes of `jobs` different jobs within `seconds`; waits from ready to claimed, in seconds."""

    ended: int
    jobs: int
    seconds: float
    wait_p50: float
    wait_p95: float


class Scratch:
    """A scratch queue, removed when the block exits.

    Args:
        url: of the schema's owner; never printed.

    Raises:
        StoreError: this login may not delete; nothing was written.
    """

    def __init__(self, url: str) -> None:
        self.queue = PREFIX + secrets.token_hex(6)
        self._connection = connect(url, name="penstock bench", pooled=True)

    def __enter__(self) -> Self:
        with mapped("bench"):
            allowed = self._connection.execute(_MAY).fetchone()
        if allowed != (True,):
            self._connection.close()
            raise StoreError("bench: needs the schema's owner, because it deletes what it made; nothing was written")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            with mapped("clean up"):
                self._connection.execute(statement("bench_clean"), (self.queue,))
        finally:
            self._connection.close()

    def _row(self, name: str, *values: object) -> tuple[Any, ...]:
        with mapped("bench"):
            row = self._connection.execute(statement(name), (self.queue, *values)).fetchone()
        assert row is not None
        return row

    def left(self) -> int:
        """Jobs that are not over."""
        return int(self._row("bench_left")[0])

    def drained(self, after: int = 0) -> Drained:
        """The results of the jobs with ids above `after`.

        Raises:
            StoreError: none has ended.
        """
        ended, jobs, elapsed, waits = self._row("bench_result", after)
        if not ended:
            raise StoreError("bench: no job has ended")
        return Drained(ended, jobs, elapsed, *waits)
