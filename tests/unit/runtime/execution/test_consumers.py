"""How a pod asks: never for more than it can run, and for whole claims when jobs are short."""

from __future__ import annotations

import asyncio

from penstock.runtime.execution.consumers import MAX_HOLD_SECONDS
from penstock.runtime.execution.outcome_batcher import BATCH
from tests.unit.runtime.support import completed, job, until


async def test_the_first_demand_is_no_more_than_the_slots(pod):
    """Nothing is known of the jobs yet, so `max_demand` above the concurrency is not used."""
    one = await pod(concurrency=3, min_demand=50, max_demand=100)
    assert one.source.demands == [3]
    assert not one.consumers.prefetching


async def test_long_jobs_are_asked_for_one_by_one_as_slots_come_free(pod):
    """A job in progress must not keep a free slot waiting for `min_demand`."""
    one = await pod(concurrency=4, min_demand=2, max_demand=4)
    await one.deliver(4)
    assert one.running == 4
    one.finish(1, duration=10.0)
    await until(lambda: one.source.demanded == 5)
    assert one.source.demands == [4, 1]


async def test_short_jobs_are_claimed_ahead_up_to_the_window_and_asked_for_at_min_demand(pod):
    """Once the mean run time is short, one large ask instead of many small ones."""
    one = await pod(concurrency=2, min_demand=10, max_demand=20)
    await one.deliver(2)
    one.finish(2, duration=0.001)
    await until(lambda: one.running == 0)
    assert one.source.demands == [2, 19]  # the first to end found one still running
    await one.deliver(19)
    assert (one.running, one.consumers.outstanding) == (2, 19)
    while one.consumers.outstanding > 11:
        one.finish(1, duration=0.001)
        await until(lambda: len(one.gates) == 2)
    assert one.source.demands == [2, 19]
    one.finish(1, duration=0.001)
    await until(lambda: one.source.demands == [2, 19, 10])


async def test_a_pod_never_holds_more_than_it_asked_for(pod):
    """At every moment: running, waiting and asked for stay within the window."""
    one = await pod(concurrency=5, min_demand=5, max_demand=15)
    delivered = 0
    for turn in range(60):
        owed = one.source.demanded - delivered
        if owed:
            await one.deliver(min(owed, 1 + turn % 4))
            delivered += min(owed, 1 + turn % 4)
        one.finish(1 + turn % 3, duration=0.001 if turn % 10 else 0.2)
        await asyncio.sleep(0.002)
        assert one.consumers.outstanding <= 15
        assert one.running <= 5


async def test_nothing_more_is_started_while_outcomes_pile_up_unanswered(pod):
    """More than two batches unanswered: no new job starts and nothing is asked for, until they are answered."""
    one = await pod(concurrency=400, min_demand=1000, max_demand=2000)
    one.sink.answering = False
    await one.deliver(400)
    one.finish(400, duration=0.001)
    await until(lambda: one.running == 0)
    await one.deliver(2 * BATCH - 400 + 1)
    one.finish(400, duration=0.001)
    await until(lambda: one.consumers.unacknowledged == 2 * BATCH + 1)
    demands = list(one.source.demands)
    await one.deliver(5)
    assert (one.running, one.consumers.waiting) == (0, 5)
    assert one.source.demands == demands
    one.consumers.acknowledged(one.consumers.unacknowledged)
    await until(lambda: one.running == 5)


async def test_free_slots_are_filled_even_above_min_demand(pod):
    """Jobs believed short that turn out long: `top_up` asks for the idle slots."""
    one = await pod(concurrency=4, min_demand=1, max_demand=4)
    await one.deliver(4)
    one.finish(1, duration=0.001)
    await until(lambda: one.consumers.prefetching)
    assert one.source.demanded == 4
    one.consumers.top_up()
    await until(lambda: one.source.demanded == 5)


async def test_claims_unstarted_for_too_long_are_released(pod):
    """Jobs turned long while others were claimed ahead: after five seconds they are released to other pods."""
    one = await pod(concurrency=1, min_demand=5, max_demand=10)
    await one.deliver(1)
    one.finish(1, duration=0.001)
    await until(lambda: one.source.demanded > 1)
    await one.deliver(8)
    assert one.consumers.take_stale() == []
    one.now += MAX_HOLD_SECONDS + 1
    assert one.consumers.take_stale() == []  # still short: they will be run soon
    one.finish(1, duration=100.0)
    await until(lambda: not one.consumers.prefetching)
    one.now += MAX_HOLD_SECONDS + 1
    assert len(one.consumers.take_stale()) == 6
    assert one.consumers.waiting == 0


async def test_fenced_jobs_that_were_not_started_are_dropped_and_the_rest_stays(pod):
    """By id and token: a newer claim of the same job is another one."""
    one = await pod(concurrency=1, min_demand=1, max_demand=4)
    await one.deliver(1)
    one.finish(1, duration=0.001)
    await until(lambda: one.source.demanded == 5)
    jobs = await one.deliver(3)
    fenced = jobs[1]
    assert one.consumers.drop({(fenced.id, fenced.token), (jobs[2].id, 999)}) == [fenced]
    assert one.consumers.take_waiting() == [jobs[2]]


async def test_cancelling_what_runs_ends_it_without_an_outcome(pod):
    """The caller of cancel releases the claims; no outcome must follow."""
    one = await pod(concurrency=2, min_demand=1, max_demand=2)
    await one.deliver(2)
    await one.consumers.cancel_running()
    assert one.running == 0
    one.consumers.flush()
    assert one.sink.outcomes == []


async def test_a_job_that_completes_though_it_was_cancelled_is_not_among_those_without_an_outcome(pod):
    """Released, it would run a second time; in the same turn a job may just have ended."""
    one = await pod(concurrency=3, min_demand=1, max_demand=3)
    stubborn, other, just = job(task="ends all the same"), job(), job()
    one.source.push([stubborn, other, just])
    await until(lambda: len(one.gates) == 3)
    one.gates[just.id].set_result(completed(just))
    assert await one.consumers.cancel_running() == [other]
    one.consumers.flush()
    await until(lambda: len(one.sink.outcomes) == 2)
    assert {each.job.id for each in one.sink.outcomes} == {stubborn.id, just.id}


async def test_a_running_job_that_is_cancelled_ends_as_cancelled_and_frees_its_slot(pod):
    """Even one that was started in this very turn of the loop and has not taken its first step."""
    one = await pod(concurrency=1, min_demand=0, max_demand=1)
    jobs = [job()]
    one.source.push(jobs)
    await until(lambda: one.running)
    one.consumers.cancel_jobs({jobs[0].id})
    await until(lambda: one.sink.outcomes)
    assert [(o.job.id, o.state.value) for o in one.sink.outcomes] == [(jobs[0].id, "cancelled")]
    await until(lambda: one.source.demanded == 2)
    assert one.running == 0


async def test_a_waiting_job_that_is_cancelled_is_never_started(pod):
    """It ends at once; the others are not touched."""
    one = await pod(concurrency=1, min_demand=1, max_demand=4)
    await one.deliver(1)
    one.finish(1, duration=0.001)
    await until(lambda: one.source.demanded == 5)
    jobs = await one.deliver(3)
    one.consumers.cancel_jobs({jobs[2].id})
    await until(lambda: len(one.sink.outcomes) == 2)
    assert one.sink.outcomes[-1].job == jobs[2]
    assert (one.running, one.consumers.waiting) == (1, 1)


async def test_a_suspect_waits_for_the_others_and_runs_alone(pod):
    """What runs may finish, what waits is given up, nothing is asked for, and then it has the pod to itself."""
    one = await pod(concurrency=2, min_demand=2, max_demand=6)
    await one.deliver(2)
    one.finish(2, duration=0.001)
    await until(lambda: one.running == 0)
    (ordinary,) = await one.deliver(1)
    suspect = job(crashes=2)
    demanded = one.source.demanded
    one.source.push([suspect, job(), job()])
    await one.consumers.call("settle")
    assert set(one.gates) == {ordinary.id}
    assert len(one.isolation) == 1
    assert len(one.consumers.take_stale()) == 2
    one.consumers._requested = 0  # what is still owed to this pod would be released like those two
    one.finish(1, duration=0.001)
    await until(lambda: set(one.gates) == {suspect.id})
    one.consumers.top_up()
    assert one.source.demanded == demanded
    one.finish(1, duration=0.001)
    await until(lambda: one.source.demanded > demanded)
    assert len(one.isolation) == 0


async def test_a_suspect_that_runs_in_a_child_needs_not_be_alone(pod):
    """It can take nobody with it: it runs next to the others, and they are not kept waiting."""
    one = await pod(concurrency=3, min_demand=1, max_demand=3)
    one.source.push([job(), job(crashes=2, task="in a child"), job()])
    await one.consumers.call("settle")
    assert (one.running, len(one.isolation)) == (3, 0)


async def test_what_may_not_run_without_a_lease_is_stopped_and_released(pod):
    """No outcome: the claim is released, and its next worker runs the job; the others keep running."""
    one = await pod(concurrency=2, min_demand=0, max_demand=2)
    exclusive, other = job(task="exclusive"), job()
    one.source.push([exclusive, other])
    await until(lambda: len(one.gates) == 2)
    one.slots.lose(lambda running: running.task == "exclusive")
    await until(lambda: one.released == [exclusive])
    assert list(one.gates) == [other.id]
    one.consumers.flush()
    assert one.sink.outcomes == []


async def test_cancelling_meets_the_attempt_of_today_though_one_of_yesterday_ends_at_the_same_time(pod):
    """A job may be here twice: fenced, in a thread that nothing can interrupt, and claimed again."""
    one = await pod(concurrency=2, min_demand=0, max_demand=2)
    fenced = job(task="ends all the same")
    again = job(id=fenced.id, token=8)
    one.source.push([fenced])
    await until(lambda: one.gates)
    one.gates["fenced"] = one.gates.pop(fenced.id)
    one.source.push([again])
    await until(lambda: len(one.gates) == 2)
    one.consumers.cancel_jobs({fenced.id})
    one.gates["fenced"].set_result(completed(fenced))
    await until(lambda: len(one.sink.outcomes) == 2)
    ends = {each.job.token: each.state.value for each in one.sink.outcomes}
    assert ends == {fenced.token: "completed", again.token: "cancelled"}
    assert one.running == 0


async def test_a_suspect_that_waits_can_be_cancelled_and_be_fenced(pod):
    """It may wait for hours for the other jobs; one that is no longer ours would run here and elsewhere."""
    one = await pod(concurrency=3, min_demand=1, max_demand=3)
    await one.deliver(1)
    unwanted, fenced = job(crashes=2), job(crashes=2)
    one.source.push([unwanted, fenced])
    await one.consumers.call("settle")
    assert len(one.isolation) == 2
    assert one.consumers.drop({(fenced.id, fenced.token)}) == [fenced]
    one.consumers.cancel_jobs({unwanted.id})
    assert len(one.isolation) == 0
    await until(lambda: one.sink.outcomes)
    assert [(each.job.id, each.state.value) for each in one.sink.outcomes] == [(unwanted.id, "cancelled")]
