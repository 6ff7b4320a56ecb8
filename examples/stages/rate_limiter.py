"""At most so many calls a second, however much is asked for: a throttle between a producer and its consumer.

It asks the producer for no more than it may pass, so what has to wait waits where it is; after a quiet time no more
than one burst comes at once, and no demand is ever dropped. Run it: `python examples/stages/rate_limiter.py`.
"""

import asyncio
from collections.abc import Sequence

from penstock.stages import Consumer, Subscription, Throttle, from_iterable


class Caller(Consumer[int]):
    """Notes when each event came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> None:
        """A batch."""
        del subscription
        self.times += [asyncio.get_running_loop().time()] * len(events)


async def main(events: int = 40, rate: float = 200.0) -> list[float]:
    """Forty events at two hundred a second, bursts of five."""
    source, caller = from_iterable(range(events)), Caller()
    throttle: Throttle[int] = Throttle(rate, burst=5)
    await throttle.subscribe(source)
    await caller.subscribe(throttle)
    for stage in (caller, throttle, source):
        await stage.start()
    await caller.wait()
    elapsed = [moment - caller.times[0] for moment in caller.times]
    print(f"{events} events in {elapsed[-1]:.3f} s; the first five within {elapsed[4] * 1000:.1f} ms")
    return elapsed


if __name__ == "__main__":
    asyncio.run(main())
