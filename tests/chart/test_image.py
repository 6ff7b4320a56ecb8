"""The two images, built by whatever builder this machine has, and inspected from inside as their numeric user."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.chart import only, render

ROOT = Path(__file__).resolve().parent.parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BASE = os.environ.get("PENSTOCK_TEST_BASE_IMAGE") or re.findall(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)[0]
TARGETS = ("operator", "worker")
INSTALLERS = ("pip", "pip3", "uv", "gcc", "cc", "make")
BUILD_SECONDS = 900.0

pytestmark = pytest.mark.timeout(BUILD_SECONDS)


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah, podman or docker, as far as the tests need it."""

    name: str

    def call(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([self.name, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{self.name} {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done

    def build(self, name: str, *arguments: str) -> str:
        """Build an image of that name; its full name."""
        tag = f"penstock-{name}:test"
        isolation = ["--isolation=chroot"] if self.name == "buildah" else []
        self.call("build", *isolation, "--build-arg", f"BASE_IMAGE={BASE}", "--tag", tag, *arguments)
        return tag

    def config(self, image: str) -> dict[str, Any]:
        """The image's configuration: User, Env, Entrypoint, Labels."""
        if self.name == "buildah":
            config = json.loads(self.call("inspect", "--type=image", image).stdout)["OCIv1"]["config"]
        else:
            config = json.loads(self.call("image", "inspect", image).stdout)[0]["Config"]
        return dict(config)

    def run(self, image: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container of the image as its own user."""
        if self.name != "buildah":
            limits = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--network=none"]
            return self.call("run", "--rm", *limits, "--entrypoint", command[0], image, *command[1:], check=False)
        container = self.call("from", image).stdout.strip()
        try:
            return self.call("run", "--isolation=chroot", "--cap-drop=all", container, "--", *command, check=False)
        finally:
            self.call("rm", container)


@pytest.fixture(scope="module")
def builder() -> Builder:
    """The first builder that works here and can get the base image; otherwise the reason."""
    for name in ("buildah", "podman", "docker"):
        if shutil.which(name) and Builder(name).call("info", check=False).returncode == 0:
            found = Builder(name)
            break
    else:
        pytest.skip("no image builder: neither buildah nor podman nor docker with a running daemon")
    known = found.call("inspect" if name == "docker" else "images", BASE, check=False).returncode == 0
    if not known and found.call("pull", BASE, check=False).returncode:
        pytest.skip(f"{name} cannot get the base image {BASE}; name another by PENSTOCK_TEST_BASE_IMAGE")
    return found


@pytest.fixture(scope="module")
def images(builder: Builder) -> Iterator[dict[str, str]]:
    """Target -> image, both freshly built."""
    built = {target: builder.build(target, "--target", target, ".") for target in TARGETS}
    yield built
    builder.call("rmi", "--force", *built.values())


@pytest.fixture(params=TARGETS)
def image(images: dict[str, str], request: pytest.FixtureRequest) -> str:
    """One of the two."""
    return images[request.param]


def test_the_user_is_a_number_and_not_root(builder: Builder, image: str):
    """`runAsNonRoot` can be checked by the kubelet, and the chart's user is the image's."""
    pod = only(render(), "Deployment")["spec"]["template"]["spec"]
    user = pod["securityContext"]["runAsUser"]
    assert builder.config(image)["User"] == f"{user}:{pod['securityContext']['runAsGroup']}"


def test_the_labels_say_what_it_is(builder: Builder, image: str):
    """The standard annotations, which scanners and people read."""
    labels = builder.config(image)["Labels"]
    prefix = "org.opencontainers.image."
    assert labels[f"{prefix}title"] == image.partition(":")[0].removeprefix("localhost/")
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    wanted = ("version", "revision", "description", "created", "source", "url", "documentation", "base.digest")
    assert {f"{prefix}{name}" for name in wanted} <= labels.keys()
    assert labels[f"{prefix}base.name"] == BASE


def test_the_program_starts_as_its_user(builder: Builder, image: str):
    """Everything that it imports is there and readable."""
    command = ["penstock", "--help"] if "worker" in image else ["python", "-c", "import penstock_operator.__main__"]
    done = builder.run(image, *command)
    assert done.returncode == 0, done.stderr


def test_nothing_that_installs_or_compiles_is_inside(builder: Builder, image: str):
    """An intruder finds no package installer and no compiler."""
    code = f"import shutil; print([name for name in {INSTALLERS!r} if shutil.which(name)])"
    assert builder.run(image, "python", "-c", code).stdout.strip() == "[]"
    assert builder.run(image, "python", "-c", "import pip").returncode != 0


def test_a_read_only_root_is_enough(builder: Builder, image: str):
    """Nothing outside the temporary folders is writable for the user, so nothing can count on writing there."""
    code = (
        "import os; print([d for d, _, _ in os.walk('/') if os.access(d, os.W_OK)"
        " and not d.startswith(('/proc', '/sys', '/dev', '/tmp', '/var/tmp', '/run/lock'))])"
    )
    assert builder.run(image, "python", "-c", code).stdout.strip() == "[]"


def test_what_we_add_to_the_base_is_small(builder: Builder, image: str):
    """At most 90 MB on disk, most of it the driver and the libraries; it was 201 with the whole Kubernetes client."""
    code = (
        "from pathlib import Path;"
        " print(sum(path.lstat().st_size for path in Path('/opt/penstock').rglob('*') if path.is_file()))"
    )
    assert int(builder.run(image, "python", "-c", code).stdout) < 90_000_000


def test_certificates_of_authorities_are_where_the_driver_searches(builder: Builder, image: str):
    """`sslrootcert=system` verifies by them; the driver's own OpenSSL would search a folder that does not exist."""
    code = "import os, ssl; print(len(ssl.create_default_context(cafile=os.environ['SSL_CERT_FILE']).get_ca_certs()))"
    assert int(builder.run(image, "python", "-c", code).stdout) > 50


def test_the_worker_holds_no_kubernetes_client(builder: Builder, images: dict[str, str]):
    """A pod that runs users' code carries what it runs with and nothing that speaks to the API server."""
    worker = images["worker"]
    assert builder.run(worker, "python", "-c", "import psycopg, uvloop").returncode == 0
    assert builder.run(worker, "python", "-c", "import kubernetes").returncode != 0


def test_the_shops_image_is_the_workers_with_its_code_added(builder: Builder, images: dict[str, str]):
    """The way that users take: FROM the worker, dependencies from a stage of their own, code into /app."""
    base = f"WORKER_IMAGE={images['worker']}"
    shop = builder.build("shop", "--build-arg", base, "--file", "examples/shop/Dockerfile", "examples")
    try:
        done = builder.run(shop, "python", "-c", "from shop.jobs import app; print(*app.tasks)")
        assert done.returncode == 0, done.stderr
        assert "shop.jobs:resize_image" in done.stdout
    finally:
        builder.call("rmi", "--force", shop)
