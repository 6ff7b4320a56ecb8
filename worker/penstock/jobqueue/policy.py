"""The fields of a JobQueue manifest, as frozen values: the parser's half of `crds/jobqueue.yaml`.

Owns the fields, bounds and defaults once more, in Python; a contract test walks the CRD's schema against these
structs, so the two cannot drift apart. Must not read files, know YAML or decide anything.

The defaults of `minDemand`, `maxDemand` and `baseSeconds` depend on other fields, which a schema cannot express. These
fields stay None here, and properties compute the number that applies.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from penstock.errors import ManifestError

from .database_ref import DatabaseRef
from .deployment import DeploymentSpec
from .pod_template import check_template
from .resource_names import Labels
from .rules import violations
from .schedule_spec import ScheduleSpec
from .spec_part import Part as _Part
from .spec_part import setting as _sets

API_VERSION: Final = "penstock.dev/v1alpha1"
KIND: Final = "JobQueue"

_Replicas = Annotated[int, msgspec.Meta(ge=0, le=1000)]
_Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
_Day = Annotated[int, msgspec.Meta(ge=1, le=86_400)]
_Hour = Annotated[int, msgspec.Meta(ge=1, le=3600)]
_Week = Annotated[int, msgspec.Meta(ge=1, le=604_800)]
_QueueName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
]
_APP_PATH: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*\Z"
_AppPath = Annotated[str, msgspec.Meta(min_length=3, max_length=256, pattern=_APP_PATH)]


class Mode(enum.StrEnum):
    """Who decides the replica count."""

    AUTO = "Auto"
    FIXED = "Fixed"


class StopPolicy(enum.StrEnum):
    """Whether the queue runs; Hold keeps the pods, HoldAndDrain goes to zero once nothing runs."""

    NONE = "None"
    HOLD = "Hold"
    HOLD_AND_DRAIN = "HoldAndDrain"


class Executor(enum.StrEnum):
    """Where a task runs that does not say."""

    ASYNC = "Async"
    THREAD = "Thread"
    PROCESS = "Process"


class BackoffStrategy(enum.StrEnum):
    """How the pause grows from attempt to attempt."""

    EXPONENTIAL = "Exponential"
    LINEAR = "Linear"
    CONSTANT = "Constant"


class DisruptionPolicy(enum.StrEnum):
    """Whether busy pods ask node autoscalers not to move them."""

    PROTECT_BUSY = "ProtectBusy"
    NONE = "None"


class ScaleDownStrategy(enum.StrEnum):
    """Which pods go, and how."""

    DRAIN_IDLE_FIRST = "DrainIdleFirst"


class SignalLossPolicy(enum.StrEnum):
    """The replica count to use while the queue cannot be sampled."""

    HOLD = "Hold"


class WorkerSpec(_Part, frozen=True):
    """One worker pod. `template` is the PodTemplateSpec as given."""

    app: Annotated[_AppPath, _sets("app")]
    template: dict[str, Any]
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=10_000), _sets("concurrency")] = 5
    min_demand: Annotated[int, msgspec.Meta(ge=0, le=99_999)] | None = None
    max_demand: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    executor: Annotated[Executor, _sets("executor")] = Executor.ASYNC
    drain_timeout_seconds: Annotated[_Week, _sets("drain_timeout_seconds")] = 3600
    disruption_policy: DisruptionPolicy = DisruptionPolicy.PROTECT_BUSY
    labels: Labels | None = None
    deployment: DeploymentSpec | None = None

    @property
    def protects_busy_pods(self) -> bool:
        """True if pods that hold jobs carry the annotations of node autoscalers."""
        return self.disruption_policy is DisruptionPolicy.PROTECT_BUSY

    @property
    def asks_again_at(self) -> int:
        """`minDemand`, or half the concurrency."""
        return self.concurrency // 2 if self.min_demand is None else self.min_demand

    @property
    def holds_at_most(self) -> int:
        """`maxDemand`, or the concurrency: jobs that one worker may hold, started or not."""
        return self.concurrency if self.max_demand is None else self.max_demand


class Limits(_Part, frozen=True):
    """Limits over all workers of the queue."""

    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class BackoffSpec(_Part, frozen=True):
    """The pause before the next attempt, in seconds."""

    strategy: Annotated[BackoffStrategy, _sets("backoff_strategy")] = BackoffStrategy.EXPONENTIAL
    base_seconds: _Week | None = None
    max_seconds: Annotated[int, msgspec.Meta(ge=1, le=31_536_000), _sets("backoff_max_seconds")] = 3600


class RetrySpec(_Part, frozen=True):
    """The retry policy after a failed attempt."""

    max_attempts: Annotated[int, msgspec.Meta(ge=1, le=1000), _sets("max_attempts")] = 5
    backoff: BackoffSpec = msgspec.field(default_factory=BackoffSpec)


class CircuitBreaker(_Part, frozen=True):
    """Pauses a task that mostly fails."""

    failure_percent: Annotated[_Percent, _sets("circuit_failure_percent")] = 50
    minimum_calls: Annotated[int, msgspec.Meta(ge=1, le=10_000), _sets("circuit_minimum_calls")] = 20
    window_seconds: Annotated[_Day, _sets("circuit_window_seconds")] = 60
    open_seconds: Annotated[_Day, _sets("circuit_open_seconds")] = 30


class Target(_Part, frozen=True):
    """The target of mode Auto, unless steps are given."""

    queue_latency_seconds: _Day = 10
    jobs_per_slot: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    utilization_percent: _Percent = 80


class Step(_Part, frozen=True):
    """One line of the steps table; exactly one of `above` and `below` is given."""

    change: Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
    above: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    below: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None


class ScaleUp(_Part, frozen=True):
    """How fast replicas may be added."""

    max_pods: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    max_percent: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    period_seconds: _Hour = 15
    stabilization_window_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 0


class ScaleDown(_Part, frozen=True):
    """How replicas may be removed."""

    strategy: ScaleDownStrategy = ScaleDownStrategy.DRAIN_IDLE_FIRST
    stabilization_window_seconds: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 60
    cooldown_seconds: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 120


class Activation(_Part, frozen=True):
    """The way from zero."""

    poll_period_seconds: _Hour = 15
    threshold: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class OnSignalLoss(_Part, frozen=True):
    """The replica count to use while the queue cannot be sampled."""

    policy: SignalLossPolicy = SignalLossPolicy.HOLD
    after_seconds: _Day = 60


class ConnectionBudget(_Part, frozen=True):
    """Connections to the database that this queue's workers may hold."""

    max_connections: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    per_worker: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 4


class Scaling(_Part, frozen=True):
    """How many workers."""

    mode: Mode = Mode.AUTO
    min_replicas: _Replicas = 0
    max_replicas: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    target: Target = msgspec.field(default_factory=Target)
    steps: Annotated[tuple[Step, ...], msgspec.Meta(max_length=16)] = ()
    step_period_seconds: _Day = 15
    scale_up: ScaleUp = msgspec.field(default_factory=ScaleUp)
    scale_down: ScaleDown = msgspec.field(default_factory=ScaleDown)
    activation: Activation = msgspec.field(default_factory=Activation)
    on_signal_loss: OnSignalLoss = msgspec.field(default_factory=OnSignalLoss)
    connection_budget: ConnectionBudget | None = None


class QueuePolicy(_Part, frozen=True):
    """The spec of one JobQueue, with `queueName` filled in from `metadata.name`."""

    queue_name: Annotated[_QueueName, _sets("queue")]
    database_ref: DatabaseRef
    worker: WorkerSpec
    replicas: _Replicas | None = None
    limits: Limits | None = None
    retry: RetrySpec = msgspec.field(default_factory=RetrySpec)
    circuit_breaker: CircuitBreaker | None = None
    job_deadline_seconds: Annotated[_Week | None, _sets("job_deadline_seconds")] = None
    retention_seconds: Annotated[int, msgspec.Meta(ge=60, le=315_360_000), _sets("retention_seconds")] = 86_400
    stop_policy: StopPolicy = StopPolicy.NONE
    schedules: Annotated[tuple[ScheduleSpec, ...], msgspec.Meta(max_length=100)] = ()
    scaling: Scaling = msgspec.field(default_factory=Scaling)


def parse_policy(manifest: Mapping[str, Any]) -> QueuePolicy:
    """The policy that a JobQueue manifest states, with defaults applied and every rule checked.

    Fields that the schema does not know are ignored, as an older operator must under a newer CRD.

    Raises:
        ManifestError: not a JobQueue of this version, a field outside its bounds, or a rule broken; the message names
            the field, the rule and the value.
    """
    for key, expected in (("apiVersion", API_VERSION), ("kind", KIND)):
        if manifest.get(key, expected) != expected:
            raise ManifestError(f"{key} must be {expected}, got {manifest[key]!r}")
    metadata, spec = manifest.get("metadata"), manifest.get("spec")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(name, str) or not isinstance(spec, Mapping):
        raise ManifestError("a JobQueue needs metadata.name and spec")
    try:
        policy = msgspec.convert({**spec, "queueName": spec.get("queueName") or name}, QueuePolicy)
        check_template(policy.worker.template)
    except msgspec.ValidationError as error:
        raise ManifestError(f"JobQueue {name}: {str(error).replace('`$.', '`spec.')}") from error
    # Rules are about the manifest with its defaults in place, which is what the structs return.
    for broken in violations({"metadata": {"name": name}, "spec": msgspec.to_builtins(policy)}):
        raise ManifestError(f"JobQueue {name}: {broken}")
    return policy
