"""Code and jobs of two releases: what each change of a task does to jobs of the other release."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from penstock import App, Task
from penstock.errors import InvalidArguments


class Old:
    """Types of the release before."""

    class Colour(enum.Enum):
        RED = "red"

    @dataclass
    class Point:
        x: int

    class Place(TypedDict):
        name: str


class New:
    """The same a release later."""

    class Colour(enum.Enum):
        RED = "red"
        BLUE = "blue"

    @dataclass
    class Point:
        x: int
        y: int = 0

    class Place(TypedDict):
        name: str
        zip: NotRequired[str]


def task(function) -> Task[..., Any, ..., Any]:
    return App().task(name="t")(function)


def add_old(a: int) -> None: ...
def add_new(a: int, b: int = 0) -> None: ...
def widen_old(a: int) -> None: ...
def widen_new(a: int | str) -> None: ...
def float_old(a: int) -> None: ...
def float_new(a: float) -> None: ...
def optional_old(a: str) -> None: ...
def optional_new(a: str | None = None) -> None: ...
def rename_old(a: int) -> None: ...
def rename_new(b: int) -> None: ...
def bridge_new(b: int = 0, a: int | None = None) -> None: ...
def enum_old(a: Old.Colour) -> None: ...
def enum_new(a: New.Colour) -> None: ...
def literal_old(a: Literal["x"]) -> None: ...
def literal_new(a: Literal["x", "y"]) -> None: ...
def field_old(a: Old.Point) -> None: ...
def field_new(a: New.Point) -> None: ...
def deep_old(a: list[dict[str, Old.Point | None]]) -> None: ...
def deep_new(a: list[dict[str, New.Point | None]]) -> None: ...
def key_old(a: Old.Place) -> None: ...
def key_new(a: New.Place) -> None: ...
def two_old(a: int, b: int) -> None: ...
def one_new(a: int) -> None: ...
def list_old(a: int) -> None: ...
def list_new(a: list[int]) -> None: ...


YES, NO = True, False
CHANGES: list[tuple[str, Any, Any, Any, Any, bool, bool]] = [
    # what changes, the task before and after, a call by each; runs the new job on old code, the old job on new code
    ("parameter added, given", add_old, add_new, {"a": 1}, {"a": 1, "b": 2}, NO, YES),
    ("parameter added, not given", add_old, add_new, {"a": 1}, {"a": 1}, YES, YES),
    ("parameter removed", add_new, add_old, {"a": 1, "b": 2}, {"a": 1}, YES, NO),
    ("parameter removed that was required", two_old, one_new, {"a": 1, "b": 2}, {"a": 1}, NO, NO),
    ("parameter made optional, left out", optional_old, optional_new, {"a": "x"}, {}, NO, YES),
    ("parameter made optional, null", optional_old, optional_new, {"a": "x"}, {"a": None}, NO, YES),
    ("parameter renamed", rename_old, rename_new, {"a": 1}, {"b": 1}, NO, NO),
    ("parameter renamed, both kept", rename_old, bridge_new, {"a": 1}, {"b": 1}, NO, YES),
    ("type widened", widen_old, widen_new, {"a": 1}, {"a": "one"}, NO, YES),
    ("type widened, old value", widen_old, widen_new, {"a": 1}, {"a": 1}, YES, YES),
    ("int to float", float_old, float_new, {"a": 1}, {"a": 1.5}, NO, YES),
    ("one to many", list_old, list_new, {"a": 1}, {"a": [1]}, NO, NO),
    ("enum member added", enum_old, enum_new, {"a": Old.Colour.RED}, {"a": New.Colour.BLUE}, NO, YES),
    ("literal added", literal_old, literal_new, {"a": "x"}, {"a": "y"}, NO, YES),
    ("field added to a dataclass", field_old, field_new, {"a": Old.Point(1)}, {"a": New.Point(1, 2)}, NO, YES),
    ("the same, deep inside", deep_old, deep_new, {"a": [{"k": Old.Point(1)}]}, {"a": [{"k": New.Point(1)}]}, NO, YES),
    ("key added to a TypedDict", key_old, key_new, {"a": {"name": "n"}}, {"a": {"name": "n", "zip": "z"}}, NO, YES),
]


def runs(made_by, run_by, call: dict[str, Any]) -> bool:
    """Whether a worker of one release accepts a job of the other."""
    args = task(made_by).job(**call).args
    try:
        task(run_by).decode(args)
    except InvalidArguments:
        return False
    return True


@pytest.mark.parametrize("change", CHANGES, ids=[change[0] for change in CHANGES])
def test_a_job_of_another_release_runs_as_it_is_or_is_refused_but_loses_nothing(change):
    """A worker that drops what it does not know would run the job wrongly; refused, it waits for one that knows."""
    _, old, new, old_call, new_call, on_old, on_new = change
    assert runs(new, old, new_call) is on_old
    assert runs(old, new, old_call) is on_new


def test_a_renamed_task_has_jobs_under_both_names():
    """The alias is the old name; without one the job waits for a worker that knows it."""
    app = App()

    @app.task(name="mail.send", aliases=["jobs:send"])
    def send() -> None: ...

    assert app.tasks.get("jobs:send") is app.tasks.get("mail.send")
    assert app.tasks.get("elsewhere:send") is None
