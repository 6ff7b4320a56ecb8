"""What type checkers accept as arguments comes back equal, or is refused in one sentence.

More than 300 lines, because the tables belong together.
"""

from __future__ import annotations

import collections
import enum
import subprocess
import sys
import typing
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar, Unpack
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest

from penstock import App, Task
from penstock.errors import InvalidArguments, InvalidTask, UnencodableArgument, UnencodableResult

T = TypeVar("T")
UserId = NewType("UserId", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    ADA = "ada"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Moment(datetime):
    pass


class Amount(Decimal):
    pass


class Key(UUID):
    pass


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class Point:
    x: int
    y: int = 0


@dataclass
class Named(Point):
    name: str = ""


@dataclass
class Mixed:
    where: Path
    when: str | datetime
    ids: Iterable[int] = ()
    tags: list[str] = field(default_factory=list)


@dataclass
class Page(Generic[T]):
    items: list[T]


@attrs.define
class Box:
    width: int


class Place(TypedDict):
    name: str
    zip: NotRequired[str]


class Choice(TypedDict):
    value: UUID | str


class Model(pydantic.BaseModel):
    name: str
    when: datetime | None = None
    tags: set[str] = set()


class Nested(pydantic.BaseModel):
    inner: Model
    many: dict[str, list[Model]] = {}


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    when: datetime
    amount: Decimal


class Aliased(pydantic.BaseModel):
    user_id: int = pydantic.Field(alias="userId")


class Secret(pydantic.BaseModel):
    password: pydantic.SecretStr


class Hidden(pydantic.BaseModel):
    kept: int = 0
    left_out: int = pydantic.Field(default=0, exclude=True)


class Cached(pydantic.BaseModel):
    name: str
    _calls: list[int] = pydantic.PrivateAttr(default_factory=lambda: [1])


class Derived(Model):
    more: int = 1


def task(function) -> Task[..., Any, ..., Any]:
    return App().task(name="t")(function)


def through(hint: Any, value: Any) -> Any:
    """What the worker's function is given for a value of that annotation, by way of what Postgres makes of its JSON."""

    def function(value: Any) -> None: ...

    function.__annotations__ = {"value": hint, "return": None}
    made = task(function)
    args = made.job(value).args
    decoded: Any = made.decode(args)["value"]
    return decoded


ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
ID = UUID(int=7)
ACCEPTED: list[tuple[str, Any, Any]] = [
    # subclasses of what is accepted
    ("str subclass", str, Text("x")), ("int subclass", int, Whole(3)),
    ("datetime subclass", datetime, Moment(2026, 1, 2)),
    ("Decimal subclass", Decimal, Amount("1.50")), ("UUID subclass", UUID, Key(int=1)),
    ("str enum as str", str, Name.ADA),
    ("int enum as int", int, Level.LOW), ("str subclass in Any", Any, {"a": [Text("x")]}),
    ("int enum in Any", Any, [1]),
    ("defaultdict", dict[str, int], defaultdict(int, {"a": 1})), ("OrderedDict", dict[str, int], OrderedDict(a=1)),
    ("Counter", dict[str, int], collections.Counter("aa")), ("named tuple as tuple", tuple[int, str], Pair(1, "x")),
    ("deep", dict[str, list[datetime]], {"a": [Moment(2026, 1, 2)]}),
    ("in a dataclass", Mixed, Mixed(Path("a"), Moment(2026, 1, 2), (1, 2), ["t"])),
    ("int as float", float, 3), ("float in Any", Any, 0.1),
    # abstract containers, and iterables that are no list
    ("Sequence of a tuple", Sequence[int], (1, 2)), ("Sequence of a range", Sequence[int], range(3)),
    ("Iterable", Iterable[int], [1, 2]), ("typing.Iterable", typing.Iterable[str], ("a",)),
    ("Iterable of keys", Iterable[str], {"a": 1}.keys()), ("list of a deque", list[int], deque([1])),
    ("Mapping", Mapping[str, int], {"a": 1}), ("AbstractSet", collections.abc.Set[int], {1}),
    ("Collection", collections.abc.Collection[int], [1]), ("deque", deque[int], deque([1, 2])),
    ("Counter as such", collections.Counter[str], collections.Counter("aab")),
    ("Iterable in a list", list[Iterable[int]], [[1]]),
    # unions of like kinds
    ("text or moment: text", str | datetime, "x"), ("text or moment: moment", str | datetime, NOW),
    ("text or moment: text like a moment", str | datetime, "2026-01-02T03:04:05Z"),
    ("UUID or text: UUID", UUID | str, ID), ("UUID or text: its text", UUID | str, str(ID)),
    ("date or moment: date", date | datetime, date(2026, 1, 2)), ("date or moment: moment", date | datetime, NOW),
    ("Path or text: Path", Path | str, Path("a")), ("Path or text: text", Path | str, "a"),
    ("Decimal or text", Decimal | str, Decimal("1.0")), ("Decimal or text: text", Decimal | str, "1.0"),
    ("bytes or text", bytes | str, b"x"), ("bytes or text: text", bytes | str, "eA=="),
    ("enum or text: enum", Colour | str, Colour.RED), ("enum or text: its value", Colour | str, "red"),
    ("enum or number", Level | int, 7), ("optional", UUID | str | None, None),
    ("in a list", list[UUID | str], [ID, "x"]),
    ("in a dict", dict[str, Path | str | None], {"a": Path("p"), "b": "q", "c": None}),
    ("model or number", Model | int, Model(name="n")), ("two models", Model | Nested, Nested(inner=Model(name="n"))),
    ("set or list", set[int] | list[int], [1]), ("set or list: set", set[int] | list[int], {1}),
    ("two dataclasses", Point | Mixed, Point(1)), ("in a TypedDict", Choice, {"value": str(ID)}),
    ("moment under a proxy", str | datetime, Moment(2026, 1, 2)),
    # paths, names, generics, literals
    ("Path", Path, Path("/a/b")), ("PurePosixPath", PurePosixPath, PurePosixPath("a")),
    ("paths", list[Path], [Path("a")]),
    ("optional Path", Path | None, None), ("NewType", UserId, UserId(3)), ("Annotated", Annotated[int, "note"], 3),
    ("Annotated union", Annotated[UUID | str, "note"], ID), ("generic dataclass", Page[int], Page([1])),
    ("enum literal", Literal[Colour.RED], Colour.RED), ("mixed literal", Literal[Colour.RED, "x", 1], "x"),
    ("int enum literal", Literal[Level.LOW], Level.LOW), ("inherited dataclass", Named, Named(1, 2, "n")),
    ("attrs", Box, Box(3)), ("named tuple", Pair, Pair(1, "x")), ("TypedDict", Place, {"name": "n", "zip": "z"}),
    # pydantic
    ("model", Model, Model(name="n", when=NOW, tags={"a"})), ("nested model", Nested, Nested(
        inner=Model(name="n"), many={"k": [Model(name="m")]})), ("models", list[Model], [Model(name="n")]),
    ("strict model", Strict, Strict(when=NOW, amount=Decimal("1.0"))), ("optional model", Model | None, None),
    ("model with an alias", Aliased, Aliased(userId=1)), ("model with what is private", Cached, Cached(name="n")),
    # numbers and text at their limits
    ("1e22", Any, 1e22), ("1e16", Any, [1e16]), ("-1.5e300", Any, {"a": -1.5e300}),
    ("largest float", Any, sys.float_info.max),
    ("smallest float", Any, 5e-324), ("1e22 as a float", float, 1e22), ("1e22 or int", int | float, 1e22),
    ("2**64", Any, 2**64),
    ("400 digits", int, 10**400), ("-(2**63)", int, -(2**63) - 1), ("-0.0", float, -0.0),
    ("text like a number", Any, '1e22 and "1e22"'), ("escapes", str, "\\u0000 \u2028 \U0001f600 \\ud800"),
    ("Decimal NaN-free", Decimal, Decimal("-0.00")), ("first day", datetime, datetime(1, 1, 1, tzinfo=UTC)),
    ("last time", time, time.max),
    ("timedelta", timedelta, timedelta(days=-1, microseconds=1)),
]  # fmt: skip


@pytest.mark.parametrize("case", ACCEPTED, ids=[case[0] for case in ACCEPTED])
def test_what_a_type_checker_accepts_comes_back_equal(case):
    """Equal to what was given; of the annotation's kind where the value is a subclass or another kind of iterable."""
    _, hint, value = case
    found = through(hint, value)
    wanted = list(value) if isinstance(value, (range, deque, type({}.keys()))) and hint != deque[int] else value
    wanted = list(wanted) if isinstance(found, list) and isinstance(wanted, tuple) else wanted
    if isinstance(value, (Mixed, Cached)):
        assert type(found) is type(value)
        assert repr(found).replace("[1, 2]", "(1, 2)").replace("datetime.datetime", "Moment") == repr(value)
        return
    assert found == wanted
    assert isinstance(wanted, type(found)) or hint is float
    if isinstance(value, float):
        assert isinstance(found, float)


REFUSED: list[tuple[str, Any, Any, type[Exception], str]] = [
    ("key that a TypedDict does not name", Place, {"name": "n", "town": "t"}, InvalidArguments, r"no key at \.town"),
    ("the same in a list", list[Place], [{"name": "n", "town": "t"}], InvalidArguments, r"no key at \[0\]\.town"),
    ("field of a derived dataclass", Point, Named(1, 2, "n"), InvalidArguments, r"no key at \.name"),
    ("field of a derived model", Model, Derived(name="n"), UnencodableArgument, "would not come back"),
    ("secret of a model", Secret, Secret(password=pydantic.SecretStr("p")), UnencodableArgument, "would not come back"),
    ("field that a model leaves out", Hidden, Hidden(left_out=1), UnencodableArgument, "would not come back"),
    ("NaN", float, float("nan"), UnencodableArgument, "NaN"),
    ("infinity", Any, [float("inf")], UnencodableArgument, "NaN"),
    ("NUL", str, "a\0", UnencodableArgument, "NUL"),
    ("lone surrogate", str, "\ud800", UnencodableArgument, "surrogate"),
    ("NUL in a path", Path, Path("a\0"), UnencodableArgument, "NUL"),
    ("surrogate in a path", Path, Path("\udcff"), UnencodableArgument, "surrogate"),
    ("NUL in a model", Model, Model(name="\0"), UnencodableArgument, "NUL"),
    ("integer that no float is", float, 2**53 + 1, UnencodableArgument, "would not come back"),
    ("the same in a list", list[float], [10**30], UnencodableArgument, "would not come back"),
    ("bool as a number", int, True, InvalidArguments, "got `bool`"),
    ("text as an iterable", Iterable[str], "abc", InvalidArguments, "expected `array`, got `str`"),
    ("datetime as a date", date, NOW, InvalidArguments, "expected `date`, got `datetime`"),
    ("no member of a union", UUID | str, 3, InvalidArguments, "expected one of UUID, str"),
    ("no member of a literal", Literal[Colour.RED], Colour.BLUE, InvalidArguments, "expected one of"),
    ("wrong model", Model, Nested(inner=Model(name="n")), InvalidArguments, "Model"),
]


@pytest.mark.parametrize("case", REFUSED, ids=[f"{case[0]}-{n}" for n, case in enumerate(REFUSED)])
def test_what_json_would_change_is_refused_with_the_parameter_and_the_reason(case):
    """When it is enqueued, by the parameter's name."""
    _, hint, value, kind, said = case
    with pytest.raises(kind, match=rf"(?s)task 't', parameter 'value'.*{said}"):
        through(hint, value)


FROZEN = """
import datetime as dt
from datetime import UTC, datetime

from freezegun import freeze_time

from tests.unit.app.test_values import through

with freeze_time("2026-03-04 05:06:07"):
    frozen = dt.datetime.now(UTC)
    hint, day = dt.datetime, dt.date.today()
    assert through(datetime, frozen) == through(hint, frozen) == through(datetime | str, frozen) == frozen
    assert through(dict[str, list[dt.date]], {"a": [day]}) == {"a": [day]}
assert type(through(hint, frozen)) is datetime
"""


def test_every_value_is_accepted_while_time_is_frozen():
    """Freezegun's classes stand in for the real ones in values, and in annotations of what was imported meanwhile.

    In a process of its own: what fails in the middle of it would leave the clocks of this one frozen.
    """
    done = subprocess.run([sys.executable, "-c", FROZEN], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_json_of_a_plain_value_is_plain_and_read_as_plain():
    """Other programs enqueue by SQL; only what would be read as another member says which it is."""

    def function(value: UUID | str) -> None: ...

    made = task(function)
    assert made.job(ID).args == f'{{"value":"{ID}"}}'
    assert made.job("x").args == '{"value":"x"}'
    assert made.job(str(ID)).args == f'{{"value":{{"$type":"str","$value":"{ID}"}}}}'
    assert made.decode(f'{{"value": "{ID}"}}') == {"value": ID}


class Options(TypedDict):
    size: int
    label: NotRequired[str]


def test_star_arguments_and_unpacked_keys_are_kept_by_name(tmp_path):
    """`*args` as a list, the keys of an unpacked TypedDict as arguments of their own; the call is as it was written."""
    calls: list[Any] = []

    def star(a: int, b: int = 2, *rows: Path, c: int = 3) -> None:
        calls.append((a, b, rows, c))

    def unpacked(a: int, **options: Unpack[Options]) -> None:
        calls.append((a, options))

    app = App()
    first, second = app.task(name="star")(star), app.task(name="unpacked")(unpacked)
    assert first.job(1, 5, Path("x"), Path("y"), c=4).args == '{"a":1,"b":5,"rows":["x","y"],"c":4}'
    assert second.job(1, size=2, label="l").args == '{"a":1,"size":2,"label":"l"}'
    jobs = [first.job(1), first.job(1, 5, Path("x"), c=4), first.job(a=1, c=9), second.job(1, size=2)]
    app.run_inline(*jobs)
    assert calls == [(1, 2, (), 3), (1, 5, (Path("x"),), 4), (1, 2, (), 9), (1, {"size": 2})]
    with pytest.raises(InvalidArguments, match="unexpected keyword argument 'colour'"):
        second.job(1, size=2, colour="red")  # type: ignore[call-arg]
    with pytest.raises(InvalidArguments, match="missing a required argument: 'size'"):
        second.job(1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "value",
    [Model(name="n", when=NOW), [Model(name="n")], {"a": Model(name="n")}, Path("a"), 1e22, Text("x"), deque([1])],
)
def test_results_of_the_same_kinds_are_kept(value):
    """And come back as what the function says that it returns."""

    def function() -> Any: ...

    made = task(function)
    assert made.encode_result(value) is not None


def test_a_model_that_is_returned_comes_back_as_a_model():
    """By the annotation of the function."""

    def function() -> list[Model]:
        return []

    made = task(function)
    stored = made.encode_result([Model(name="n", when=NOW)])
    assert stored is not None
    assert made.read_result(msgspec.json.decode(stored)) == [Model(name="n", when=NOW)]
    with pytest.raises(UnencodableResult, match="NUL"):
        made.encode_result(Model(name="\0"))


def test_stored_arguments_that_a_model_refuses_are_reported_without_their_value():
    """The error is kept with the job."""

    def function(value: Model) -> None: ...

    with pytest.raises(InvalidArguments) as refused:
        task(function).decode('{"value": {"name": ["top-secret"]}}')
    assert "parameter 'value'" in str(refused.value)
    assert "name: Input should be a valid string" in str(refused.value)
    assert "top-secret" not in str(refused.value)


def test_pydantic_is_not_imported_by_us():
    """An application without it pays nothing."""
    code = (
        "import sys; from penstock import App; App().task(name='t')(lambda a=1: None); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@dataclass
class Node:
    value: UUID | str
    children: list[Node]


def test_a_class_that_contains_itself_and_needs_a_proxy_is_refused_in_a_sentence():
    """Not by a traceback at the import."""

    def function(value: Node) -> None: ...

    with pytest.raises(InvalidTask, match=r"parameter 'value'.*is recursive"):
        task(function)


def test_models_of_pydantic_1_are_refused_with_what_to_do():
    """In a sentence of their own."""

    class Old:
        __fields__ = ()

        @classmethod
        def parse_obj(cls, value: Any) -> Old:
            return cls()

    def function(value: Any) -> None: ...

    function.__annotations__ = {"value": Old}
    with pytest.raises(InvalidTask, match="pydantic 1 are not supported: use pydantic 2"):
        task(function)


@pytest.mark.parametrize("value", [iter([1]), (n for n in (1, 2)), map(str, [1]), open])
def test_what_can_be_read_only_once_is_no_result(value):
    """Nor does the check of it read from it."""

    def function() -> Any: ...

    with pytest.raises(UnencodableResult, match="unsupported"):
        task(function).encode_result(value)


def test_a_generator_is_read_once():
    """It has nothing left for a second read."""

    def numbers() -> Iterator[int]:
        yield from (1, 2)

    assert through(Iterable[int], numbers()) == [1, 2]
