"""Text that others chose reaches logs, conditions and events on one line, without a character that acts or hides."""

from __future__ import annotations

import logging

import pytest

from penstock_operator.database.process.child import LINES_A_MINUTE, ChildLog
from penstock_operator.logs import SanitizedJsonFormatter, SanitizedTextFormatter
from penstock_operator.resources.conditions import MESSAGE_LENGTH, ObservedState, api_conditions
from penstock_operator.sanitize import sanitized, sanitized_lines

ACTING = {
    "a terminal escape": "\x1b[2J",
    "an eight-bit escape": "\x9b2J",
    "a bell": "\x07",
    "a backspace": "\x08",
    "a line end": "\n",
    "a carriage return": "\r",
    "a zero byte": "\x00",
    "delete": "\x7f",
    "a right-to-left override": "\u202e",
    "a bidirectional isolate": "\u2066",
    "a zero-width space": "\u200b",
    "a line separator": "\u2028",
    "a lone surrogate": "\ud800",
    "a byte order mark": "\ufeff",
    "a tag character": "\U000e0041",
    "a private character": "\ue000",
    "a next line": "\x85",
}


@pytest.mark.parametrize("text", ACTING.values(), ids=ACTING.keys())
def test_a_character_that_acts_or_hides_becomes_visible(text: str):
    """In a line of the log in both forms, in a condition, and in a traceback."""
    record = logging.LogRecord("x", logging.INFO, "f", 1, "before %s after", (f"<{text}>",), None)
    facts = ObservedState(policy=None, database=("Unreachable", f"before {text} after"))
    made = {one["type"]: one["message"] for one in api_conditions(facts, generation=1, now="now", before=())}
    lines = [
        SanitizedTextFormatter().format(record),
        SanitizedJsonFormatter().format(record),
        made["DatabaseReachable"],
        made["Ready"],
        *sanitized_lines(f"a {text} b", 100).split("\n"),
    ]
    for line in lines:
        assert line.isprintable()
        assert text not in line


def test_ordinary_text_stays_as_it_is():
    """Letters of any language, accents and signs."""
    for text in ("", "ready", "Größe 5 µs — naïve “quotes” …", "日本語 العربية"):
        assert sanitized(text) == text


def test_a_line_has_a_length():
    """The rest is cut, also where escapes make it longer."""
    assert sanitized("x" * 5000, 10) == "xxxxxxxxx…"
    assert len(sanitized("\x1b" * 5000, 10)) == 10
    facts = ObservedState(policy=None, database=("Unreachable", "x" * 5000))
    assert all(len(one["message"]) <= MESSAGE_LENGTH for one in api_conditions(facts, generation=1, now="", before=()))


@pytest.mark.parametrize("formatter", [SanitizedTextFormatter(), SanitizedJsonFormatter()], ids=["text", "JSON"])
def test_no_message_forges_a_log_line_from_inside_a_traceback(formatter: logging.Formatter):
    """Each line of a traceback is indented."""
    error = ValueError("x\n2026-01-01 00:00:00 ERROR penstock: forged")
    record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), (ValueError, error, None))
    lines = formatter.format(record).split("\n")
    assert all(line.startswith("  ") for line in lines[1:])
    assert any("forged" in line for line in lines)


def test_a_databases_process_writes_few_lines_and_harmless_ones(caplog: pytest.LogCaptureFixture):
    """Ten a minute, named; a line without an end is bounded too."""
    now = 0.0
    log = ChildLog(lambda: "database of Secret shop/postgres", clock=lambda: now)
    for _ in range(100):
        log.feed(b"\x1b[2J\xff\n" * 10)
    log.feed(b"y" * 100_000)
    assert len(caplog.records) == LINES_A_MINUTE
    assert all(one.__dict__["line"].isprintable() for one in caplog.records)
    assert all(one.__dict__["database"] == "database of Secret shop/postgres" for one in caplog.records)
    now = 61.0
    log.feed(b"end\n")
    assert len(caplog.records) == LINES_A_MINUTE + 1
    assert len(caplog.records[-1].__dict__["line"]) < 5000
