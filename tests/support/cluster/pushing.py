"""The `docker` of a shell that follows a page: builds with this machine's builder, and pushes into the node.

`python -m tests.support.cluster.pushing NODE build|push ...` takes docker's arguments. The node is the registry: an
image that was pushed is there under its whole name. The base is passed as the Dockerfile's argument, for the machine
may reach no registry.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.cluster import images, node


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(name: str, arguments: list[str]) -> int:
    """The exit code."""
    by = images.builder()
    match arguments:
        case ["build", *options]:
            own = {"buildah": ["--isolation=chroot", "--layers"], "podman": ["--layers"], "docker": []}[by.name]
            base = ["--build-arg", f"BASE_IMAGE={images.base_image(by, say)}", *images.ca_secret()]
            return subprocess.run([*by.head, "build", *own, *base, *options], check=False).returncode
        case ["push", image]:
            running = node.find(name, say)
            assert running is not None, f"node {name} is not running"
            with tempfile.TemporaryDirectory() as folder:
                archive = Path(folder) / "image.tar"
                by.save(image, archive)
                running.load(archive)
            return 0
    say(f"no page may type docker {' '.join(arguments)}")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
