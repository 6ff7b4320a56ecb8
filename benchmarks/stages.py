"""The cost of stages and of a bare `asyncio.Queue` pipeline per event and hop, by batch size and number of consumers.

The bare pipeline is tasks that pass lists of events through bounded queues: no demand, no dispatcher, no stop. Every
run counts each event exactly once, at the end of its pipeline; stages and queues take turns within a run. `python -m
benchmarks stages`; PENSTOCK_BENCH_EVENTS and PENSTOCK_BENCH_RUNS change the size (100000 and 5). The chart goes to
`benchmarks/out/stages.svg`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Sequence

from benchmarks._contract import OUT, Report
from benchmarks._stages_chart import stages_chart
from penstock.stages import Consumer, Producer, ProducerConsumer, Subscription, TaskSupervisor

EVENTS = int(os.environ.get("PENSTOCK_BENCH_EVENTS", "100000"))
RUNS = int(os.environ.get("PENSTOCK_BENCH_RUNS", "5"))
BATCHES = (1, 2, 5, 10, 20, 50, 100, 200, 500)
CONSUMERS = (1, 8, 64)
BAR_BATCHED, BAR_SINGLE, BAR_TASK = 1.5, 12.0, 25.0  # microseconds


class Numbers(Producer[int]):
    """As many integers as are asked for, up to a total."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.left = total

    async def handle_demand(self, demand: int) -> Sequence[int]:
        """The next ones."""
        count = min(demand, self.left)
        self.left -= count
        return list(range(count))


class Pass(ProducerConsumer[int, int]):
    """Passes events on."""

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> Sequence[int]:
        """Unchanged."""
        del subscription
        return events


class Tally:
    """Counts to a total."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.count = 0
        self.done = asyncio.Event()

    def add(self, count: int) -> None:
        """So many more have arrived."""
        self.count += count
        if self.count >= self.total:
            self.done.set()


class Counting(Consumer[int]):
    """Adds to a tally."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally

    async def handle_events(self, events: Sequence[int], subscription: Subscription) -> None:
        """Count."""
        del subscription
        self.tally.add(len(events))


async def measured(tally: Tally, work: Awaitable[object]) -> float:
    """Seconds from the start of `work` until the tally is full; each event must have been counted once."""
    started = time.perf_counter()
    await work
    await tally.done.wait()
    seconds = time.perf_counter() - started
    assert tally.count == tally.total, f"{tally.count} of {tally.total} events"
    return seconds


async def through_stages(events: int, batch: int, consumers: int = 1) -> float:
    """Microseconds per event and hop: producer, producer-consumer, consumers."""
    tally = Tally(events)
    window = {"max_demand": 1, "min_demand": 0} if batch == 1 else {"max_demand": 2 * batch, "min_demand": batch}
    numbers, middle = Numbers(events), Pass()
    sinks = [Counting(tally) for _ in range(consumers)]
    await middle.subscribe(numbers, **window)  # type: ignore[arg-type]
    for sink in sinks:
        await sink.subscribe(middle, **window)  # type: ignore[arg-type]
    stages = [numbers, middle, *sinks]

    async def start() -> None:
        for stage in stages:
            await stage.start()

    seconds = await measured(tally, start())
    for stage in reversed(stages):
        stage.kill()
        await stage.wait()
    return seconds / events / 2 * 1e6


async def through_queues(events: int, batch: int, consumers: int = 1) -> float:
    """The same with two bounded queues of lists."""
    tally = Tally(events)
    first: asyncio.Queue[list[int]] = asyncio.Queue(2)
    second: asyncio.Queue[list[int]] = asyncio.Queue(2)

    async def produce() -> None:
        left = events
        while left:
            count = min(batch, left)
            left -= count
            await first.put(list(range(count)))

    async def forward() -> None:
        while True:
            await second.put(await first.get())

    async def consume() -> None:
        while True:
            tally.add(len(await second.get()))

    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        tasks.extend(
            asyncio.create_task(work) for work in (produce(), forward(), *(consume() for _ in range(consumers)))
        )

    seconds = await measured(tally, start())
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return seconds / events / 2 * 1e6


async def a_task_per_event(events: int) -> float:
    """Microseconds per event, all in: producer, demand, a task for each event, its finish."""
    tally = Tally(events)

    async def work(_: int) -> None:
        tally.add(1)

    numbers, tasks = Numbers(events), TaskSupervisor(work)
    await tasks.subscribe(numbers, max_demand=100, min_demand=50)

    async def start() -> None:
        await numbers.start()
        await tasks.start()

    seconds = await measured(tally, start())
    for stage in (tasks, numbers):
        stage.kill()
        await stage.wait()
    await asyncio.sleep(0)
    return seconds / events * 1e6


def one_run(report: Report, costs: dict[str, dict[int, list[float]]]) -> None:
    """Every figure once, stages and queues in turn."""
    for batch in BATCHES:
        events = EVENTS if batch >= 10 else EVENTS // 4
        stages = asyncio.run(through_stages(events, batch))
        queues = asyncio.run(through_queues(events, batch))
        costs["stages"].setdefault(batch, []).append(stages)
        costs["queues"].setdefault(batch, []).append(queues)
        if batch in (1, 10, 50, 100, 500):
            bar = BAR_SINGLE if batch == 1 else BAR_BATCHED if batch >= 50 else None
            report.add(f"hop_us_batch_{batch}", stages, "us per event", bar=bar, better="lower")
            report.add(f"queue_hop_us_batch_{batch}", queues, "us per event", better="lower")
            report.add(f"hop_vs_queue_batch_{batch}", stages / queues, "ratio", better="lower")
    for consumers in CONSUMERS[1:]:
        stages = asyncio.run(through_stages(EVENTS, 10, consumers))
        queues = asyncio.run(through_queues(EVENTS, 10, consumers))
        report.add(f"hop_us_batch_10_consumers_{consumers}", stages, "us per event", better="lower")
        report.add(f"hop_vs_queue_consumers_{consumers}", stages / queues, "ratio", better="lower")
    per_task = asyncio.run(a_task_per_event(EVENTS // 4))
    report.add("task_per_event_us", per_task, "us per event", bar=BAR_TASK, better="lower")


def main() -> None:
    """All runs, the table, the JSON and the chart."""
    report = Report("stages")
    costs: dict[str, dict[int, list[float]]] = {"stages": {}, "queues": {}}
    for _ in range(RUNS):
        one_run(report, costs)
    report.finish()
    (OUT / "stages.svg").write_text(stages_chart(costs))


if __name__ == "__main__":
    main()
