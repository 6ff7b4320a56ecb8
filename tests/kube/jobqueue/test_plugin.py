"""`kubectl penstock` against a real API server: kubectl finds the plugin, the plugin finds the database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock import App

if TYPE_CHECKING:
    from tests.kube.jobqueue.conftest import JobQueues
    from tests.support.controlplane import ControlPlane
    from tests.support.postgres import Database


def test_kubectl_penstock_takes_the_database_from_the_jobqueues_secret(
    control_plane: ControlPlane, jobqueues: JobQueues, pg_newest: Database, tmp_path: Path
):
    """By the person's own kubeconfig; the Secret's URL is in no output, whatever it leads to."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    plugin = tmp_path / "kubectl-penstock"  # what installing the distribution makes
    plugin.write_text(f"#!{sys.executable}\nfrom penstock.cli import main\nmain()\n")
    plugin.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    environ |= {"KUBECONFIG": str(control_plane.admin_kubeconfig), "PATH": f"{tmp_path}:{environ['PATH']}"}

    def kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "penstock", *arguments, "--jobqueue", "emails", "-n", jobqueues.namespace]
        return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=200, check=False)

    done = kubectl("queues", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "NotFound" in done.stderr
    jobqueues.create()
    jobqueues.secret(pg_newest.url)
    with App(pg_newest.url) as app:

        @app.task(queue="emails")
        async def send() -> None: ...

        job = send.enqueue()
    done = kubectl("jobs", "why", str(job.id))
    assert (done.returncode, done.stderr) == (0, "")
    assert "no worker serves queue emails" in done.stdout
    jobqueues.secret("postgresql://shop:hunter2@127.0.0.1:1/shop")
    for command in (["doctor"], ["top", "--once"]):
        done = kubectl(*command)
        assert done.returncode == 1
        assert "cannot be reached" in done.stdout + done.stderr
        assert "hunter2" not in done.stdout + done.stderr
