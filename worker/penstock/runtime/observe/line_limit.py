"""Bounds the log lines of one task: a task that fails a thousand times a second fails for one reason. Pure."""

from __future__ import annotations

MAX_LINES = 10
WINDOW_SECONDS = 10.0


class LineLimit:
    """At most ten lines for each key within ten seconds."""

    def __init__(self) -> None:
        self._seen: dict[str | None, tuple[float, int]] = {}

    def admit(self, key: str | None, now: float) -> int | None:
        """Return the number of lines suppressed before this one; None: this one is suppressed too."""
        since, count = self._seen.get(key, (now, 0))
        if now - since >= WINDOW_SECONDS:
            self._seen[key] = (now, 1)
            return max(0, count - MAX_LINES)
        self._seen[key] = (since, count + 1)
        return 0 if count < MAX_LINES else None
