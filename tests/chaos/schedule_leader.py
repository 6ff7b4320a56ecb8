"""Only does maintenance, to be killed and frozen: `python -m tests.chaos.schedule_leader URL LEASE`."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from penstock.store import Maintenance, Store


async def lead(url: str, lease: float) -> None:
    async with Store(url) as store:
        await Maintenance(store, f"leader-{os.getpid()}", lease, time.monotonic).run()


if __name__ == "__main__":
    asyncio.run(lead(sys.argv[1], float(sys.argv[2])))
