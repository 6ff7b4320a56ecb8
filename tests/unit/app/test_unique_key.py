"""`Unique(by_args=True)`: equal arguments have one key, in every process, and others have another."""

from __future__ import annotations

import collections
import enum
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict
from zoneinfo import ZoneInfo

import msgspec
import pytest

from penstock import App, Unique

PARIS, TOKYO = ZoneInfo("Europe/Paris"), timezone(timedelta(hours=9))
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Size(enum.IntEnum):
    SMALL = 1


@dataclass
class Point:
    x: float
    y: float = 0
    seen: int = field(default=0, compare=False)


class Struct(msgspec.Struct):
    a: int
    b: list[str] = []


class Place(TypedDict):
    name: str
    zip: str


def key_of(function, *args, **kwargs) -> str:
    job = App().task(name="t")(function).options(unique=Unique(by_args=True)).job(*args, **kwargs)
    assert job.unique is not None
    return job.unique.key


def anything(value: Any, other: Any = None) -> None: ...
def floating(value: float) -> None: ...
def decimal(value: Decimal) -> None: ...
def moment(value: datetime) -> None: ...
def clock(value: time) -> None: ...
def span(value: timedelta) -> None: ...
def tags(value: set[str]) -> None: ...
def frozen(value: frozenset[tuple[int, str]]) -> None: ...
def by_number(value: dict[int, list[str]]) -> None: ...
def point(value: Point) -> None: ...
def points(value: list[Point]) -> None: ...
def struct(value: Struct) -> None: ...
def place(value: Place) -> None: ...
def sized(value: Size) -> None: ...
def raw(value: bytes) -> None: ...
def number(value: int) -> None: ...
def defaults(a: int, b: float = 1.0, *, c: str | None = None, d: tuple[int, ...] = ()) -> None: ...


EQUAL: list[tuple[str, Any, Any, Any]] = [
    ("order of a dict", anything, {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}),
    ("order of a dict's numbers", by_number, {10: ["x"], 9: []}, {9: [], 10: ["x"]}),
    ("kind of a dict", anything, {"b": 1, "a": 2}, collections.OrderedDict(a=2, b=1)),
    ("order of a set", tags, {"a", "b", "c"}, {"c", "b", "a"}),
    ("order of a set of tuples", frozen, frozenset([(1, "a"), (2, "b")]), frozenset([(2, "b"), (1, "a")])),
    ("tuple and list", anything, (1, [2]), [1, (2,)]),
    ("int and float", anything, 1, 1.0),
    ("int and float, annotated", floating, 1, 1.0),
    ("large int and float", anything, 10**22, 1e22),
    ("zero and its sign", floating, 0.0, -0.0),
    ("zeros of a Decimal", decimal, Decimal("1.10"), Decimal("1.1000")),
    ("exponent of a Decimal", decimal, Decimal(100), Decimal("1E+2")),
    ("zero of a Decimal", decimal, Decimal("0.00"), Decimal(0)),
    ("zone of a datetime", moment, NOON, NOON.astimezone(PARIS)),
    ("offset of a datetime", moment, NOON, NOON.astimezone(TOKYO)),
    ("edge of the calendar", moment, datetime(1, 1, 1, 9, tzinfo=TOKYO), datetime(1, 1, 1, tzinfo=UTC)),
    ("zone of a time", clock, time(12, tzinfo=UTC), time(21, tzinfo=TOKYO)),
    ("unit of a timedelta", span, timedelta(minutes=1), timedelta(seconds=60)),
    ("dataclass and its defaults", point, Point(1), Point(1.0, 0.0)),
    ("field that is not compared", point, Point(1, seen=1), Point(1, seen=2)),
    ("dataclasses in a list", points, [Point(1), Point(2)], (Point(1, 0), Point(2, 0))),
    ("struct", struct, Struct(1), Struct(1, [])),
    ("order of a TypedDict", place, {"name": "n", "zip": "z"}, {"zip": "z", "name": "n"}),
    ("enum", sized, Size.SMALL, Size(1)),
    ("bytes", raw, b"x", bytearray(b"x")),
    ("enum and its value", number, Size.SMALL, 1),
]


@pytest.mark.parametrize("case", EQUAL, ids=[case[0] for case in EQUAL])
def test_equal_arguments_have_one_key(case):
    """However they are written."""
    _, function, one, other = case
    assert key_of(function, one) == key_of(function, other)


DIFFERENT: list[tuple[str, Any, Any, Any]] = [
    ("numbers", anything, 1, 2),
    ("number and text", anything, 1, "1"),
    ("bool and number", anything, True, 1),
    ("None and text", anything, None, "None"),
    ("empty list and dict", anything, [], {}),
    ("order of a list", anything, [1, 2], [2, 1]),
    ("nesting", anything, [[1], 2], [1, [2]]),
    ("pairs and dict", anything, {"a": 1}, [["a", 1]]),
    ("floats that are near", floating, 0.1, 0.1 + 2**-56),
    ("large ints that are near", anything, 2**53, 2**53 + 1),
    ("sign", anything, 5, -5),
    ("magnitude", decimal, Decimal(1), Decimal(10)),
    ("moments", moment, NOON, NOON + timedelta(microseconds=1)),
    ("local and zoned", moment, NOON, NOON.replace(tzinfo=None)),
    ("same digits in zones", moment, NOON, NOON.replace(tzinfo=PARIS)),
    ("fields", point, Point(1, 2), Point(2, 1)),
]


@pytest.mark.parametrize("case", DIFFERENT, ids=[case[0] for case in DIFFERENT])
def test_different_arguments_have_different_keys(case):
    """One job of each."""
    _, function, one, other = case
    assert key_of(function, one) != key_of(function, other)


def test_spelling_and_defaults_make_no_difference():
    """By position, by keyword, in any order, a default given or left out, as a number of another kind."""
    calls: list[tuple[tuple, dict]] = [
        ((1,), {}),
        ((), {"a": 1}),
        ((1, 1.0), {}),
        ((1, 1), {}),
        ((1,), {"c": None}),
        ((), {"c": None, "b": 1, "a": 1}),
        ((1,), {"d": ()}),
        ((1,), {"d": []}),
    ]
    assert len({key_of(defaults, *args, **kwargs) for args, kwargs in calls}) == 1
    assert key_of(defaults, 1, 2.0) != key_of(defaults, 1)
    assert key_of(anything, 1, 2) != key_of(anything, 2, 1)


def test_a_parameter_that_a_later_release_adds_changes_no_key():
    """As long as it has its default."""

    def before(a: int) -> None: ...
    def after(a: int, b: str = "x") -> None: ...

    assert key_of(before, 1) == key_of(after, 1) == key_of(after, 1, "x")
    assert key_of(after, 1, "y") != key_of(after, 1)


PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from tests.unit.app.test_unique_key import *
print(key_of(tags, set("abcdefgh")), key_of(anything, {{"b": 1, "a": [2]}}), key_of(point, Point(1)))
"""


def test_every_process_makes_the_same_key():
    """Also where strings have other hashes; and the key of today is the key of tomorrow."""
    printed = set()
    for seed in ("0", "1"):
        program = PROGRAM.format(root=str(Path(__file__).parents[3]))
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
        )
        printed.add(done.stdout)
    assert len(printed) == 1
    assert key_of(number, 1) == "t:v2:8e250ece5bf9b28a85d5e2fa1f2e03bc3e9a42f3f1cee35e82c351adffee14a7"


def test_the_version_is_a_part_of_the_key():
    """Keys of an older version are distinguished by it: they had none."""
    task, version, digest = key_of(anything, {"when": 1}).split(":")
    assert (task, version, len(digest)) == ("t", "v2", 64)
