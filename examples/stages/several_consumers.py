"""Three consumers of one producer: each takes the next job when it is free.

With `max_demand=1` nobody hoards: the fast one simply asks more often. (With the default of 1000 the first to
subscribe would be given everything and work through it alone.) Run it: `python examples/stages/several_consumers.py`.
"""

import asyncio
from collections.abc import Sequence

from penstock.stages import Consumer, Subscription, from_iterable


class Hand(Consumer[int]):
    """Takes its time over each job."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(name=name)
        self.seconds = seconds
        self.done: list[int] = []

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> None:
        """One job."""
        del subscription
        await asyncio.sleep(self.seconds)
        self.done.extend(events)


async def main(jobs: int = 30) -> dict[str, int]:
    """Share thirty jobs among one fast and two slow hands."""
    hands = [Hand("fast", 0.001), Hand("slow", 0.004), Hand("slower", 0.008)]
    source = from_iterable(range(jobs))
    for hand in hands:
        await hand.subscribe(source, max_demand=1, min_demand=0)
    for stage in (*hands, source):
        await stage.start()
    await asyncio.gather(*(hand.wait() for hand in hands))  # the source ends after its last job, and they with it
    shares = {str(hand.name): len(hand.done) for hand in hands}
    print(shares)
    return shares


if __name__ == "__main__":
    asyncio.run(main())
