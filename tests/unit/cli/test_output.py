"""What commands print: safe on a terminal whatever the text, and read back by any parser as it was."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.cli.output import Format, as_json, as_yaml, cell, format_duration, pairs, safe, table, write

TEXT = st.text(st.characters(codec="utf-8"))
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=12
)
UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
HOSTILE = "a\x1b[2J\x9b31m\u202e\u2028\ud800\x7f\U000e0041\n\r\tb"


def shows(text: str) -> bool:
    """Whether nothing in it but line ends moves a cursor, hides or reorders."""
    return not {unicodedata.category(c) for c in text if c != "\n"} & UNPRINTABLE


@given(VALUES)
@example(5e-324)
@example([1e16, -2e300, 1.5e-7])
def test_json_and_yaml_are_read_back_as_they_were_and_show_nothing_strange(value: Any):
    """By parsers that know nothing of ours: a text that looks like a number or `no` stays a text."""
    text = as_json(value)
    assert json.loads(text) == value
    assert shows(text)
    text = as_yaml(value)
    assert yaml.safe_load(text) == value
    assert shows(text)


@given(st.text())
def test_a_safe_text_is_one_line_that_prints(text: str):
    """Surrogates included; what prints is left alone."""
    assert shows(safe(text))
    assert "\n" not in safe(text)
    assert safe("Zoë 数据 ✓") == "Zoë 数据 ✓"


def test_a_hostile_text_is_shown_as_escapes():
    """Cursor, colour and direction of the reader's terminal are the reader's."""
    assert safe(HOSTILE) == "a\\x1b[2J\\x9b31m\\u202e\\u2028\\ud800\\x7f\\U000e0041\\n\\r\\tb"
    assert shows(as_json({HOSTILE: [HOSTILE]}))
    assert shows(as_yaml({HOSTILE: [HOSTILE]}))
    assert shows(table(("task",), [(HOSTILE,)]))
    assert shows(pairs({"task": HOSTILE, "args": {"a": HOSTILE}}))


def test_a_table_is_aligned_and_cuts_what_is_long():
    """JSON has the whole."""
    drawn = table(("id", "task"), [(1, "x" * 100), (22, None)])
    lines = drawn.splitlines()
    assert lines[0] == "ID  TASK"
    assert lines[1] == "1   " + "x" * 59 + "…"
    assert lines[2] == "22  -"
    assert table(("id",), []) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (0.123456, "0.123"),
        ("", ""),
        (["a", 1], "a, 1"),
        ({"a": "ä"}, '{"a": "ä"}'),
        (datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02 03:04:05+0000"),
    ],
)
def test_a_cell_reads_as_people_write(value: object, shown: str):
    """None is a dash, a time has its zone."""
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (0.0, "0s"),
        (0.04, "0.04s"),
        (9.94, "9.9s"),
        (10, "10s"),
        (59.6, "1m"),
        (61, "1m 1s"),
        (3600, "1h"),
        (3725, "1h 2m"),
        (90_000, "1d 1h"),
        (86_401, "1d"),
        (-75, "-1m 15s"),
    ],
)
def test_a_duration_has_its_two_largest_units(value: float | None, shown: str):
    """A lease that is over is negative."""
    assert format_duration(value) == shown


def test_an_empty_table_says_so_on_stderr(capsys):
    """So that a program that reads stdout reads nothing."""
    write(Format.TABLE, [], drawn="", empty="no jobs")
    assert capsys.readouterr() == ("", "no jobs\n")
    write(Format.JSON, [], drawn="", empty="no jobs")
    assert capsys.readouterr() == ("[]\n", "")
    write(Format.YAML, [], drawn="", empty="no jobs")
    assert capsys.readouterr() == ("[]\n", "")
