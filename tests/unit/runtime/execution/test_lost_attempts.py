"""A slot whose asyncio task is gone, or that code of the application has taken from it, comes free all the same."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from penstock.job import OutcomeState
from penstock.runtime.process_state import ProcessState
from penstock.runtime.signals import NUMBERS, Signals
from penstock.runtime.state import WorkerState
from tests.unit.runtime.support import completed, job, until


async def test_an_attempt_whose_task_ended_without_an_outcome_is_a_failed_attempt(pod, caplog):
    """Cancelled before its first step, as by code that cancels every task of the loop."""
    one = await pod(concurrency=2, min_demand=0, max_demand=2)
    one.source.push([job()])
    await until(lambda: one.gates)
    before = asyncio.all_tasks()
    one.source.push([job()])
    await until(lambda: one.running == 2 or asyncio.all_tasks() - before)
    for task in asyncio.all_tasks() - before:
        task.cancel()
    await until(lambda: all(task.done() for task in asyncio.all_tasks() - before))
    one.consumers.sweep()
    one.consumers.flush()
    await until(lambda: one.sink.outcomes)
    assert [(outcome.state, one.running) for outcome in one.sink.outcomes] == [(OutcomeState.RETRY, 1)]
    one.finish(1, 0.1)
    await until(lambda: len(one.sink.outcomes) == 2)


async def test_the_net_leaves_alone_what_runs(pod):
    """However often it checks."""
    one = await pod(concurrency=3, min_demand=0, max_demand=3)
    one.source.push([job() for _ in range(3)])
    await until(lambda: len(one.gates) == 3)
    for _ in range(3):
        one.consumers.sweep()
    assert one.running == 3
    one.finish(3, 0.1)
    await until(lambda: len(one.sink.outcomes) == 3)
    assert {outcome.state for outcome in one.sink.outcomes} == {OutcomeState.COMPLETED}


async def test_a_coroutine_that_is_closed_from_outside_frees_its_slot(pod):
    """GeneratorExit is an error like any other while a loop runs."""
    one = await pod(concurrency=1, min_demand=0, max_demand=1)
    before = asyncio.all_tasks()
    one.source.push([job()])
    await until(lambda: one.gates)
    (attempt,) = (task for task in asyncio.all_tasks() - before if "_attempt" in repr(task.get_coro()))
    attempt.get_coro().close()
    await until(lambda: one.sink.outcomes)
    assert (one.sink.outcomes[0].state, one.running) == (OutcomeState.RETRY, 0)
    attempt.cancel()
    assert completed(job()).state is OutcomeState.COMPLETED


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_signal_handler_that_the_application_replaced_is_taken_back(number, caplog):
    """By the module or by the loop; said once."""
    draining = asyncio.Event()
    signals = Signals(WorkerState(on_drain=draining.set))
    loop = asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in NUMBERS}
    signals.listen()
    try:
        for _ in range(2):
            signal.signal(number, signal.SIG_IGN)
            signals.keep()
        loop.add_signal_handler(number, lambda: None)
        signals.keep()
        signal.raise_signal(number)
        await asyncio.wait_for(draining.wait(), 60)
    finally:
        for each in NUMBERS:
            loop.remove_signal_handler(each)
            signal.signal(each, before[each])
    assert [vars(record)["signals"] for record in caplog.records] == [number.name]


def test_a_recursion_limit_that_a_task_lowered_is_raised_again_and_a_higher_one_stays():
    """Steps of the worker around an attempt need stack as well."""
    before = sys.getrecursionlimit()
    state = ProcessState()
    state.note()
    try:
        sys.setrecursionlimit(before - 100)
        state.keep_stack()
        assert sys.getrecursionlimit() == before
        sys.setrecursionlimit(before + 100)
        state.keep_stack()
        assert sys.getrecursionlimit() == before + 100
    finally:
        sys.setrecursionlimit(before)


def test_children_start_in_the_environment_and_folder_of_the_start(monkeypatch, tmp_path):
    """A task may have emptied the one and removed the other."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_TEST", "there")
    state = ProcessState()
    state.note()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.delenv("PENSTOCK_TEST")
    assert state.environment is not None
    assert (state.environment["PENSTOCK_TEST"], state.folder) == ("there", tmp_path)
    monkeypatch.chdir(tmp_path)
