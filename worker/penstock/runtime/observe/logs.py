"""Formats the log lines of a worker process, as text or JSON. Set up once, by the main function.

Every line that is written while an attempt runs, the task's own and its libraries' included, carries job, attempt,
queue, task and, where there is a trace, its ids: a context variable holds the job, and it follows the task into
threads. The work is done per line, not per job.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Any

import msgspec

from penstock import trace
from penstock.job import ClaimedJob
from penstock.settings import LogFormat

from .worker_log import always_write

running: ContextVar[ClaimedJob | None] = ContextVar("penstock_running", default=None)
"""The job whose attempt runs here; set in the context of each attempt."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LEFT_OUT = frozenset({"span_id"})
"""Fields that JSON lines have and text lines do not."""


class JobFields(logging.Filter):
    """Adds `job`, `attempt`, `queue`, `task`, `trace_id` and `span_id` to records, unless `extra` has them.

    For a handler of your own as well: `handler.addFilter(JobFields())`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True."""
        job = running.get()
        if job is not None and "job" not in record.__dict__:
            record.__dict__.update(fields(job))
        span = _current_span()
        if span is not None:
            record.trace_id, record.span_id = span
        return True


def fields(job: ClaimedJob) -> dict[str, Any]:
    """The fields of a log line about a job, as `extra`."""
    found: dict[str, Any] = {"job": job.id, "attempt": job.attempt, "queue": job.queue, "task": job.task}
    if (producer := trace.read(job.headers)) is not None:
        found["trace_id"] = producer.trace_id
    return found


def _current_span() -> tuple[str, str] | None:
    if (opentelemetry := trace.opentelemetry()) is None:
        return None
    context = opentelemetry.get_current_span().get_span_context()
    return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the fields of `extra`, and the error's text."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _PLAIN})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


class TextFormatter(logging.Formatter):
    """Time, level, logger, message, and the fields as key=value; a value with spaces or quotes is quoted.

    Text of an exception or an argument is not ours: further lines are indented, because none may pass for a line of the
    log, and characters that would rewrite a terminal are escaped.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and those of its traceback."""
        text = super().format(record)
        if text.isprintable():
            return text
        shown = (sign if sign.isprintable() or sign in "\n\t" else _escaped(sign) for sign in text)
        return "".join(shown).replace("\n", "\n  ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without a traceback."""
        shown = [
            f"{name}={_value(value)}"
            for name, value in vars(record).items()
            if name not in _PLAIN and name not in _LEFT_OUT
        ]
        return " ".join([super().formatMessage(record), *shown])


def _value(value: object) -> str:
    """As logfmt has it: bare if that is unambiguous."""
    text = f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
    bare = text and not any(sign in ' "=' or not sign.isprintable() for sign in text)
    return text if bare else json.dumps(text, ensure_ascii=False)  # msgspec refuses a lone surrogate


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode()


def configure(level: str, form: LogFormat) -> None:
    """Send everything of `level` and above to standard error; the worker's own lines whatever is configured later."""
    formatter = JsonFormatter() if form == "json" else TextFormatter()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.addFilter(JobFields())
    always_write(level, formatter, JobFields())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("psycopg.pool").setLevel("ERROR")  # its warnings repeat ours
