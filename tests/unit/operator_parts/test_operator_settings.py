"""What the operator is reported, and in which words it refuses what it cannot use."""

from __future__ import annotations

import pytest

from penstock_operator.errors import SettingsError
from penstock_operator.settings import OperatorSettings


def test_nothing_said_is_the_default():
    """PodMonitors where the cluster knows them, a list each minute, loopback."""
    made = OperatorSettings.from_env({})
    assert made == OperatorSettings(pod_name=made.pod_name)
    assert (made.pod_monitors, made.pod_monitor_labels, made.relist_seconds) == (True, {}, 60)


def test_labels_of_podmonitors_are_pairs_separated_by_commas():
    """Spaces around them do not count."""
    made = OperatorSettings.from_env({"PENSTOCK_POD_MONITOR_LABELS": "release=prometheus, app.kubernetes.io/part-of=x"})
    assert made.pod_monitor_labels == {"release": "prometheus", "app.kubernetes.io/part-of": "x"}
    assert not OperatorSettings.from_env({"PENSTOCK_POD_MONITORS": "never"}).pod_monitors


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PENSTOCK_POD_MONITOR_LABELS", "release"),
        ("PENSTOCK_POD_MONITOR_LABELS", "a b=c"),
        ("PENSTOCK_POD_MONITORS", "yes"),
        ("PENSTOCK_RELIST_SECONDS", "0"),
        ("PENSTOCK_RELIST_SECONDS", "1.5"),
        ("PENSTOCK_MAX_DATABASES", "0"),
        ("PENSTOCK_DATABASES_PER_NAMESPACE", "many"),
        ("PENSTOCK_DATABASE_MEMORY_MIB", "47"),
        ("PENSTOCK_LOOPBACK_DATABASES", "yes"),
        ("PENSTOCK_HTTP_PORT", "70000"),
        ("PENSTOCK_LOG_LEVEL", "loud"),
        ("PENSTOCK_WATCH_NAMESPACES", "Shop"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named_with_it(name: str, value: str):
    """Variable, rule and what was given."""
    with pytest.raises(SettingsError, match=name) as reported:
        OperatorSettings.from_env({name: value})
    assert repr(value) in str(reported.value)


@pytest.mark.parametrize(
    ("asked", "in_a_pod", "allowed"),
    [("", True, False), ("", False, True), ("auto", True, False), ("allow", True, True), ("refuse", False, False)],
)
def test_loopback_databases_are_refused_in_a_pod_unless_allowed(asked: str, in_a_pod: bool, allowed: bool):
    """There loopback is the operator and its sidecars; on a laptop it is the developer's own machine."""
    environ = {"PENSTOCK_LOOPBACK_DATABASES": asked, "KUBERNETES_SERVICE_HOST": "10.0.0.1" if in_a_pod else ""}
    assert OperatorSettings.from_env(environ).loopback_databases is allowed
