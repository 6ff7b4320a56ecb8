"""Jobs of an application without a database: collected, compared and run here; schedules on a test's clock."""

from ..app.collected import Collected, InlineRun
from .schedule_clock import ScheduleClock, Tick

__all__ = ["Collected", "InlineRun", "ScheduleClock", "Tick"]
