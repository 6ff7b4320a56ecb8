"""Three sources, one transformer, a filter, an enricher and a store: fan-in with demand all the way.

Each source has its own shape and pace; the transformer makes one shape of them and asks each source by itself, so a
slow one does not hold up the others. Run it: `python examples/stages/social_pipeline.py`.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.stages import (
    CancelMode,
    Consumer,
    Enrich,
    Filter,
    Producer,
    ProducerConsumer,
    Subscription,
    from_iterable,
)


@dataclass(frozen=True)
class Post:
    """The one shape."""

    network: str
    author: str
    text: str
    followers: int = 0


async def blue() -> AsyncIterator[dict[str, Any]]:
    """A network that streams slowly."""
    for number in range(10):
        await asyncio.sleep(0.001)
        yield {"handle": f"b{number}.example", "text": f"blue {number}", "spam": number % 5 == 0}


def birds() -> list[tuple[str, str]]:
    """A network that hands over everything at once."""
    return [(f"@bird{number}", f"tweet {number}") for number in range(20)]


def clips() -> list[dict[str, Any]]:
    """A network of another shape."""
    return [
        {"user": {"name": f"clip{number}"}, "caption": "buy now" if number == 3 else f"clip {number}"}
        for number in range(5)
    ]


class Transformer(ProducerConsumer[Any, Post]):
    """Makes posts of whatever comes; the source is known by its subscription."""

    async def handle_events(self, events: Sequence[Any], subscription: Subscription) -> Sequence[Post]:
        """A batch of one source."""
        network = subscription.options.extra["network"]
        match network:
            case "blue":
                return [
                    Post(network, event["handle"], "buy now" if event["spam"] else event["text"]) for event in events
                ]
            case "birds":
                return [Post(network, author, text) for author, text in events]
            case _:
                return [Post(network, event["user"]["name"], event["caption"]) for event in events]


class Store(Consumer[Post]):
    """Keeps posts."""

    def __init__(self) -> None:
        super().__init__()
        self.posts: list[Post] = []

    async def handle_events(self, events: Sequence[Post], subscription: Subscription) -> None:
        """A batch."""
        del subscription
        self.posts.extend(events)


async def followers(post: Post) -> Post:
    """Looks up the author."""
    await asyncio.sleep(0)
    return replace(post, followers=100 * len(post.author))


async def main() -> dict[str, int]:
    """35 posts of three networks, of which three are spam."""
    transformer, store = Transformer(), Store()
    no_spam: Filter[Post] = Filter(lambda post: "buy now" not in post.text)
    enricher: Enrich[Post, Post] = Enrich(followers, concurrency=4)
    sources: dict[str, Producer[Any]] = {
        "blue": from_iterable(blue()),
        "birds": from_iterable(birds()),
        "clips": from_iterable(clips()),
    }
    for network, source in sources.items():
        extra = {"network": network}
        await transformer.subscribe(source, max_demand=10, cancel=CancelMode.TEMPORARY, extra=extra)
    await no_spam.subscribe(transformer, max_demand=10)
    await enricher.subscribe(no_spam, max_demand=10)
    await store.subscribe(enricher, max_demand=10)
    for stage in (store, enricher, no_spam, transformer, *sources.values()):
        await stage.start()
    await asyncio.gather(*(source.wait() for source in sources.values()))
    transformer.cancel_consumers()  # after everything that it still has; the others end in their turn
    await store.wait()
    await transformer.stop()
    assert all(post.followers for post in store.posts)
    counts = Counter(post.network for post in store.posts)
    print(f"{dict(counts)}, spam: {no_spam.rejected}")
    return {**counts, "spam": no_spam.rejected}


if __name__ == "__main__":
    asyncio.run(main())
