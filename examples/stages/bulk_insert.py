"""Rows are collected and written a hundred at a time, or after a while: one statement instead of a hundred.

`Pipeline` does the collecting; each row is acknowledged when its batch was written, and a batch that cannot be written
fails as a whole. SQLite stands for any database here. Run it: `python examples/stages/bulk_insert.py`.
"""

import asyncio
import sqlite3

from penstock.stages import BatchInfo, Envelope, Pipeline, from_iterable


class Store:
    """A table that notes how it was written."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.connection.execute("CREATE TABLE readings (sensor TEXT, value REAL)")
        self.statements = 0

    async def insert(self, envelopes: list[Envelope], info: BatchInfo) -> None:
        """One statement for the whole batch."""
        print(f"{info.size} rows, because of {info.trigger}")
        await asyncio.to_thread(self._insert, [envelope.data for envelope in envelopes])

    def _insert(self, rows: list[tuple[str, float]]) -> None:
        self.statements += 1
        with self.connection as database:
            database.executemany("INSERT INTO readings VALUES (?, ?)", rows)

    def count(self) -> int:
        """Rows."""
        found: tuple[int] = self.connection.execute("SELECT count(*) FROM readings").fetchone()
        return found[0]


def in_celsius(envelope: Envelope) -> None:
    """Processing of one row."""
    sensor, fahrenheit = envelope.data
    envelope.data = (sensor, (fahrenheit - 32) / 1.8)


async def main(rows: int = 250) -> tuple[int, int]:
    """250 readings in batches of 100."""
    store = Store()
    readings = [(f"sensor {number % 5}", 32.0 + number) for number in range(rows)]
    pipeline = (
        Pipeline("readings")
        .source(lambda: from_iterable(readings))
        .process(in_celsius, concurrency=2, max_demand=20)
        .batch("store", store.insert, size=100, timeout=0.5)
    )
    await pipeline.run()  # to the end of the source; what is left of a batch is flushed
    print(f"{store.count()} rows in {store.statements} statements")
    return store.count(), store.statements


if __name__ == "__main__":
    asyncio.run(main())
