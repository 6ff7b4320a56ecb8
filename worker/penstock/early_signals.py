"""SIGTERM and SIGINT while a process still imports its modules, until it has handlers of its own.

The kernel drops a signal to PID 1, as the first process of a container is, if the process has no handler for it; a pod
deleted in that window would go on for its whole grace period and then be killed. Must not import anything but these
two modules, which load in a few milliseconds: a program calls this before its expensive imports.
"""

from __future__ import annotations

import os
import signal

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_on_signals(code: int | None = None) -> None:
    """From now on SIGTERM and SIGINT exit the process at once; only the main thread may call this.

    An exception would not do: an import that is interrupted may catch it. What the process was started to ignore, as a
    shell starts what it runs in the background, stays ignored.

    Args:
        code: the exit code; None for 128 and the number of the signal, as a shell reports it.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda received, _: os._exit(128 + received if code is None else code))


def early_exit_code(arguments: list[str]) -> int | None:
    """What `exit_on_signals` takes until the command of the program `penstock` has handlers of its own.

    A worker has claimed nothing yet and exits with 0; another command has not done what it was started for.

    Args:
        arguments: the command and its options, without the program's name.
    """
    return 0 if arguments[:1] == ["worker"] else None


def ignore_signals() -> None:
    """From now on SIGTERM and SIGINT do nothing here.

    By a handler, because programs that this process starts would inherit SIG_IGN.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
