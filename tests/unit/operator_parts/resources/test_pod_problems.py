"""Why a pod does not serve reaches people: a reason, and what its process said last, without its passwords."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_operator.jobqueue.pods.worker_health import restarts, worker_problem
from penstock_operator.resources import pod_problems
from penstock_operator.resources.process_message import MAX_LENGTH, harmless, last_words
from penstock_operator.resources.resource import Pod
from tests.unit.operator_parts.objects import pod_object

AT = "2026-01-01T00:10:00Z"
NOW = 1_767_226_260.0  # a minute later


def container(state: Any = None, *, last: Any = None, name: str = "worker", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state or {}, "lastState": {"terminated": last} if last else {}, **more}


def waits(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def died(code: int, reason: str = "Error", message: str = "", **more: Any) -> dict[str, Any]:
    return {"exitCode": code, "reason": reason, "message": message, "finishedAt": AT, **more}


LOOP = waits("CrashLoopBackOff", "back-off 10s restarting failed container=worker")
SAID = "Traceback (most recent call last):\n  File 'a.py'\nModuleNotFoundError: No module named 'shop'\n"


@pytest.mark.parametrize(
    ("one", "reason", "words"),
    [
        (container(LOOP, last=died(137, "OOMKilled")), "OOMKilled", "OOMKilled, exit code 137 (SIGKILL)"),
        (container(LOOP, last=died(1, message=SAID)), "CrashLoop", "exit code 1: ModuleNotFoundError: No module named"),
        (container(LOOP, last=died(139)), "CrashLoop", "exit code 139 (SIGSEGV)"),
        (container(LOOP, last=died(0, signal=15)), "Completed", "exit code 0 (SIGTERM)"),
        (container(LOOP, last=died(127)), "CrashLoop", "its command was not found"),
        (
            container(LOOP, last=died(0, "Completed"), restartCount=4),
            "Completed",
            "after 4 restarts: exit code 0; a worker must run",
        ),
        (container(LOOP, last=died(128, "StartError", "exec: penstock: not found")), "CrashLoop", "StartError"),
        (container(LOOP), "CrashLoop", "back-off 10s"),
        (container({"terminated": died(2)}), "CrashLoop", "exit code 2"),
        (container({"running": {}}, last=died(1), restartCount=1, started=False), "CrashLoop", "after 1 restart"),
        (
            container(waits("CreateContainerConfigError", "couldn't find key url")),
            "ContainerConfig",
            "couldn't find key",
        ),
        (container(waits("InvalidImageName")), "ImagePull", "InvalidImageName"),
        (container(waits("ErrImageNeverPull", "absent")), "ImagePull", "absent"),
        (container(waits("SignatureValidationFailed", "m")), "ImagePull", "m"),
        (container(waits("RunContainerError", "m")), "ContainerConfig", "container worker: m"),
        (container(waits("PostStartHookError", "m")), "ContainerConfig", "m"),
    ],
)
def test_each_reason_of_the_kubelet_is_a_reason_and_a_sentence(one, reason, words):
    """For a regular container; those of an init container say so."""
    found = pod_problems.problem({"containerStatuses": [one]})
    assert found is not None
    assert found[0] == reason
    assert words in found[1]
    if found[0] != "Completed":
        first = pod_problems.problem({"initContainerStatuses": [one | {"name": "migrate"}]})
        assert first is not None
        assert (first[0], first[1].startswith("init container migrate")) == (reason, True)


@pytest.mark.parametrize(
    "one",
    [
        container({"running": {}}, ready=True, started=True),
        container({"running": {}}, ready=False, started=True, last=died(137, "OOMKilled"), restartCount=3),
        container({"running": {}}, ready=True, last=died(1), restartCount=1),
        container(waits("ContainerCreating")),
        container(waits("PodInitializing")),
        container({"running": {}}, started=False),
        {},
    ],
)
def test_a_pod_that_starts_or_drains_or_serves_again_is_no_problem(one):
    """A drained worker is unready on purpose, whatever it did yesterday."""
    assert pod_problems.problem({"containerStatuses": [one]}) is None


def target(reason: str) -> dict[str, Any]:
    return {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": reason,
        "message": "m",
        "lastTransitionTime": AT,
    }


def test_an_init_container_that_is_done_is_no_problem():
    """Exit code 0 is what it is for."""
    done = container({"terminated": died(0, "Completed")}, name="migrate")
    assert pod_problems.problem({"initContainerStatuses": [done], "containerStatuses": [container()]}) is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."}, "Evicted"),
        ({"phase": "Failed", "reason": "Preempting", "message": "m"}, "Preempted"),
        ({"phase": "Failed", "reason": "Terminated", "message": "imminent node shutdown"}, "NodeShutdown"),
        ({"phase": "Failed", "reason": "NodeLost"}, "NodeLost"),
        ({"phase": "Failed", "reason": "DeadlineExceeded", "message": "m"}, "DeadlineExceeded"),
        ({"phase": "Failed", "reason": "OutOfmemory", "message": "m"}, "NotAdmitted"),
        ({"phase": "Failed", "reason": "UnexpectedAdmissionError"}, "NotAdmitted"),
        ({"conditions": [target("PreemptionByScheduler")]}, "Preempted"),
        ({"conditions": [target("DeletionByTaintManager")]}, "NodeLost"),
        ({"conditions": [target("EvictionByEvictionAPI")]}, "Evicted"),
        ({"conditions": [target("TerminationByKubelet")]}, "NodeShutdown"),
    ],
)
def test_an_end_against_its_will_has_a_reason(status, reason):
    """Of the pod's status or of its condition DisruptionTarget."""
    found = pod_problems.pod_failure(status)
    assert found is not None
    assert found[0] == reason
    pod = Pod.read(pod_object("a", status={"startTime": AT, **status}, metadata={"deletionTimestamp": AT}))
    reported = worker_problem(None, [], [pod], waiting={}, desired=1, now=NOW)
    assert reported is not None
    assert reported[0] == reason
    assert worker_problem(None, [], [pod], waiting={}, desired=0, now=NOW) is None
    assert worker_problem(None, [], [pod], waiting={}, desired=1, now=NOW + 3600) is None


def test_a_pod_that_succeeded_or_was_scaled_away_has_not_ended_against_its_will():
    """Nobody needs to hear of it."""
    assert pod_problems.pod_failure({"phase": "Succeeded"}) is None
    assert pod_problems.pod_failure({"phase": "Running", "reason": ""}) is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ({"containerStatuses": [container(waits("ContainerCreating"))]}, "ContainerCreating"),
        ({"initContainerStatuses": [container({"running": {}}, name="migrate")]}, "PodInitializing"),
        ({"containerStatuses": [container({"running": {}})]}, "NotReady"),
    ],
)
def test_what_a_pod_waits_for_is_reported_once_it_takes_a_minute(status, reason):
    """Not before: every pod starts like that."""
    scheduled = {"type": "PodScheduled", "status": "True"}
    pod = Pod.read(pod_object("a", status={"conditions": [scheduled], **status}))
    assert worker_problem(None, [pod], [], waiting={pod.uid: 59.0}, desired=1, now=NOW) is None
    reported = worker_problem(None, [pod], [], waiting={pod.uid: 61.0}, desired=1, now=NOW)
    assert reported is not None
    assert reported[0] == reason


def test_of_several_pods_with_one_reason_the_first_is_named_and_the_others_counted():
    """A hundred pods without an image are one sentence."""
    pods = [Pod.read(pod_object(n, status={"containerStatuses": [container(LOOP, last=died(1))]})) for n in "abc"]
    reported = worker_problem(None, pods, [], waiting={}, desired=3, now=NOW)
    assert reported == ("CrashLoop", "Pod a: container worker exited: exit code 1 (and 2 more pods)")


def test_a_crash_of_a_worker_that_serves_again_is_remembered_for_a_while():
    """In the sentence of the condition, for ten minutes."""
    again = container({"running": {}}, ready=True, started=True, last=died(137, "OOMKilled"), restartCount=1)
    pod = Pod.read(pod_object("a", status={"containerStatuses": [again]}))
    (said,) = restarts([pod], now=NOW)
    assert said == f"Pod a: its worker was restarted; it exited at {AT} with OOMKilled, exit code 137 (SIGKILL)."
    assert restarts([pod], now=NOW + 600) == ()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("cannot connect to postgresql://shop:s3cret@db:5432/x", "cannot connect to postgresql://***@db:5432/x"),
        ("postgresql://s3cret@db and amqp://a:s3cret@q", "postgresql://***@db and amqp://***@q"),
        ("host=db password=s3cret user=x", "host=db password=*** user=x"),
        ("PGPASSWORD='s3cret words' psql", "PGPASSWORD=*** psql"),
        ('{"password": "s3cret", "a": 1}', '{"password": ***, "a": 1}'),
        ("Authorization: Bearer s3cret", "Authorization: ***"),
        ("API_KEY=s3cret", "API_KEY=***"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07x", "red x"),
        ("a\x00b\u202ec\u2028d\x85e", "a b c d e"),
    ],
)
def test_a_process_cannot_write_passwords_or_escapes_into_a_condition(line, shown):
    """Its last output is anybody's text."""
    assert harmless(line) == shown
    assert "s3cret" not in last_words(f"first\n{line}\n\n")


@given(st.text(max_size=3000))
def test_what_a_process_said_is_one_printable_line_of_bounded_length(text):
    """Whatever it is."""
    found = last_words(text)
    assert len(found) <= MAX_LENGTH
    assert "\n" not in found
    assert "\x1b" not in found


NONSENSE: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["state", "lastState", "waiting", "terminated", "running", "reason", "name"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(containers=st.lists(NONSENSE, max_size=2), conditions=st.lists(NONSENSE, max_size=2))
def test_no_status_is_too_odd_to_be_read(containers, conditions):
    """A watch may deliver anything."""
    status = {"containerStatuses": containers, "initContainerStatuses": containers, "conditions": conditions}
    pod_problems.problem(status)
    pod_problems.pending(status)
    pod_problems.pod_failure(status)
    pod_problems.last_exit(status, "worker")


@pytest.mark.parametrize(
    ("to_start", "said"), [("False", "waits for a volume"), ("True", "its image is slow"), (None, "a volume or the")]
)
def test_a_pod_that_hangs_before_its_start_says_which_part_as_far_as_the_kubelet_does(to_start: str | None, said: str):
    """FailedMount is in an event alone; the sentence says where that is."""
    conditions = [{"type": "PodScheduled", "status": "True"}]
    conditions += [] if to_start is None else [{"type": "PodReadyToStartContainers", "status": to_start}]
    creating = container(waits("ContainerCreating"))
    found = pod_problems.pending({"conditions": conditions, "containerStatuses": [creating]})
    assert found is not None
    assert found[0] == "ContainerCreating"
    assert said in found[1]
    assert "kubectl describe pod" in found[1]
