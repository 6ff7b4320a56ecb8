"""Arguments of the operator's process are its settings under another spelling."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from penstock_operator.arguments import with_arguments
from penstock_operator.errors import SettingsError
from penstock_operator.settings import OperatorSettings


def test_an_argument_sets_what_the_variable_sets_and_wins():
    """The chart writes the variables; who adds an argument means it."""
    environ = {"PENSTOCK_LOG_LEVEL": "info", "PENSTOCK_NAMESPACE": "prod"}
    settings = OperatorSettings.from_env(with_arguments(environ, ["--log-level=debug", "--relist-seconds=30"]))
    assert (settings.log_level, settings.relist_seconds, settings.namespace) == ("debug", 30, "prod")


@pytest.mark.parametrize("argument", ["--verbose", "--log-level", "log-level=debug", "--verbose=1", "", "debug"])
def test_an_argument_that_would_do_nothing_is_an_error_that_names_it(argument: str):
    """With those that there are."""
    with pytest.raises(SettingsError, match=r"unknown argument .*--log-level=VALUE"):
        with_arguments({}, [argument])


def test_the_process_ends_with_the_error():
    """Exit code 2 and one line, before anything is connected to."""
    command = [sys.executable, "-m", "penstock_operator", "--verbose"]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("penstock-operator: unknown argument '--verbose'")
