"""The CEL rules of `crds/jobqueue.yaml`, each mirrored by one named check with the rule's text next to it.

Owns nothing but the mirror: place, text and message are the CRD's to the letter (a unit test compares them), and on a
real API server both must reach the same verdicts. What the checks may rely on is said in `validation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .schedule_spec import SCHEDULE_RULES
from .validation import Rule, Violation, broken, has_field, rule

_Fields = Mapping[str, Any]

NAME_LENGTH: Final = 56
"""Maximum length of a JobQueue's name: with `-worker` after it, it is still a label value (63)."""


@rule(
    "",
    "size(self.metadata.name) <= 56",
    "metadata.name must be at most 56 characters: it is a label and part of the Deployment's name",
    field="metadata.name",
)
def name_is_short(root: _Fields) -> bool:
    """The name fits where it is used."""
    return len(root["metadata"]["name"]) <= NAME_LENGTH


@rule(
    "spec",
    "(has(self.queueName) ? self.queueName : '') == (has(oldSelf.queueName) ? oldSelf.queueName : '')",
    "queueName is immutable: a rename would strand its jobs; create another JobQueue",
    field="queueName",
)
def queue_name_is_immutable(spec: _Fields, old: _Fields) -> bool:
    """Adding it, changing it and taking it away are all renames."""
    return (spec.get("queueName") or "") == (old.get("queueName") or "")


@rule(
    "spec",
    "self.scaling.mode == 'Fixed' || !has(self.replicas)",
    "replicas is only for mode Fixed: in mode Auto the operator decides",
    field="replicas",
)
def replicas_only_in_fixed(spec: _Fields) -> bool:
    """This is what refuses `kubectl scale` in mode Auto."""
    return spec["scaling"]["mode"] == "Fixed" or not has_field(spec, "replicas")


@rule(
    "spec",
    "self.scaling.mode != 'Fixed' || has(self.replicas)",
    "replicas is required in mode Fixed",
    field="replicas",
)
def fixed_has_replicas(spec: _Fields) -> bool:
    """Without it /scale would answer with an internal error."""
    return spec["scaling"]["mode"] != "Fixed" or has_field(spec, "replicas")


@rule(
    "spec",
    "!has(self.jobDeadlineSeconds) || self.jobDeadlineSeconds <= self.worker.drainTimeoutSeconds",
    "jobDeadlineSeconds must not be above worker.drainTimeoutSeconds: a drain would cut the job off",
    field="jobDeadlineSeconds",
)
def deadline_fits_the_drain(spec: _Fields) -> bool:
    """A job that may run so long must be able to end during a drain."""
    deadline = spec.get("jobDeadlineSeconds")
    return deadline is None or bool(deadline <= spec["worker"]["drainTimeoutSeconds"])


@rule(
    "spec.databaseRef",
    "!(has(self.host) || has(self.port) || has(self.dbname)) || has(self.secretRef.parts) ||"
    " (has(self.operatorSecretRef) && has(self.operatorSecretRef.parts))",
    "host, port and dbname are for Secrets with parts: a URL already contains them",
    field="host",
)
def places_are_of_parts(reference: _Fields) -> bool:
    """Every field that is set has an effect."""
    if not any(has_field(reference, name) for name in ("host", "port", "dbname")):
        return True
    secrets = (reference.get(name) or {} for name in ("secretRef", "operatorSecretRef"))
    return any(has_field(secret, "parts") for secret in secrets)


@rule(
    "spec.worker",
    "!has(self.maxDemand) || self.maxDemand >= self.concurrency",
    "maxDemand must be at least concurrency: a lower value would leave consumers idle",
    field="maxDemand",
)
def max_demand_feeds_all_consumers(worker: _Fields) -> bool:
    """Every consumer can have a job."""
    return not has_field(worker, "maxDemand") or bool(worker["maxDemand"] >= worker["concurrency"])


@rule(
    "spec.worker",
    "!has(self.minDemand) || self.minDemand < (has(self.maxDemand) ? self.maxDemand : self.concurrency)",
    "minDemand must be below maxDemand (default: concurrency)",
    field="minDemand",
)
def min_demand_below_max(worker: _Fields) -> bool:
    """Otherwise nothing would ever be asked for."""
    maximum = worker["maxDemand"] if has_field(worker, "maxDemand") else worker["concurrency"]
    return not has_field(worker, "minDemand") or bool(worker["minDemand"] < maximum)


@rule(
    "spec.worker",
    "!has(self.template.spec.terminationGracePeriodSeconds) ||"
    " self.template.spec.terminationGracePeriodSeconds >= self.drainTimeoutSeconds",
    "template.spec.terminationGracePeriodSeconds must be at least drainTimeoutSeconds",
    field="drainTimeoutSeconds",
)
def grace_covers_the_drain(worker: _Fields) -> bool:
    """A grace period below the drain would kill what the drain waits for."""
    pod = worker["template"]["spec"]
    seconds = "terminationGracePeriodSeconds"
    return not has_field(pod, seconds) or bool(pod[seconds] >= worker["drainTimeoutSeconds"])


@rule(
    "spec.worker.template.spec",
    "self.containers.exists_one(c, c.name == 'worker')",
    "one container must be named worker: it runs the App",
    field="containers",
)
def one_container_is_the_worker(pod: _Fields) -> bool:
    """The operator knows by its name which container is ours."""
    return [container["name"] for container in pod["containers"]].count("worker") == 1


@rule(
    "spec.worker.template.spec",
    "self.containers.all(c, c.name != 'worker' || !has(c.env) ||"
    " c.env.all(e, !(e.name in ['PENSTOCK_DATABASE_URL', 'PENSTOCK_DIRECT_URL'])))",
    "the database URL comes from databaseRef, never from env PENSTOCK_DATABASE_URL or PENSTOCK_DIRECT_URL",
    field="containers",
)
def no_url_in_env(pod: _Fields) -> bool:
    """A URL is a credential; it has no place in a resource."""
    names = {
        variable["name"]
        for container in pod["containers"]
        if container["name"] == "worker"
        for variable in container.get("env") or ()
    }
    return names.isdisjoint({"PENSTOCK_DATABASE_URL", "PENSTOCK_DIRECT_URL"})


@rule(
    "spec.retry.backoff",
    "!has(self.baseSeconds) || self.baseSeconds <= self.maxSeconds",
    "baseSeconds must not be above maxSeconds",
    field="baseSeconds",
)
def base_within_max(backoff: _Fields) -> bool:
    """The first pause is not above the longest."""
    return not has_field(backoff, "baseSeconds") or bool(backoff["baseSeconds"] <= backoff["maxSeconds"])


@rule(
    "spec.scaling",
    "self.minReplicas <= self.maxReplicas",
    "minReplicas must not be above maxReplicas",
    field="minReplicas",
)
def min_within_max(scaling: _Fields) -> bool:
    """There is a replica count that keeps both."""
    return bool(scaling["minReplicas"] <= scaling["maxReplicas"])


@rule(
    "spec.scaling",
    "!has(self.connectionBudget) ||"
    " self.minReplicas * self.connectionBudget.perWorker <= self.connectionBudget.maxConnections",
    "minReplicas times connectionBudget.perWorker must fit into connectionBudget.maxConnections",
    field="minReplicas",
)
def min_within_budget(scaling: _Fields) -> bool:
    """There is a replica count that keeps both."""
    if not has_field(scaling, "connectionBudget"):
        return True
    budget = scaling["connectionBudget"]
    return bool(scaling["minReplicas"] * budget["perWorker"] <= budget["maxConnections"])


@rule(
    "spec.scaling.connectionBudget",
    "self.maxConnections >= self.perWorker",
    "maxConnections must be at least perWorker, or not even one worker fits",
    field="maxConnections",
)
def one_worker_fits(budget: _Fields) -> bool:
    """A budget without a single worker is a stop policy in disguise."""
    return bool(budget["maxConnections"] >= budget["perWorker"])


@rule(
    "spec.scaling.steps",
    "self.all(a, self.all(b, !has(a.above) || !has(b.below) || a.above >= b.below))",
    "no step's above may be lower than another's below: both would match",
)
def steps_do_not_overlap(steps: Sequence[_Fields]) -> bool:
    """A depth adds or removes, never both."""
    above, below = _thresholds(steps, "above"), _thresholds(steps, "below")
    return not above or not below or min(above) >= max(below)


@rule(
    "spec.scaling.steps",
    "self.all(a, !has(a.above) || self.exists_one(b, has(b.above) && a.above == b.above))",
    "each above threshold may be given once",
)
def above_thresholds_differ(steps: Sequence[_Fields]) -> bool:
    """Two lines with one threshold would contradict each other."""
    return len(set(_thresholds(steps, "above"))) == len(_thresholds(steps, "above"))


@rule(
    "spec.scaling.steps",
    "self.all(a, !has(a.below) || self.exists_one(b, has(b.below) && a.below == b.below))",
    "each below threshold may be given once",
)
def below_thresholds_differ(steps: Sequence[_Fields]) -> bool:
    """Two lines with one threshold would contradict each other."""
    return len(set(_thresholds(steps, "below"))) == len(_thresholds(steps, "below"))


@rule("spec.scaling.steps[]", "has(self.above) != has(self.below)", "a step has exactly one of above and below")
def step_has_one_threshold(step: _Fields) -> bool:
    """A line speaks of one side."""
    return has_field(step, "above") != has_field(step, "below")


@rule(
    "spec.scaling.steps[]",
    "!has(self.above) || self.change > 0",
    "a step above a threshold adds replicas: change must be positive",
    field="change",
)
def step_above_adds(step: _Fields) -> bool:
    """More depth never means fewer replicas."""
    return not has_field(step, "above") or step["change"] > 0


@rule(
    "spec.scaling.steps[]",
    "!has(self.below) || self.change < 0",
    "a step below a threshold removes replicas: change must be negative",
    field="change",
)
def step_below_removes(step: _Fields) -> bool:
    """Less depth never means more replicas."""
    return not has_field(step, "below") or step["change"] < 0


def _thresholds(steps: Sequence[_Fields], side: str) -> list[int]:
    return [step[side] for step in steps if has_field(step, side)]


RULES: Final[tuple[Rule, ...]] = (
    name_is_short,
    queue_name_is_immutable,
    replicas_only_in_fixed,
    fixed_has_replicas,
    deadline_fits_the_drain,
    places_are_of_parts,
    max_demand_feeds_all_consumers,
    min_demand_below_max,
    grace_covers_the_drain,
    one_container_is_the_worker,
    no_url_in_env,
    base_within_max,
    min_within_max,
    min_within_budget,
    one_worker_fits,
    steps_do_not_overlap,
    above_thresholds_differ,
    below_thresholds_differ,
    step_has_one_threshold,
    step_above_adds,
    step_below_removes,
    *SCHEDULE_RULES,
)


def violations(manifest: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> list[Violation]:
    """Every rule of the CRD that the manifest breaks; `old`, the manifest before, brings in the transition rules."""
    return list(broken(RULES, manifest, old))
