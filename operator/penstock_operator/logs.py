"""The operator's log lines, as text or JSON.

Every line is sanitized as a whole, after its arguments are filled in: whoever logs need not know which of them a tenant
chose. Tracebacks keep their lines, indented, so that no line of a message passes for a log line.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from .sanitize import sanitized, sanitized_lines
from .settings import OperatorSettings

MAX_TRACEBACK: Final = 16_384
"""Characters of one traceback; its end is kept."""


class TextFormatter(logging.Formatter):
    """Time, level, logger and message on one line; the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        head = f"{self.formatTime(record)} {record.levelname:<7} {record.name}: {sanitized(record.getMessage())}"
        if record.exc_info:
            head += "\n" + sanitized_lines(self.formatException(record.exc_info), MAX_TRACEBACK)
        return head


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line = {"time": self.formatTime(record), "level": record.levelname.lower(), "logger": record.name}
        line["message"] = sanitized(record.getMessage())
        if record.exc_info:
            line["exception"] = sanitized_lines(self.formatException(record.exc_info), MAX_TRACEBACK)
        return json.dumps(line)


def configure_logging(settings: OperatorSettings) -> None:
    """Send the log of this process to its standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
