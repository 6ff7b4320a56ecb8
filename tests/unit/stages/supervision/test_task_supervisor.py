"""Group L: one task per event."""

# Wrong arguments are the point of some of these tests, and lists start empty.
# mypy: disable-error-code="arg-type,assignment,attr-defined,call-arg,comparison-overlap,index,misc,redundant-expr"
# mypy: disable-error-code="return-value,union-attr,unreachable,var-annotated"

import asyncio

import pytest

from penstock.stages import SHUTDOWN, BadOption, CancelMode, Dropped, Restart, Strategy, TaskSupervisor

from ..doubles import Counter, Manual, settle


class Gates:
    """Starts a task per event that waits until the test lets it go."""

    def __init__(self):
        self.started = []
        self.gates = {}

    async def __call__(self, event):
        self.started.append(event)
        gate = self.gates[event] = asyncio.get_running_loop().create_future()
        return await gate

    async def end(self, *events, error=None):
        for event in events:
            if error is None:
                self.gates[event].set_result(None)
            else:
                self.gates[event].set_exception(error)
        await settle()


@pytest.mark.case(82)
@pytest.mark.parametrize(
    "options",
    [
        {"start": "no function"},
        {"start": [print, print]},
        {"strategy": Strategy.ONE_FOR_ALL},
        {"restart": Restart.PERMANENT},
        {"restart": "temporary"},
        {"shutdown": -1},
        {"shutdown": True},
        {"max_restarts": -1},
    ],
)
def test_wrong_options_are_refused_with_their_reason(options):
    """One function, one for one, no permanent restarts."""
    with pytest.raises(BadOption, match=next(iter(options))):
        TaskSupervisor(**{"start": print, **options})


@pytest.mark.case(83)
async def test_one_task_at_a_time_and_failed_starts_free_their_place(house, caplog):
    """ok, error, ignore, ok, ok, ok with M=1."""
    gates = Gates()

    def start(event):
        if event == "error":
            raise ValueError("cannot start")
        return None if event == "ignore" else gates(event)

    manual, tasks = Manual(), TaskSupervisor(start)
    await house(manual, tasks)
    await tasks.subscribe(manual, max_demand=1, min_demand=0)
    manual.push(["ok1", "error", "ignore", "ok2", "ok3", "ok4"])
    await settle()
    assert gates.started == ["ok1"]
    await gates.end("ok1")
    assert gates.started == ["ok1", "ok2"]
    assert manual.released == [(["error"], Dropped.CONSUMER_DOWN)]
    running = tasks.running()
    assert [entry.event for entry in running] == ["ok2"]
    assert await tasks.end_task(running[0].task)
    await settle()
    assert gates.started == ["ok1", "ok2", "ok3"]
    assert manual.released[1:] == [(["ok2"], Dropped.CONSUMER_DOWN)]
    assert "cannot start" in caplog.text
    outsider = asyncio.ensure_future(asyncio.sleep(0))
    assert not await tasks.end_task(outsider)
    await outsider


@pytest.mark.case(84)
async def test_a_transient_task_runs_again_with_the_same_event(house):
    """It keeps its place, and makes no demand meanwhile; a temporary one releases its event."""
    for restart, again in ((Restart.TRANSIENT, ["a", "a"]), (Restart.TEMPORARY, ["a"])):
        gates = Gates()
        manual, tasks = Manual(), TaskSupervisor(gates, restart=restart)
        await house(manual, tasks)
        await tasks.subscribe(manual, max_demand=1, min_demand=0)
        await settle()
        manual.push(["a"])
        await settle()
        await gates.end("a", error=ValueError())
        await asyncio.sleep(0.001)
        await settle()
        assert gates.started == again
        if restart is Restart.TRANSIENT:
            assert manual.demands == [1]
            await gates.end("a")
        else:
            assert manual.released == [(["a"], Dropped.CONSUMER_DOWN)]
        assert manual.demands == [1, 1]


@pytest.mark.case(85)
async def test_too_many_restarts_end_the_stage_and_its_other_tasks(house):
    """SHUTDOWN; what was running goes back."""
    gates = Gates()

    async def start(event):
        if event == "bad":
            raise ValueError
        await gates(event)

    manual, tasks = Manual(), TaskSupervisor(start, restart=Restart.TRANSIENT, max_restarts=1, within=60)
    await house(manual, tasks)
    await tasks.subscribe(manual)
    await settle()
    manual.push(["good", "bad"])
    assert await tasks.wait() is SHUTDOWN
    assert sorted(event for events, _ in manual.released for event in events) == ["bad", "good"]


@pytest.mark.case(86)
async def test_tasks_outlive_the_producer_of_their_events(house):
    """They go on, and can be ended; exceptions are contained."""
    gates = Gates()
    manual, tasks = Manual(), TaskSupervisor(gates)
    await house(manual, tasks)
    await tasks.subscribe(manual, cancel=CancelMode.TEMPORARY)
    await settle()
    manual.push([1, 2, 3])
    await settle()
    await manual.stop()
    await settle()
    assert len(tasks.running()) == 3
    await gates.end(1, error=ValueError("contained"))
    await gates.end(2)
    assert [entry.event for entry in tasks.running()] == [3]
    await tasks.end_task(tasks.running()[0].task)
    assert tasks.running() == ()
    assert tasks.reason is None


@pytest.mark.case(87)
async def test_tasks_started_by_hand_use_up_no_demand(house):
    """And stop and kill leave none running."""
    gates = Gates()
    manual, tasks = Manual(), TaskSupervisor(gates)
    await house(manual, tasks)
    await tasks.subscribe(manual, max_demand=2)
    await settle()
    assert tasks.start_task("by hand") is not None
    await settle()
    await gates.end("by hand")
    assert manual.demands == [2]
    tasks.start_task("again")
    await settle()
    await tasks.stop()
    assert tasks.running() == ()


@pytest.mark.case(88)
@pytest.mark.parametrize(("least", "step"), [(8, 2), (5, 5), (0, 10), (9, 1), (None, 5)])
async def test_more_is_asked_for_when_as_few_as_the_minimum_are_running(house, least, step):
    """M=10 m=8: two after two have finished; GenStage waits for eight."""
    gates = Gates()
    counter, tasks = Counter(), TaskSupervisor(gates)
    await house(counter, tasks)
    await tasks.subscribe(counter, max_demand=10, min_demand=least)
    await settle()
    assert counter.demands == [10]
    for number in range(step):
        assert counter.demands == [10]
        await gates.end(number)
    assert counter.demands == [10, step]
    assert len(tasks.running()) == 10


async def test_a_task_that_ignores_its_cancellation_does_not_hold_up_the_stop(house, caplog):
    """After `shutdown` seconds it is reported and left."""
    release = asyncio.Event()

    async def stubborn(event):
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    manual, tasks = Manual(), TaskSupervisor(stubborn, shutdown=0.01)
    await house(manual, tasks)
    task = tasks.start_task("x")
    await settle()
    await tasks.stop()
    assert "tasks=1, shutdown_seconds=0.01" in caplog.text
    release.set()
    await task


async def test_idle_waits_for_events_that_have_arrived_and_not_been_started(house):
    """Also when asked in the same turn in which they came."""
    gates = Gates()
    manual, tasks = Manual(), TaskSupervisor(gates)
    await house(manual, tasks)
    await tasks.subscribe(manual)
    await settle()
    await tasks.idle()
    manual.push([1])
    idle = asyncio.ensure_future(tasks.idle())
    await settle()
    assert not idle.done()
    await gates.end(1)
    await idle
    await tasks.stop()
    await tasks.idle()
