"""The reason and the message for a pod that does not serve, from its status. Pure.

Owns the mapping of the kubelet's reasons to ours, and the last output of a process: one line of it, without escape
sequences, line ends or passwords, because it is untrusted text that goes into a condition. A pod that waits without an
error (`pending`) is a problem only if that lasts; the caller has the clock.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from typing import Any, Final

from penstock.plural import plural

from .last_error import database_reason
from .process_message import harmless, last_words

_WAITING: Final = {
    "ErrImagePull": "ImagePull",
    "ImagePullBackOff": "ImagePull",
    "InvalidImageName": "ImagePull",
    "ErrImageNeverPull": "ImagePull",
    "ImageInspectError": "ImagePull",
    "RegistryUnavailable": "ImagePull",
    "SignatureValidationFailed": "ImagePull",
    "CrashLoopBackOff": "CrashLoop",
    "CreateContainerConfigError": "ContainerConfig",
    "CreateContainerError": "ContainerConfig",
    "RunContainerError": "ContainerConfig",
    "PreCreateHookError": "ContainerConfig",
    "PreStartHookError": "ContainerConfig",
    "PostStartHookError": "ContainerConfig",
}
"""The kubelet's reasons why a container waits, as reasons of ours."""
_ENDED: Final = {
    "Evicted": "Evicted",
    "Preempting": "Preempted",
    "Preempted": "Preempted",
    "Shutdown": "NodeShutdown",
    "NodeShutdown": "NodeShutdown",
    "Terminated": "NodeShutdown",
    "NodeLost": "NodeLost",
    "NodeAffinity": "NotAdmitted",
    "DeadlineExceeded": "DeadlineExceeded",
}
"""Reasons of a pod that has ended, as reasons of ours; the kubelet's others are refusals to admit it."""
_DISRUPTIONS: Final = {
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "NodeLost",
    "EvictionByEvictionAPI": "Evicted",
    "DeletionByPodGC": "NodeLost",
    "TerminationByKubelet": "NodeShutdown",
}
"""Reasons of the condition DisruptionTarget."""
_EXIT_CODES: Final = {126: "its command cannot be executed", 127: "its command was not found"}


def problem(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Reason and sentence of what keeps a pod from serving; None while nothing does, or nothing is known yet."""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("reason") in {"Unschedulable", "SchedulingGated"}:
        return str(scheduled["reason"]), _line(scheduled.get("message")) or "no node can run it"
    for called, one in _containers(status):
        found = _container_problem(called, one)
        if found is not None:
            return found
    return None


def pending(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """The reason and message of a pod that does not serve yet but has no error."""
    if _condition(status, "PodScheduled").get("status") != "True":
        return "Unscheduled", "it is not scheduled to a node yet"
    for called, one in _containers(status):
        waiting = str(_part(one, "state", "waiting").get("reason", ""))
        if waiting == "ContainerCreating":
            return waiting, f"{called} {_being_created(status)}; see its events (kubectl describe pod)"
        if called.startswith("init") and "running" in _part(one, "state") and not one.get("started"):
            return "PodInitializing", f"{called} is still running"
        if "running" in _part(one, "state") and not one.get("ready") and not called.startswith("init"):
            return "NotReady", f"{called} runs but is not ready; see its log"
    return None


def _being_created(status: Mapping[str, Any]) -> str:
    """Why a container is still being created, if the kubelet reports it; for volumes it only posts events."""
    return {
        "False": "waits for a volume (a Secret or ConfigMap that does not exist, a disk) or for the pod's network",
        "True": "is being created: its image is slow to pull",
    }.get(
        str(_condition(status, "PodReadyToStartContainers").get("status")),
        "is being created: the image, a volume or the network is slow",
    )


def pod_failure(status: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return reason and message if a pod was evicted, preempted, refused by its node, or lost with it; else None."""
    target = _condition(status, "DisruptionTarget")
    if target.get("status") == "True":
        reason = _DISRUPTIONS.get(str(target.get("reason")), "Disrupted")
        return reason, _line(target.get("message") or target.get("reason"))
    reason, message = str(status.get("reason", "")), _line(status.get("message"))
    if not reason or status.get("phase") not in {"Failed", "Unknown"}:
        return None
    return _ENDED.get(reason, "NotAdmitted"), f"{reason}: {message}" if message else reason


def last_exit(status: Mapping[str, Any], container: str) -> tuple[str, str] | None:
    """Return the time (RFC 3339) and a sentence about a container's last exit; None if it never exited."""
    for _, one in _containers(status):
        found = _last(one)
        if one.get("name") == container and found.get("finishedAt"):
            return str(found["finishedAt"]), exit_text(found)
    return None


def exit_text(terminated: Mapping[str, Any]) -> str:
    """Return one clause about a container's exit: OOMKilled, or its exit code, and its last message."""
    code, number = terminated.get("exitCode"), terminated.get("signal")
    words = []
    if terminated.get("reason") in {"OOMKilled", "StartError", "ContainerCannotRun", "DeadlineExceeded"}:
        words.append(str(terminated["reason"]))
    words.append(f"exit code {code}{_meaning(code, number)}" if code is not None else "an unknown exit code")
    said = last_words(str(terminated.get("message") or ""))
    return ", ".join(words) + (f": {said}" if said else "")


def _container_problem(called: str, one: Mapping[str, Any]) -> tuple[str, str] | None:
    waiting, last = _part(one, "state", "waiting"), _last(one)
    reason = _WAITING.get(str(waiting.get("reason")))
    if reason in {"ImagePull", "ContainerConfig"}:
        return reason, f"{called}: {_line(waiting.get('message')) or waiting.get('reason')}"
    times = int(one.get("restartCount") or 0)
    # A worker that waits for its database has started; what ended it before is why it is not ready.
    refused = database_reason(str(last.get("message") or "")) if called == "container worker" else None
    starts_again = times > 0 and not one.get("ready") and (refused is not None or not one.get("started"))
    over = "terminated" in _part(one, "state") and not (called.startswith("init") and last.get("exitCode") == 0)
    if not last or not (reason or over or starts_again):
        return None if reason is None else (reason, f"{called}: {_line(waiting.get('message'))}")
    if last.get("exitCode") == 0 and called.startswith("init"):
        return None
    restarts = f" after {plural(times, 'restart')}" if times else ""
    kind = (
        "OOMKilled" if last.get("reason") == "OOMKilled" else "Completed" if last.get("exitCode") == 0 else "CrashLoop"
    )
    kind = refused or kind if kind == "CrashLoop" else kind
    advice = {
        "OOMKilled": "; it needs a higher memory limit or fewer jobs at once",
        "Completed": "; a worker must run until it is stopped, so its command is wrong",
    }.get(kind, "")
    return kind, f"{called} exited{restarts}: {exit_text(last)}{advice}"


def _last(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return _part(one, "state", "terminated") or _part(one, "lastState", "terminated")


def _meaning(code: object, number: object) -> str:
    """The meaning of an exit code: a signal, or the shell's conventions."""
    if isinstance(number, int) and number:
        code = 128 + number
    if not isinstance(code, int):
        return ""
    if code in _EXIT_CODES:
        return f" ({_EXIT_CODES[code]})"
    if 128 < code < 192:
        try:
            return f" ({signal.Signals(code - 128).name})"
        except ValueError:
            return f" (signal {code - 128})"
    return ""


def _containers(status: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name and the status of each container; init containers first, as they run."""
    for key, kind in (("initContainerStatuses", "init container"), ("containerStatuses", "container")):
        for one in status.get(key) or ():
            if isinstance(one, Mapping):
                yield f"{kind} {one.get('name')}", one


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found = (one for one in status.get("conditions") or () if isinstance(one, Mapping) and one.get("type") == kind)
    return next(found, {})


def _part(value: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _line(text: object) -> str:
    return harmless(" ".join(str(text or "").split()))
