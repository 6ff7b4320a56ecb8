"""The commands of a document carried out as they are written, by this repository's programs and a real API server.

Knows just the commands that documents use; another one is an error, so a page cannot ask its reader to type what
nobody tried. What only a person has (a password, a registry) is given by the test.

An image exists under the name by which it was built and pushed, and under no other.
"""

from __future__ import annotations

import base64
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import helm_python
import yaml

from tests.support.api_client import ApiError
from tests.support.controlplane import ControlPlane
from tests.support.kustomize import kustomized
from tests.support.pod_env import Image
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
_PATHS = {"JobQueue": "/apis/penstock.dev/v1alpha1/namespaces/{namespace}/jobqueues/{name}"}


@dataclass
class Reader:
    """Somebody who types what a page says.

    Args:
        plane: the cluster.
        files: what the page wrote, by path.
        answers: a variable's comment in the page -> what this reader types for it.
        images: what a docker target or file stands for.
        environ: of the shell.
    """

    plane: ControlPlane
    files: Mapping[str, str]
    answers: Callable[[str], str]
    images: Mapping[str, Image]
    environ: dict[str, str] = field(default_factory=dict)
    built: dict[str, Image] = field(default_factory=dict)
    pushed: dict[str, Image] = field(default_factory=dict)
    releases: list[helm_python.Config] = field(default_factory=list)

    def types(self, line: str) -> None:
        """One line of a console block without its prompt."""
        command, _, comment = line.partition("  #")
        for part in command.split("&&"):
            self._run(shlex.split(part), comment.strip())

    def _run(self, words: list[str], comment: str) -> None:
        if words[0] == "export":
            words = words[1:]
        if re.fullmatch(r"\w+=.*", words[0], re.DOTALL):
            name, _, value = words[0].partition("=")
            self.environ[name] = self.answers(self._expanded(value))
            return
        if words[0] == "read":
            self.environ[words[-1]] = self.answers(comment)
            return
        words = [self._expanded(word) for word in words]
        known = {"docker": self._docker, "kubectl": self._kubectl, "helm": self._helm, "penstock": self._penstock}
        if words[0] in known:
            known[words[0]](words[1:])
        else:
            assert words[0] in {"make", "."}, f"no test can type {words}"

    def _expanded(self, text: str) -> str:
        return re.sub(r"\$(\w+)", lambda found: self.environ[found[1]], text)

    def _docker(self, words: list[str]) -> None:
        if words[0] == "push":
            self.pushed[words[1]] = self.built[words[1]]
            return
        options = dict(zip(words[1::2], words[2::2], strict=False))
        of = options.get("--target") or options["--file"]
        if "--build-arg" in options:
            assert options["--build-arg"].partition("=")[2] in self.built
        self.built[options["--tag"]] = self.images[of]

    def _penstock(self, words: list[str]) -> None:
        program = Path(sys.executable).parent / "penstock"
        environ = {"PATH": os.defpath, **self.environ}
        done = subprocess.run([program, *words], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _helm(self, words: list[str]) -> None:
        assert words[0] == "install"
        options = dict(itertools.pairwise(words))
        if "--create-namespace" in words:
            self._namespace(options["--namespace"])
        config = helm_python.Config(kubeconfig_path=self.plane.admin_kubeconfig, namespace=options["--namespace"])
        self.releases.append(config.__enter__())
        config.install(ROOT / words[2], words[1], set_values(options.get("--set", "")), timeout=200)

    def _kubectl(self, words: list[str]) -> None:
        namespace = words[words.index("--namespace") + 1] if "--namespace" in words else "default"
        if "--namespace" in words:
            at = words.index("--namespace")
            words = words[:at] + words[at + 2 :]
        match words:
            case ["create", "namespace", name]:
                self._namespace(name)
            case ["create", "secret", "generic", name, *literals]:
                pairs = [one.removeprefix("--from-literal=").partition("=") for one in literals]
                data = {key: base64.b64encode(value.encode()).decode() for key, _, value in pairs}
                self.plane.request(
                    "POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "data": data}
                )
            case ["rollout", "status", target]:
                kind, _, name = target.partition("/")
                path = f"/apis/apps/v1/namespaces/{namespace}/{kind}s/{name}"
                eventually(lambda: self._ready(path), f"{target} is rolled out")
            case ["apply", "--filename", name]:
                for document in yaml.safe_load_all(self.files[name]):
                    self._apply(document)
            case ["apply", "--kustomize", folder]:
                for document in kustomized(ROOT / folder):
                    self._apply(document)
            case ["get" | "describe", *_]:
                pass
            case _:
                raise AssertionError(f"no test can type kubectl {words}")

    def _namespace(self, name: str) -> None:
        self.plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        eventually(lambda: self._found(account), "its service account")

    def _apply(self, document: Mapping[str, Any]) -> None:
        metadata = document["metadata"]
        path = _PATHS[document["kind"]].format(namespace=metadata["namespace"], name=metadata["name"])
        eventually(lambda: self._applied(path, document), f"{path} is applied")

    def _applied(self, path: str, document: Mapping[str, Any]) -> bool:
        try:
            self.plane.client().apply(path, document)
        except ApiError as error:
            if error.status == 404:  # the kind is established, and served a moment later
                return False
            raise
        return True

    def _found(self, path: str) -> Any:
        try:
            return self.plane.request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _ready(self, path: str) -> bool:
        found = self._found(path) or {}
        status = found.get("status", {})
        return bool(status.get("readyReplicas", 0) == found.get("spec", {}).get("replicas"))


def set_values(text: str) -> dict[str, Any]:
    """What `helm --set` makes of its argument."""
    made: dict[str, Any] = {}
    for name, value in re.findall(r"([\w.]+)=(\{[^}]*\}|[^,]*)", text):
        place = made
        *parents, last = name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value[1:-1].split(",") if value.startswith("{") else value
    return made
