"""Background coroutines of a block: ended after it, whatever they make of it."""

from __future__ import annotations

import asyncio

from penstock.runtime.background import run_in_background


async def test_a_coroutine_that_loses_a_cancellation_is_cancelled_again():
    """A library may swallow the first cancellation; the worker must exit all the same."""
    heard: list[str] = []

    async def deaf_once() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            heard.append("once")
        await asyncio.sleep(3600)

    async with asyncio.timeout(30), run_in_background(heard.append, maintenance=deaf_once()):
        await asyncio.sleep(0)
    assert heard == ["once"]


async def test_a_coroutine_that_finishes_before_the_block_is_reported():
    """By its name, with what it raised."""
    heard: list[str] = []

    async def breaks() -> None:
        raise ValueError("no")

    async with run_in_background(heard.append, ticker=breaks()):
        while not heard:
            await asyncio.sleep(0)
    assert heard == ["background task ticker stopped: ValueError('no')"]
