"""A counter that produces exactly the numbers it is asked for, and a consumer that logs them.

The least there is: the consumer asks for ten, processes five at a time, asks again. Nothing is produced that nobody
asked for. Run it: `python examples/stages/counter.py`.
"""

import asyncio
from collections.abc import Sequence

from penstock.stages import CancelMode, Consumer, Producer, Subscription


class Counter(Producer[int]):
    """A demand of n brings the next n integers."""

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.next = first

    async def handle_demand(self, demand: int) -> Sequence[int]:
        """As many as asked for."""
        events = list(range(self.next, self.next + demand))
        self.next += demand
        return events


class Log(Consumer[int]):
    """Prints its batches until it has seen enough."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.enough = enough
        self.seen: list[int] = []

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> None:
        """One batch."""
        del subscription
        print("got", list(events))
        self.seen.extend(events)
        if len(self.seen) >= self.enough:
            await self.stop()


async def main() -> list[int]:
    """Count to twenty."""
    async with Counter() as counter, Log(enough=20) as log:
        await log.subscribe(counter, max_demand=10, cancel=CancelMode.TEMPORARY)
        await log.wait()
        return log.seen


if __name__ == "__main__":
    asyncio.run(main())
