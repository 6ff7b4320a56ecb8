"""One file per event, written under another name and then moved into place, so that no reader sees half a file.

An event that cannot be written is reported and does not stop the others. Run it: `python
examples/stages/file_writer.py`.
"""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.stages import Consumer, Subscription, from_iterable


class FileWriter(Consumer[dict[str, Any]]):
    """Writes `<id>.json`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.failed: list[object] = []

    async def handle_events(self, events: Sequence[dict[str, Any]], subscription: Subscription) -> None:
        """A batch, in one trip to a thread."""
        del subscription
        await asyncio.to_thread(self._write_all, events)

    def _write_all(self, events: Sequence[dict[str, Any]]) -> None:
        for event in events:
            try:
                self._write(event)
            except (OSError, TypeError) as error:
                print(f"event {event['id']}: {error}")
                self.failed.append(event["id"])

    def _write(self, event: dict[str, Any]) -> None:
        text = json.dumps(event)
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=".part", delete=False) as part:
            part.write(text)
        Path(part.name).replace(self.folder / f"{event['id']}.json")


async def main(folder: Path | None = None) -> tuple[list[str], list[object]]:
    """Ten files; the event with id 4 has no JSON form."""
    with tempfile.TemporaryDirectory() as temporary:
        target = folder or Path(temporary)
        events = [{"id": number, "body": object() if number == 4 else f"text {number}"} for number in range(10)]
        source, writer = from_iterable(events), FileWriter(target)
        await writer.subscribe(source, max_demand=4)
        await writer.start()
        await source.start()
        await writer.wait()
        names = sorted(path.name for path in target.iterdir())
    print(f"{len(names)} files, failed: {writer.failed}")
    return names, writer.failed


if __name__ == "__main__":
    asyncio.run(main())
