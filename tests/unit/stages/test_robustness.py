"""What a stage bears: names of a subclass, watchers that raise, callers that give up."""

import asyncio

import pytest

from penstock.stages import (
    NORMAL,
)

from .doubles import Counter, Recorder, settle


async def test_a_subclass_may_use_any_ordinary_private_name(house):
    """What belongs to the runner starts with `_stage`; its public words cannot be overwritten by accident."""

    class Crowded(Recorder):
        def __init__(self):
            super().__init__()
            for name in (
                "task",
                "run",
                "close",
                "post",
                "exit",
                "info",
                "mailbox",
                "waiter",
                "inlet",
                "serve",
                "pending",
            ):
                setattr(self, f"_{name}", "mine")

    counter, crowded = Counter(), Crowded()
    await house(counter, crowded)
    link = await crowded.subscribe(counter, mode="manual")
    link.ask(2)
    await settle()
    assert crowded.events == [0, 1]
    for word in ("state", "reason"):
        with pytest.raises(AttributeError):
            setattr(crowded, word, "mine")
    assert [name for name in vars(Recorder()) if name.startswith("_") and not name.startswith("_stage")] == []


async def test_a_watcher_that_raises_keeps_nobody_from_hearing_of_the_end(house, caplog):
    """It is logged; the others are called."""
    recorder = Recorder()
    heard: list[object] = []
    recorder.watch(lambda stage, reason: heard[0])
    recorder.watch(lambda stage, reason: heard.append(reason))
    await house(recorder)
    await recorder.stop()
    assert heard == [NORMAL]
    assert "watcher of" in caplog.text


async def test_who_stops_waiting_for_a_request_leaves_nothing_pending(house):
    """A call, a subscription and a stop go on without the one that was cancelled."""
    gate = asyncio.Event()

    class Slow(Recorder):
        async def on_call(self, request):
            await gate.wait()
            return request

    slow, counter = Slow(), Counter()
    await house(slow, counter)
    waiting = [
        asyncio.ensure_future(slow.call(1)),
        asyncio.ensure_future(slow.subscribe(counter, mode="manual")),
        asyncio.ensure_future(slow.stop("over")),
    ]
    await settle()
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    gate.set()
    assert await slow.wait() == "over"
    assert len(slow.subscribed) == 1
