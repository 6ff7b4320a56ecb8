"""All events of one account go to one consumer, in order, while different accounts go on in parallel.

The hash function names the partition; each consumer takes one. The default hash is stable between processes, Python's
own `hash()` of a str is not. Run it: `python examples/stages/partition_by_key.py`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Sequence

from penstock.stages import Consumer, PartitionDispatcher, Subscription, from_iterable, stable_hash

Booking = tuple[str, int]
LEDGERS = 3


def by_account(booking: Booking) -> tuple[Booking, Hashable]:
    """The partition of a booking: its account decides."""
    return booking, stable_hash(booking[0]) % LEDGERS


class Ledger(Consumer[Booking]):
    """Books its accounts in order."""

    def __init__(self) -> None:
        super().__init__()
        self.booked: dict[str, list[int]] = defaultdict(list)

    async def handle_events(self, events: Sequence[Booking], subscription: Subscription) -> None:
        """One batch."""
        del subscription
        for account, number in events:
            await asyncio.sleep(0)
            self.booked[account].append(number)


async def main() -> list[dict[str, list[int]]]:
    """Twelve accounts, three ledgers."""
    bookings = [(f"account {number % 12}", number) for number in range(120)]
    source = from_iterable(bookings, dispatcher=PartitionDispatcher(LEDGERS, hash=by_account))
    ledgers = [Ledger() for _ in range(LEDGERS)]
    for partition, ledger in enumerate(ledgers):
        await ledger.subscribe(source, max_demand=10, partition=partition)
        await ledger.start()
    await source.start()
    await asyncio.gather(*(ledger.wait() for ledger in ledgers))
    for partition, ledger in enumerate(ledgers):
        print(partition, {account: len(numbers) for account, numbers in ledger.booked.items()})
    return [dict(ledger.booked) for ledger in ledgers]


if __name__ == "__main__":
    asyncio.run(main())
