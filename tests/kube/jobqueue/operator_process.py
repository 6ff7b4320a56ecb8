"""The operator's process, as a user without a passwd entry, outside a pod: so that tests can stop and freeze it."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.support.chart import OperatorRights
from tests.support.controlplane import free_ports
from tests.support.pod_env import IMAGE_ENV
from tests.support.pod_user import as_user


class OperatorProcess:
    """`python -m penstock_operator` with the chart's rights, as the pod `name`."""

    def __init__(self, rights: OperatorRights, log: Path, name: str, more: Mapping[str, str]) -> None:
        self.log = log
        (port,) = free_ports(1)
        self.http = f"http://127.0.0.1:{port}"
        env = {**IMAGE_ENV, **rights.env, "KUBECONFIG": str(rights.kubeconfig)}
        env |= {"PENSTOCK_POD_NAME": name, "PENSTOCK_HTTP_PORT": str(port)}
        env |= {"PENSTOCK_LOG_FORMAT": "text", "PENSTOCK_LOG_LEVEL": "info", **more}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                as_user([sys.executable, "-m", "penstock_operator"], folder=Path("/"), needs=[log.parent]),
                env=env,
                cwd="/",
                stdout=output,
                stderr=output,
            )

    @property
    def text(self) -> str:
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def freeze(self) -> None:
        """SIGSTOP, as a machine that hangs."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)
