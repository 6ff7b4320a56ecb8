"""A producer that fetches pages ahead, hands out as much as is asked for, and keeps the rest.

Pages come in the size of the service, demands in the size of the consumers: the producer splits and refills. What it
could not hand out stays owed, so a demand larger than a page is served by the next page. Run it: `python
examples/stages/buffering_producer.py`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from penstock.stages import Consumer, Producer, Subscription

PAGE = 25


class Service:
    """Something that is asked page by page."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.calls = 0

    async def page(self, number: int) -> list[int]:
        """One page; an empty one is the end."""
        self.calls += 1
        await asyncio.sleep(0.001)
        return list(range(number * PAGE, min((number + 1) * PAGE, self.total)))


class Pages(Producer[int]):
    """Keeps fetched events until they are asked for."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.ready: deque[int] = deque()
        self.next_page = 0
        self.ended = False

    async def handle_demand(self, demand: int) -> Sequence[int]:
        """From what is ready, after as many pages as it takes."""
        while len(self.ready) < demand and not self.ended:
            page = await self.service.page(self.next_page)
            self.next_page += 1
            self.ready.extend(page)
            self.ended = len(page) < PAGE
        events = [self.ready.popleft() for _ in range(min(demand, len(self.ready)))]
        if self.ended and not self.ready:
            self.post_info("end")  # comes after the events that are returned here
        return events

    async def on_info(self, info: object) -> None:
        """Everything has left."""
        del info
        await self.stop()


class Collect(Consumer[int]):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.total = 0

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> None:
        """A batch."""
        del subscription
        self.batches.append(len(events))
        self.total += len(events)


async def main(total: int = 110) -> tuple[int, int]:
    """110 events in pages of 25, asked for in tens."""
    service = Service(total)
    pages, collect = Pages(service), Collect()
    await collect.subscribe(pages, max_demand=10)
    await pages.start()
    await collect.start()
    await collect.wait()
    print(f"{collect.total} events in {len(collect.batches)} batches out of {service.calls} pages")
    return collect.total, service.calls


if __name__ == "__main__":
    asyncio.run(main())
