"""Jobs of an application without a database: collected, compared and run in this process."""

from ..app.collected import Collected, InlineRun

__all__ = ["Collected", "InlineRun"]
