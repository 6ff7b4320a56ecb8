"""A script: one asyncio.run after the other, each enqueues one job. Prints how many there were; ends by itself."""

import asyncio
import sys
import threading

from penstock import App

RUNS = 130
app = App(sys.argv[1])


@app.task(name="add", queue="sums")
def add(a: int, b: int) -> int:
    return a + b


if __name__ == "__main__":
    ids = {asyncio.run(add.enqueue_async(number, 0)).id for number in range(RUNS)}
    print(len(ids), threading.active_count())
