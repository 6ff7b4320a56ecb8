"""Jobs out of a database table: claimed only as far as they were asked for, and never forgotten.

The producer owes what was asked for until rows come; it fetches when it owes something, at an interval or when woken,
one fetch at a time. A row that comes back unfinished is queued again. SQLite stands for any database here; its calls
run in a thread. Run it: `python examples/stages/database_poller.py`.
"""

import asyncio
import sqlite3
from collections.abc import Sequence

from penstock.stages import CancelMode, Consumer, Dropped, Poller, Subscription

Job = tuple[int, str]


class Table:
    """A table of jobs."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, name TEXT, state TEXT DEFAULT 'queued')")

    def enqueue(self, *names: str) -> None:
        """New jobs."""
        with self.connection as database:
            database.executemany("INSERT INTO jobs (name) VALUES (?)", [(name,) for name in names])

    def claim(self, limit: int) -> list[Job]:
        """At most `limit` queued jobs, oldest first, marked as running in the same statement."""
        oldest = "SELECT id FROM jobs WHERE state = 'queued' ORDER BY id LIMIT ?"
        statement = f"UPDATE jobs SET state = 'running' WHERE id IN ({oldest}) RETURNING id, name"  # noqa: S608
        with self.connection as database:
            return sorted(database.execute(statement, (limit,)).fetchall())

    def mark(self, jobs: Sequence[Job], state: str) -> None:
        """Note a state."""
        with self.connection as database:
            database.executemany("UPDATE jobs SET state = ? WHERE id = ?", [(state, job[0]) for job in jobs])

    def count(self, state: str) -> int:
        """Jobs in a state."""
        found: tuple[int] = self.connection.execute("SELECT count(*) FROM jobs WHERE state = ?", (state,)).fetchone()
        return found[0]


class Jobs(Poller[Job]):
    """Claims jobs as they are asked for."""

    def __init__(self, table: Table) -> None:
        super().__init__(self.claim, interval=0.05)
        self.table = table
        self.limits: list[int] = []

    async def claim(self, limit: int) -> Sequence[Job]:
        """One statement, in a thread."""
        self.limits.append(limit)
        return await asyncio.to_thread(self.table.claim, limit)

    def on_released(self, events: Sequence[Job], why: Dropped) -> None:
        """What nobody finished is queued again."""
        print(f"{len(events)} jobs come back: {why.value}")
        self.table.mark(events, "queued")


class Runner(Consumer[Job]):
    """Runs jobs; says when it has run the early ones, and stops after the last."""

    def __init__(self, table: Table, last: str) -> None:
        super().__init__()
        self.table = table
        self.last = last
        self.early = asyncio.Event()

    async def handle_events(self, events: Sequence[Job], subscription: Subscription) -> None:
        """A batch."""
        del subscription
        await asyncio.to_thread(self.table.mark, events, "done")
        print("done:", ", ".join(name for _, name in events))
        if await asyncio.to_thread(self.table.count, "done") >= 5:
            self.early.set()
        if self.last in [name for _, name in events]:
            await self.stop()


async def main() -> tuple[int, int, list[int]]:
    """Five jobs are there, seven more come later: all are done without anybody asking again."""
    table = Table()
    table.enqueue(*(f"early {number}" for number in range(5)))
    async with Jobs(table) as jobs, Runner(table, last="late 6") as runner:
        await runner.subscribe(jobs, max_demand=50, cancel=CancelMode.TEMPORARY)
        await runner.early.wait()
        table.enqueue(*(f"late {number}" for number in range(7)))
        jobs.wake()  # a hint; without it the next poll finds them
        await runner.wait()
        return table.count("done"), table.count("running"), jobs.limits


if __name__ == "__main__":
    asyncio.run(main())
