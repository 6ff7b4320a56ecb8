"""Spans of a pipeline's work: start, then stop or exception.

It owns the shape of these reports. It must not fail the work: a listener that raises is logged and the work goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any

logger = logging.getLogger("penstock.stages")

TelemetryListener = Callable[[str, Mapping[str, float], Mapping[str, Any]], None]
"""(name such as "processor.stop", measurements such as duration in seconds, metadata)."""


class Telemetry:
    """Reports to one listener, or to none."""

    def __init__(self, listener: TelemetryListener | None, context: Any = None) -> None:
        self.listener = listener
        self.context = context

    def report(self, name: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]) -> None:
        """Report to the listener."""
        if self.listener is None:
            return
        try:
            self.listener(name, measurements, {**metadata, "context": self.context})
        except Exception:
            logger.exception("telemetry listener failed for %s", name)

    @contextmanager
    def span(self, name: str, metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Report NAME.start, then NAME.stop or NAME.exception with the duration; the block may add metadata."""
        if self.listener is None:
            yield metadata
            return
        self.report(f"{name}.start", {}, metadata)
        started = perf_counter()
        try:
            yield metadata
        except BaseException as error:
            self.report(f"{name}.exception", {"duration": perf_counter() - started}, {**metadata, "error": error})
            raise
        self.report(f"{name}.stop", {"duration": perf_counter() - started}, metadata)
