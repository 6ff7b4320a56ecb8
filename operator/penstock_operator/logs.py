"""Log lines of the operator, as text or JSON: a constant message, and key=value fields from `extra`.

Message and fields are sanitized when they are written, because any of them may contain text that a tenant chose.
Tracebacks keep their lines, indented, so no line of a message can look like a log line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Final

from .sanitize import sanitized, sanitized_lines
from .settings import OperatorSettings

MAX_TRACEBACK: Final = 16_384
"""Characters of one traceback; its end is kept."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BARE: Final = re.compile(r"[^\s\"=]+")
"""A value that needs no quotes."""


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields of `extra`, sanitized; numbers and booleans as they are."""
    found = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    return {
        key: value if value is None or isinstance(value, bool | int | float) else sanitized(str(value))
        for key, value in found.items()
    }


def _pair(key: str, value: object) -> str:
    text = str(value)
    return f"{key}={text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)}"


class SanitizedTextFormatter(logging.Formatter):
    """Time, level, logger, message and key=value fields on one line; the traceback below."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        head = f"{self.formatTime(record)} {record.levelname:<7} {record.name}: {sanitized(record.getMessage())}"
        head = " ".join([head, *(_pair(key, value) for key, value in _fields(record).items())])
        if record.exc_info:
            head += "\n" + sanitized_lines(self.formatException(record.exc_info), MAX_TRACEBACK)
        return head


class SanitizedJsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": sanitized(record.getMessage()),
        }
        line |= {key: value for key, value in _fields(record).items() if key not in line}
        if record.exc_info:
            line["exception"] = sanitized_lines(self.formatException(record.exc_info), MAX_TRACEBACK)
        return json.dumps(line)


def configure_logging(settings: OperatorSettings) -> None:
    """Send the log of this process to its standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SanitizedJsonFormatter() if settings.log_format == "json" else SanitizedTextFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("urllib3").setLevel(logging.WARNING)
