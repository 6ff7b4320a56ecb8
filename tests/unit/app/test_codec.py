"""Arguments to JSON and back: what is accepted, what is refused, and in which words."""

import enum
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import App, Context, Task
from penstock.app.arguments.codec import MAX_PAYLOAD_BYTES
from penstock.errors import InvalidArguments, PayloadTooLarge, UnencodableArgument, UnencodableResult


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Order:
    number: uuid.UUID
    total: Decimal
    placed: datetime
    lines: list[Point] = field(default_factory=list)


class Address(msgspec.Struct):
    city: str


def make(function) -> Task[..., Any, ..., Any]:
    return App().task(name="t")(function)


def through(function, *args, **kwargs) -> dict:
    """What the worker's function is given for a call."""
    task = make(function)
    return task.decode(task.job(*args, **kwargs).args)


def everything(
    order: Order,
    *,
    colour: Colour,
    size: Size,
    day: date,
    wait: timedelta,
    raw: bytes,
    address: Address | None,
    points: dict[str, tuple[Point, ...]],
    codes: dict[int, float],
    tags: set[str],
    kind: Literal["a", "b"] = "a",
) -> None: ...


def test_rich_types_come_back_as_they_were():
    """Dataclasses, dates, UUID, Decimal, enums, bytes, structs, nested in containers."""
    given_ = {
        "order": Order(uuid.uuid4(), Decimal("19.90"), datetime(2026, 1, 2, 3, 4, 5, 6, UTC), [Point(1, 2)]),
        "colour": Colour.RED,
        "size": Size.SMALL,
        "day": date(2026, 1, 2),
        "wait": timedelta(seconds=1.5),
        "raw": b"\x00\xff",
        "address": Address("Kyiv"),
        "points": {"a": (Point(1), Point(2))},
        "codes": {7: 0.5},
        "tags": {"x"},
    }
    assert through(everything, **given_) == given_


def some(a: int, b: str = "x", *, c: list[int] | None = None) -> None: ...


def test_arguments_are_kept_by_name_however_they_were_given():
    """Positional or by keyword, the JSON is the same; what is left out is not stored."""
    task = make(some)
    assert json.loads(task.job(1, "y").args) == {"a": 1, "b": "y"}
    assert task.job(1, b="y").args == task.job(b="y", a=1).args
    assert json.loads(task.job(1).args) == {"a": 1}
    assert task.decode('{"a": 1, "c": null}') == {"a": 1, "c": None}


def test_a_context_is_not_an_argument():
    """The worker gives it."""

    def noted(ctx: Context, text: str) -> None: ...

    task = make(noted)
    assert task.wants_context
    assert task.decode(task.job("hi").args) == {"text": "hi"}


def test_a_task_without_parameters_takes_none():
    """An empty object, and nothing else."""
    task = make(lambda: None)
    assert task.decode(task.job().args) == {}
    with pytest.raises(InvalidArguments, match="unknown field"):
        task.decode('{"a": 1}')


def test_a_constraint_in_the_annotation_is_kept():
    """Annotated bounds are part of the type."""

    def bounded(a: Annotated[int, msgspec.Meta(ge=1)]) -> None: ...

    with pytest.raises(InvalidArguments, match=r"parameter 'a': expected `int` >= 1 \(0\)"):
        make(bounded).job(0)


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, "x", 2), {}, "too many positional"),
        ((1,), {"d": 1}, "unexpected keyword argument 'd'"),
        ((1,), {"a": 1}, "multiple values for argument 'a'"),
        (("1",), {}, r"parameter 'a': expected `int`, got `str` \('1'\)"),
        ((True,), {}, "parameter 'a': expected `int`, got `bool`"),
        ((1.0,), {}, "parameter 'a': expected `int`, got `float`"),
        ((1, uuid.UUID(int=0)), {}, "parameter 'b': expected `str`, got `uuid`"),
        ((1, None), {}, "parameter 'b': expected `str`"),
        ((1, object()), {}, "parameter 'b': expected `str`, got `object`"),
        ((1,), {"c": [1, "2"]}, r"parameter 'c' at \[1\]: expected `int`, got `str` \(\[1, '2'\]\)"),
    ],
)
def test_wrong_arguments_name_task_parameter_rule_and_value(args, kwargs, named):
    """At the enqueue, before anything is written."""
    with pytest.raises(InvalidArguments, match=r"task 't'.*" + named):
        make(some).job(*args, **kwargs)


def test_a_wrong_field_deep_inside_is_found():
    """A dataclass does not check its own fields; the enqueue does."""

    def placed(order: Order) -> None: ...

    wrong = Order(uuid.uuid4(), Decimal(1), datetime.now(UTC), [Point(1), Point("2")])  # type: ignore[arg-type]
    with pytest.raises(InvalidArguments, match=r"parameter 'order' at \.lines\[1\]\.x: expected `int`, got `str`"):
        make(placed).job(wrong)


def test_a_long_value_is_cut_in_the_message():
    """An error does not repeat a payload."""
    with pytest.raises(InvalidArguments) as refused:
        make(some).job(["secret"] * 10_000)
    assert len(str(refused.value)) < 250


def anything(first: int, value: Any) -> None: ...
def mapping(first: int, value: dict[str, Any]) -> None: ...


def looped() -> list:
    loop: list = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "unsupported"),
        (float("nan"), "NaN"),
        ({"deep": [1, float("inf")]}, "NaN"),
        ("nul\x00", "NUL"),
        ({"\x00": 1}, "NUL"),
        ("\ud800", "surrogate"),
        (looped(), "contains itself"),
        (datetime(2026, 1, 1, tzinfo=UTC), "annotate it"),
        ({"when": Decimal(1)}, "annotate it"),
        ({1: "a"}, "annotate it"),
        (b"raw", "annotate it"),
        ({1, 2}, "annotate it"),
    ],
)
def test_what_json_would_lose_is_refused_by_parameter(value, reason):
    """Also where the annotation allows anything."""
    with pytest.raises(UnencodableArgument, match=rf"(?s)task 't', parameter 'value': .*{reason}"):
        make(anything).job(1, value)


def test_what_json_would_lose_is_refused_inside_a_typed_container():
    """dict[str, Any] promises keys, not values."""
    with pytest.raises(UnencodableArgument, match="parameter 'value'"):
        make(mapping).job(1, {"when": date(2026, 1, 1)})


def test_nul_and_nan_are_refused_in_typed_places_too():
    """Postgres cannot hold the one, JSON not the other."""

    def typed(a: str = "", b: float = 0.0, c: bytes = b"") -> None: ...

    wrongs: list[tuple[dict[str, Any], str]] = [({"a": "\x00"}, "NUL"), ({"b": float("nan")}, "NaN")]
    for wrong, reason in wrongs:
        with pytest.raises(UnencodableArgument, match=reason):
            make(typed).job(**wrong)
    assert through(typed, a="\\u0000", c=b"\x00") == {"a": "\\u0000", "c": b"\x00"}, "text about NUL, and bytes"


def test_plain_json_and_none_pass_unannotated():
    """Tuples come back as lists, the one change that is accepted."""
    value = {"a": [1, 2.5, None, True, "text"], "b": {}}
    assert through(anything, 1, value) == {"first": 1, "value": value}
    assert through(anything, 1, (1, 2))["value"] == [1, 2]


def test_arguments_above_the_limit_are_refused():
    """256 KiB as JSON, quotes and names included."""
    task = make(some)
    room = MAX_PAYLOAD_BYTES - len('{"a":1,"b":""}')
    assert len(task.job(1, "x" * room).args) == MAX_PAYLOAD_BYTES
    with pytest.raises(PayloadTooLarge, match=rf"'t', arguments: {MAX_PAYLOAD_BYTES + 1} bytes.*{MAX_PAYLOAD_BYTES}"):
        task.job(1, "x" * (room + 1))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{}", "missing required field `a`"),
        ('{"a": "secret-1"}', "parameter 'a': expected `int`, got `str`$"),
        ('{"a": 1, "z": 2}', "unknown field `z`"),
        ("[1]", "expected `object`, got `array`"),
        ('{"a": ', "truncated"),
        ("not json", "JSON is malformed"),
    ],
)
def test_stored_arguments_that_do_not_fit_are_reported_without_their_value(text, named):
    """Another version enqueued them, or a hand; the error is kept with the job."""
    with pytest.raises(InvalidArguments, match=rf"task 't'.*{named}"):
        make(some).decode(text)


def test_results_are_encoded_like_arguments():
    """JSON text, None for nothing."""
    task = make(some)
    assert task.encode_result(None) is None
    assert task.encode_result(Point(1, 2)) == '{"x":1,"y":2}'
    for wrong in (object(), float("inf"), "\x00"):
        with pytest.raises(UnencodableResult, match="task 't', returned value"):
            task.encode_result(wrong)
    with pytest.raises(PayloadTooLarge, match="returned value"):
        task.encode_result("x" * MAX_PAYLOAD_BYTES)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_value_comes_back_equal(value):
    """Whatever JSON can hold, Postgres's NUL aside."""
    assert through(anything, 1, value)["value"] == value


points = st.lists(st.builds(Point, st.integers(), st.integers()))
moments = st.datetimes(timezones=st.just(UTC))
decimals = st.decimals(allow_nan=False, allow_infinity=False)


@given(st.builds(Order, st.uuids(), decimals, moments, points))
def test_any_order_comes_back_equal(order):
    """Typed all the way down."""

    def placed(order: Order) -> None: ...

    assert through(placed, order) == {"order": order}
