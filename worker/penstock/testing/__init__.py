"""Jobs of an application without a database: collected, compared and run in this process."""

from .collector import Collected, InlineRun

__all__ = ["Collected", "InlineRun"]
