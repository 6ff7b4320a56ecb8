"""Every consumer sees every event: one stores orders, one counts them, one watches for large ones.

The slowest sets the pace. The producer starts with `demand="accumulate"`, so that nobody misses the first events; a
selector spares the watcher what it does not want. Run it: `python examples/stages/broadcast_taps.py`.
"""

import asyncio
from collections.abc import Sequence

from penstock.stages import BroadcastDispatcher, Consumer, Subscription, from_iterable

Order = tuple[str, int]


class Tap(Consumer[Order]):
    """Keeps what it sees."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.seen: list[Order] = []

    async def handle_events(self, events: Sequence[Order], subscription: Subscription) -> None:
        """One batch."""
        del subscription
        self.seen.extend(events)


async def main() -> dict[str, list[Order]]:
    """Three taps on one stream of orders."""
    orders = [(f"order {number}", number * 10) for number in range(1, 11)]
    source = from_iterable(orders, demand="accumulate", dispatcher=BroadcastDispatcher())
    store, metrics, alarm = Tap("store"), Tap("metrics"), Tap("alarm")
    await source.start()
    for tap in (store, metrics, alarm):
        await tap.start()
    await store.subscribe(source, max_demand=4)
    await metrics.subscribe(source, max_demand=10)
    await alarm.subscribe(source, max_demand=10, selector=lambda order: order[1] >= 90)
    source.set_demand("forward")
    await asyncio.gather(store.wait(), metrics.wait(), alarm.wait())
    print(f"stored {len(store.seen)}, counted {len(metrics.seen)}, alarms {alarm.seen}")
    return {str(tap.name): tap.seen for tap in (store, metrics, alarm)}


if __name__ == "__main__":
    asyncio.run(main())
