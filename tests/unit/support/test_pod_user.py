"""How process-backed pods become the user of an image, and still reach what they need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.chart import CHART
from tests.support.pod_env import IMAGE_ENV, ContainerConfigError
from tests.support.pod_user import IMAGE, IMAGE_USER, User, as_user, check, is_root, replaced, user_of

only_root = pytest.mark.skipif(not is_root(), reason="only root can start a process as another user")


def run(*command: str, folder: Path = Path("/"), needs: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A command as the image's user."""
    line = as_user(command, folder=folder, needs=needs)
    return subprocess.run(line, env=IMAGE_ENV, capture_output=True, text=True, check=False, timeout=60)


def test_the_environment_and_the_user_are_those_of_the_images():
    """The Dockerfile says them."""
    text = (CHART.parent.parent / "Dockerfile").read_text()
    assert [name for name, value in IMAGE_ENV.items() if name != "PATH" and f"{name}={value}" not in text] == []
    assert f"USER {IMAGE_USER}:{IMAGE_USER}" in text


def test_a_pod_can_import_what_it_runs_wherever_the_clone_is():
    """Checked once a run, before the first pod starts."""
    check()


@only_root
def test_a_needed_folder_under_a_closed_one_is_there_and_its_neighbors_are_not(tmp_path: Path):
    """As a clone under root's home: the closed folder shows the needed part alone."""
    home = tmp_path / "home"
    for name in ("clone", "secrets"):
        (home / name).mkdir(parents=True)
        (home / name / "file").write_text(name)
    home.chmod(0o700)
    done = run("sh", "-c", f"cat {home}/clone/file; ls {home}", needs=(home / "clone",))
    assert (done.returncode, done.stdout) == (0, "cloneclone\n"), done.stderr


@only_root
def test_a_needed_folder_that_is_itself_closed_shows_what_is_in_it(tmp_path: Path):
    """As a clone in a private temporary folder."""
    (tmp_path / "file").write_text("found")
    tmp_path.chmod(0o700)
    assert run("cat", str(tmp_path / "file"), needs=(tmp_path,)).stdout == "found"


@only_root
def test_a_needed_file_that_is_closed_is_refused_with_the_command_that_opens_it(tmp_path: Path):
    """Never run as root instead."""
    file = tmp_path / "file"
    file.touch(mode=0o600)
    with pytest.raises(PermissionError, match=r"chmod -R go\+rX"):
        run("cat", str(file), needs=(file,))


@only_root
def test_a_working_folder_that_the_user_could_write_is_refused(tmp_path: Path):
    """A container's is part of its image."""
    tmp_path.chmod(0o777)
    done = run("true", folder=tmp_path)
    assert done.returncode != 0
    assert "must not be writable" in done.stderr


@only_root
def test_the_run_itself_is_left_as_it_is(tmp_path: Path):
    """The empty folders are in a mount namespace of the pod."""
    (tmp_path / "file").touch()
    tmp_path.chmod(0o700)
    assert run("ls", str(tmp_path)).returncode != 0
    assert (tmp_path / "file").exists()
    assert run(sys.executable, "-c", "import os; print(os.getpid())").stdout.strip().isdigit()


def test_what_is_open_needs_no_mount():
    """Apart from the container's own /tmp."""
    assert [folder for folder, _, _ in replaced([Path(os.path.realpath("/bin/sh"))], IMAGE, tmp_mode="0755")] == [
        one for one in ("/tmp", "/var/tmp") if Path(one).is_dir()
    ]


@pytest.mark.parametrize(
    ("pod", "container", "user"),
    [
        ({}, {}, User(IMAGE_USER, IMAGE_USER)),
        ({"runAsUser": 7, "fsGroup": 5}, {}, User(7, IMAGE_USER, (5,))),
        ({"runAsUser": 7}, {"runAsUser": 8, "runAsGroup": 9}, User(8, 9)),
        ({"runAsUser": 0}, {}, User(0, IMAGE_USER)),
    ],
)
def test_security_contexts_choose_the_user(pod: dict[str, int], container: dict[str, int], user: User):
    """The container's before the pod's before the image's."""
    assert user_of({"spec": {"securityContext": pod}}, {"securityContext": container}) == user


def test_root_where_only_others_are_allowed_is_refused():
    """In the kubelet's words."""
    with pytest.raises(ContainerConfigError, match="breaks non-root policy"):
        user_of({"spec": {"securityContext": {"runAsNonRoot": True, "runAsUser": 0}}}, {})
