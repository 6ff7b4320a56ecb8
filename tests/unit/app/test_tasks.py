"""Declaring tasks: names, options, rules, types."""

import sys
import types
from datetime import timedelta
from typing import Any, assert_type

import pytest

from penstock import NEVER, App, Backoff, Context, JobHandle, Task
from penstock.app.task_options import default_name
from penstock.errors import InvalidTask


@pytest.fixture
def app() -> App:
    return App()


async def add(a: int, b: int = 2) -> int:
    """Add."""
    return a + b


def greet(name: str) -> str:
    return f"Hello, {name}"


def test_a_task_is_still_the_function(app: App):
    """Calling it calls the function, and it looks like it."""
    task = app.task(greet)
    assert task("Ada") == "Hello, Ada"
    assert repr(task) == f"Task('{__name__}:greet')"
    assert app.task(name="add")(add).__doc__ == "Add."


async def test_an_async_task_is_awaited_as_its_function(app: App):
    """Calling it gives the coroutine."""
    assert await app.task(add)(1, b=5) == 6


def test_a_task_is_named_after_module_and_function(app: App):
    """The default; a given name is free of the function's."""
    assert app.task(greet).name == f"{__name__}:greet"
    assert app.task(name="emails.greet")(greet).name == "emails.greet"


def test_a_module_started_as_a_program_names_its_tasks_as_the_worker_imports_them(monkeypatch: pytest.MonkeyPatch):
    """`python -m shop.jobs` and `python jobs.py` enqueue what `penstock worker` knows."""
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    function = types.FunctionType(greet.__code__, {"__name__": "__main__"}, "greet")
    function.__module__ = "__main__"
    main.__file__ = "/srv/jobs.py"
    assert default_name(function) == "jobs:greet"
    main.__spec__ = types.SimpleNamespace(name="shop.jobs")  # type: ignore[assignment]
    assert default_name(function) == "shop.jobs:greet"


def test_the_registry_knows_names_and_aliases(app: App):
    """A job enqueued under a former name still finds its task."""
    task = app.task(name="greet", aliases=["hello", "hi"])(greet)
    assert list(app.tasks) == ["greet"]
    assert task is app.tasks.get("greet") is app.tasks["hi"]
    assert app.tasks.get("unknown") is None
    assert "hello" in app.tasks


@pytest.mark.parametrize(("name", "aliases"), [("greet", []), ("other", ["greet"]), ("old", []), ("x", ["x"])])
def test_a_name_that_is_taken_is_refused(app: App, name: str, aliases: list[str]):
    """One name, one task; the error says whose it is."""
    app.task(name="greet", aliases=["old"])(greet)
    with pytest.raises(InvalidTask, match=r"is used by .*test_tasks\.\w+"):
        app.task(name=name, aliases=aliases)(add)


def test_the_options_of_a_task_are_what_the_worker_reads(app: App):
    """Each as given, durations in seconds."""
    task = app.task(
        queue="emails",
        executor="process",
        timeout=timedelta(minutes=1),
        hard_timeout=90,
        max_attempts=3,
        priority=0,
        exclusive=True,
    )(greet)
    assert (
        task.queue,
        task.executor,
        task.timeout,
        task.hard_timeout,
        task.max_attempts,
        task.priority,
        task.exclusive,
    ) == ("emails", "process", 60.0, 90.0, 3, 0, True)
    assert not task.is_async
    assert not task.wants_context


def test_what_is_not_given_is_left_to_queue_and_worker(app: App):
    """No option of a task hides one of its queue."""
    task = app.task(add)
    assert (task.executor, task.timeout, task.max_attempts) == (None, None, None)
    assert task.is_async
    assert (task.queue, task.priority) == ("default", 1)


@pytest.mark.parametrize(
    ("function", "default", "expected"),
    [
        (add, "async", "async"),
        (add, "thread", "async"),
        (add, "process", "process"),
        (greet, "async", "thread"),
        (greet, "thread", "thread"),
        (greet, "process", "process"),
    ],
)
def test_a_plain_function_never_runs_on_the_event_loop(app: App, function, default, expected):
    """A worker's default executor is bent to the kind of function."""
    assert app.task(function).executor_for(default) == expected


def test_the_executor_of_a_task_wins(app: App):
    """Over the worker's default."""
    assert app.task(executor="thread")(greet).executor_for("process") == "thread"


def test_the_nearest_class_of_an_exception_decides_its_backoff(app: App):
    """LookupError's policy holds for KeyError, unless KeyError has its own."""
    slow, fast = Backoff(base_seconds=60), Backoff(base_seconds=1)
    task = app.task(retry={LookupError: slow, KeyError: fast, ValueError: NEVER})(greet)
    assert task.backoff_for(KeyError()) is fast
    assert task.backoff_for(IndexError()) is slow
    assert task.backoff_for(UnicodeError()) is NEVER
    assert task.backoff_for(OSError()) is None
    assert task.backoff_for(OSError()) is None


def positional(a: int, /) -> None: ...
def keywords(**rows: int) -> None: ...
def underscored(__a: int) -> None: ...  # noqa: PYI063
def generator():
    yield 1


async def async_generator():
    yield 1


def unresolved(a: "NoSuchType") -> None: ...  # type: ignore[name-defined] # noqa: F821
def opaque(a: object) -> None: ...
def deep(a: dict[str, list[type]]) -> None: ...
def late(a: int, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (positional, "parameter 'a'.*positional-only"),
        (keywords, "parameter 'rows'.*variadic keyword"),
        (underscored, "two underscores"),
        (generator, "cannot be a generator"),
        (async_generator, "cannot be a generator"),
        (unresolved, "NoSuchType"),
        (opaque, "parameter 'a'.*no JSON form"),
        (deep, "parameter 'a'.*no JSON form"),
        (late, "parameter 'ctx'.*first parameter"),
        (print, "decorates a function, got <built-in"),
    ],
)
def test_a_function_that_cannot_be_a_task_is_refused_where_it_is_declared(app: App, function: Any, named: str):
    """Not at the first enqueue, and not in the worker."""
    with pytest.raises(InvalidTask, match=named):
        app.task(function)
    assert len(app.tasks) == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"name": ""}, "1 to 200 characters"),
        ({"name": "a b"}, "got 'a b'"),
        ({"name": "x" * 201}, "1 to 200"),
        ({"aliases": ["\x00"]}, "1 to 200"),
        ({"queue": "no spaces"}, "queue must be"),
        ({"executor": "gpu"}, "one of async, thread, process, got 'gpu'"),
        ({"hard_timeout": 5}, "hard_timeout needs executor='process', got None"),
        ({"executor": "thread", "hard_timeout": 5}, "got 'thread'"),
        ({"executor": "process", "timeout": 5, "hard_timeout": 5}, "above timeout \\(5 s\\), got 5 s"),
        ({"executor": "process", "hard_timeout": 0}, "hard_timeout must be above 0"),
        ({"exclusive": True}, "a thread cannot be interrupted"),
        ({"executor": "async"}, "plain function runs on a thread"),
        ({"timeout": 0}, "above 0"),
        ({"timeout": -1}, "got -1"),
        ({"timeout": "soon"}, "soon"),
        ({"max_attempts": 0}, "from 1 to 1000, got 0"),
        ({"max_attempts": True}, "got True"),
        ({"priority": 4}, "from 0 to 3, got 4"),
        ({"retry": {ValueError: 3}}, "Backoff or NEVER, got .*3"),
        ({"retry": {"ValueError": NEVER}}, "maps exception types"),
        ({"retry": {KeyboardInterrupt: NEVER}}, "maps exception types"),
    ],
)
def test_an_option_outside_its_rule_is_refused(app: App, options: dict, named: str):
    """Names the task, the rule and the value."""
    with pytest.raises(InvalidTask, match=named):
        app.task(**({"name": "greet"} | options))(greet)


def test_an_async_function_has_no_thread(app: App):
    """It runs on the loop."""
    with pytest.raises(InvalidTask, match="async function runs on the event loop"):
        app.task(executor="thread")(add)


def test_types_of_parameters_and_results_are_kept(app: App):
    """Checked by mypy: a task's calls, handles and results are as typed as its function."""

    @app.task
    async def double(number: int) -> int:
        return number * 2

    @app.task(queue="q")
    def label(ctx: Context, number: int) -> str:
        return f"{ctx.attempt}:{number}"

    with app.test_mode():
        assert_type(double.enqueue(1), JobHandle[int])
        assert_type(label.enqueue(number=1), JobHandle[str])
        assert_type(label.options(delay=1).enqueue(1), JobHandle[str])
        app.run_inline()
        assert_type(label.enqueue(1).id, int)
    assert isinstance(double, Task)


def test_a_lifespan_yields_once(app: App):
    """Anything else is refused."""
    with pytest.raises(InvalidTask, match="yields once"):
        app.lifespan(greet)  # type: ignore[type-var]
