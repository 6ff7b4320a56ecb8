"""The node of process-backed pods, as its pods know it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.pod_container import Exit
from tests.support.pod_env import Image
from tests.support.pod_lag import Lag


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The machine that the harness pretends to be.

    Args:
        name: of the Node object.
        labels: what a pod's nodeSelector must match.
        images: image name -> what runs in its place.
        kubeconfig: token -> text of a kubeconfig that presents it.
        logs: folder of the containers' output, one file `POD.CONTAINER.log` each; pods see the folder that it is in.
        pace: factor on the delay and period of readiness and start-up probes.
        lag: how late readiness is published.
        restart_seconds: first pause of the restart back-off.
        ended: called with every container's exit.
        before_stop: called in a thread, as a preStop hook is, with name and address of a pod before its SIGTERM.
    """

    name: str
    labels: Mapping[str, str]
    images: Mapping[str, Image]
    kubeconfig: Callable[[str], str]
    logs: Path
    pace: float
    lag: Lag
    restart_seconds: float
    ended: Callable[[Exit], None]
    before_stop: Callable[[str, str], None]
