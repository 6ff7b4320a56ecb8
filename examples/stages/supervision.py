"""A producer that crashes under three consumers, and a consumer that crashes among them: both recover by themselves.

The consumers subscribe by name. When the producer ends they end with it, are restarted with it, and find the new one;
a consumer that crashes is replaced alone, and its unfinished events are emitted again. Run it: `python
examples/stages/supervision.py`.
"""

import asyncio
import logging
from collections.abc import Sequence

from penstock.stages import (
    Child,
    Consumer,
    Dropped,
    ExponentialBackoff,
    Names,
    Producer,
    State,
    Subscription,
    Supervisor,
)


class Ledger:
    """What outlives a crash: in a real system, a database."""

    def __init__(self, total: int) -> None:
        self.waiting = list(range(total))
        self.done: list[int] = []
        self.total = total
        self.finished = asyncio.Event()
        self.crashes = {"producer": 0, "consumer": 0}


class Jobs(Producer[int]):
    """Crashes once, in the middle."""

    def __init__(self, ledger: Ledger, names: Names) -> None:
        super().__init__(name="jobs", names=names)
        self.ledger = ledger
        self.pending = 0

    async def handle_demand(self, demand: int) -> Sequence[int]:
        """The next ones; what is missing stays owed."""
        if len(self.ledger.done) > 30 and not self.ledger.crashes["producer"]:
            self.ledger.crashes["producer"] += 1
            raise ConnectionError("the connection is gone")
        self.pending += demand
        return self._take()

    def on_released(self, events: Sequence[int], why: Dropped) -> None:
        """Nobody finished these: they wait again, and are owed to the consumers that asked."""
        print(f"back: {list(events)}, because {why.value}")
        self.ledger.waiting[:0] = events
        if self.state is State.RUNNING:
            self.pending += len(events)
            self.push(self._take())

    def _take(self) -> list[int]:
        waiting = self.ledger.waiting
        taken, waiting[:] = waiting[: self.pending], waiting[self.pending :]
        self.pending -= len(taken)
        return taken


class Runner(Consumer[int]):
    """One of them crashes once, on job 17."""

    def __init__(self, ledger: Ledger, names: Names) -> None:
        super().__init__(names=names)
        self.ledger = ledger
        self.subscribe_nowait("jobs", max_demand=2)

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> None:
        """A batch."""
        del subscription
        await asyncio.sleep(0.001)
        if 17 in events and not self.ledger.crashes["consumer"]:
            self.ledger.crashes["consumer"] += 1
            raise ValueError("cannot digest 17")
        self.ledger.done.extend(events)
        if len(self.ledger.done) == self.ledger.total:
            self.ledger.finished.set()


async def main(total: int = 60) -> tuple[list[int], dict[str, int]]:
    """Sixty jobs, two crashes, nothing lost."""
    logging.getLogger("penstock.stages").setLevel(logging.CRITICAL)  # the crashes are meant
    ledger, names = Ledger(total), Names()
    children = [Child(make=lambda: Jobs(ledger, names), id="jobs")]
    children += [Child(make=lambda: Runner(ledger, names), id=f"runner {number}") for number in range(3)]
    async with Supervisor(children, backoff=ExponentialBackoff(base=0.002, cap=0.1)) as supervisor:
        async with asyncio.timeout(10):
            await ledger.finished.wait()
        restarts = {str(child.id): child.restarts for child in supervisor.children()}
    logging.getLogger("penstock.stages").setLevel(logging.NOTSET)
    print(f"done {len(ledger.done)}, crashes {ledger.crashes}, restarts {restarts}")
    return sorted(ledger.done), restarts


if __name__ == "__main__":
    asyncio.run(main())
