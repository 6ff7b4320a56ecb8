"""Start a command as a container would: as that user, with a private /tmp, seeing of closed folders only what it needs.

Run as a script by root: `python -I -S pod_jail.py PLAN -- COMMAND…`; the plan is JSON (`pod_user.Plan`). Ends in an
exec, so that the process id stays, and uses the standard library alone. The environment is passed on as it is.

A closed folder (mode 0700, such as root's home) is replaced by an empty one in a mount namespace of this process, and
what the command needs of it is mounted back in its place. Nothing outside the namespace changes.
"""

import ctypes
import errno
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_NEWNS = 0x00020000
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 1 << 18
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS, _SIGKILL = 1, 38, 9
_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    if _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def _private_mounts() -> None:
    if _libc.unshare(_NEWNS) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{os.strerror(code)}: no mount namespace of its own")
    _mount("none", "/", "", _REC | _PRIVATE)


def _replace(folder: str, kept: Sequence[str], mode: str) -> None:
    """An empty folder in its place, with those paths of it mounted back."""
    handles = {path: os.open(path, os.O_PATH) for path in kept}
    _mount("tmpfs", folder, "tmpfs", 0, f"mode={mode},size=256m")
    for path, handle in handles.items():
        source = f"/proc/self/fd/{handle}"
        if Path(source).is_dir():
            Path(path).mkdir(parents=True, exist_ok=True)
        else:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).touch()
        _mount(source, path, "", _BIND | _REC)
        os.close(handle)


def _become(uid: int, gid: int, groups: list[int]) -> None:
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)  # after the change of user, which forgets it


def main() -> None:
    """Replace the folders, become the user, go to the folder, run the command."""
    plan, command = json.loads(sys.argv[1]), sys.argv[3:]
    os.umask(0o022)
    if plan["replaced"]:
        _private_mounts()
        for folder, kept, mode in plan["replaced"]:
            _replace(folder, kept, mode)
    os.chdir("/")
    _become(plan["uid"], plan["gid"], plan["groups"])
    os.chdir(plan["folder"])
    if plan["uid"] != 0 and os.access(".", os.W_OK):
        raise PermissionError(errno.EPERM, "a pod's working folder must not be writable by its user", plan["folder"])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
