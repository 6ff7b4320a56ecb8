"""A manifest means the same to a local worker as to a pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.dev.run_dev import load_policies, write_private
from penstock.errors import ManifestError
from penstock.jobqueue.declaration import QueueDeclaration
from penstock.jobqueue.policy import QueuePolicy, parse_policy
from penstock.jobqueue.worker_settings import declaration, worker_settings
from penstock.settings import Settings

SHOP = Path(__file__).parents[3] / "examples" / "shop" / "jobqueues.yaml"
URL = "postgresql://somebody:secret@localhost/shop"


def policy(**spec: object) -> QueuePolicy:
    worker = {"app": "shop.jobs:app", "template": {"spec": {"containers": [{"name": "worker"}]}}}
    given = {"databaseRef": {"secretRef": {"name": "x"}}, "worker": worker, **spec}
    manifest = {
        "apiVersion": "penstock.dev/v1alpha1",
        "kind": "JobQueue",
        "metadata": {"name": "emails"},
        "spec": given,
    }
    return parse_policy(manifest)


def test_every_queue_of_the_example_has_settings_that_survive_the_environment() -> None:
    """What is written for a worker is what it reads."""
    for one in load_policies([SHOP]):
        made = worker_settings(one, base=Settings(), database_url=URL)
        assert Settings.from_env(made.to_env()) == made
        assert (made.queue, made.app) == (one.queue_name, "shop.jobs:app")
        assert (made.concurrency, made.max_demand) == (one.worker.concurrency, one.worker.holds_at_most)


def test_what_the_manifest_does_not_say_comes_from_the_base() -> None:
    """A lease for a short demonstration, a log level."""
    made = worker_settings(policy(), base=Settings(lease_seconds=3, log_level="debug"), database_url=URL)
    assert (made.lease_seconds, made.log_level) == (3, "debug")


def test_a_longest_pause_below_the_strategys_base_shortens_the_base() -> None:
    """`maxSeconds: 30` with a linear back-off, whose base is a minute by default."""
    made = worker_settings(
        policy(retry={"backoff": {"strategy": "Linear", "maxSeconds": 30}}), base=Settings(), database_url=URL
    )
    assert (made.backoff_strategy, made.backoff_base_seconds, made.backoff_max_seconds) == ("linear", 30, 30)


def test_the_queues_row_mirrors_the_manifest() -> None:
    """Pause, limit, attempts, back-off, deadline and retention."""
    one = policy(
        stopPolicy="Hold",
        limits={"maxInFlight": 9},
        retry={"maxAttempts": 7},
        jobDeadlineSeconds=60,
        retentionSeconds=120,
    )
    declared = declaration(
        one, worker_settings(one, base=Settings(), database_url=URL), declared_by="local", generation=3
    )
    assert declared == QueueDeclaration(
        declared_by="local",
        generation=3,
        paused=True,
        max_attempts=7,
        max_in_flight=9,
        retry={"strategy": "exponential", "base_seconds": 5, "max_seconds": 3600},
        job_deadline=60,
        retention=120,
    )


def test_a_queue_in_two_files_is_refused(tmp_path: Path) -> None:
    """The error names the second file and the queue."""
    again = tmp_path / "again.yaml"
    again.write_text(SHOP.read_text())
    with pytest.raises(ManifestError, match=r"again\.yaml: queue 'emails' is already declared in another file"):
        load_policies([SHOP, again])


def test_the_url_is_handed_over_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask says."""
    write_private(URL, tmp_path / "url")
    assert (tmp_path / "url").read_text() == URL
    assert (tmp_path / "url").stat().st_mode & 0o777 == 0o600
