"""Settings: the environment contract, both ways."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.backoff import Backoff
from penstock.errors import ConfigurationError
from penstock.settings import Settings

URL = "postgresql://shop:hunter2@db.example/shop"
SECRET = {"PENSTOCK_DATABASE_URL": URL}

seconds = st.integers(0, 86_400) | st.floats(0, 1e8)
lines = st.text(st.characters(codec="utf-8", categories=("L", "N")), max_size=20)


@st.composite
def all_settings(draw: st.DrawFn, *, urls: bool = True) -> Settings:
    max_demand = draw(st.integers(1, 100_000))
    base = draw(st.floats(0.001, 1e6))
    return Settings(
        database_url=draw(st.sampled_from([URL, "host=/run/postgresql dbname=shop"])) if urls else "",
        direct_url=draw(st.sampled_from(["", "postgresql://direct/shop"])) if urls else "",
        app=draw(st.sampled_from(["", "shop.jobs:app", "app:a"])),
        queue=draw(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", fullmatch=True)),
        concurrency=draw(st.integers(1, 10_000)),
        min_demand=draw(st.integers(0, min(99_999, max_demand - 1))),
        max_demand=max_demand,
        executor=draw(st.sampled_from(["async", "thread", "process"])),
        drain_timeout_seconds=draw(seconds),
        lease_seconds=draw(st.floats(0.5, 3600)),
        poll_seconds=draw(st.floats(0.05, 3600)),
        listen=draw(st.booleans()),
        max_attempts=draw(st.integers(1, 1000)),
        backoff_strategy=draw(st.sampled_from(["exponential", "linear", "constant"])),
        backoff_base_seconds=base,
        backoff_max_seconds=base + draw(st.floats(0, 1e6)),
        job_deadline_seconds=draw(seconds),
        retention_seconds=draw(seconds),
        http_host=draw(st.sampled_from(["127.0.0.1", "0.0.0.0", "::1"])),
        http_port=draw(st.integers(0, 65_535)),
        pod_name=draw(lines),
        node_name=draw(lines),
        log_level=draw(st.sampled_from(["debug", "info", "warning", "error", "critical"])),
        log_format=draw(st.sampled_from(["text", "json"])),
    )


@given(all_settings())
def test_the_environment_reads_back_to_equal_settings(settings: Settings):
    """to_env and from_env are inverses, for every field at once."""
    assert settings == Settings.from_env(settings.to_env())


@given(all_settings(urls=False))
def test_an_environment_without_urls_reads_back_too(settings: Settings):
    """What the operator writes next to a Secret."""
    assert settings == Settings.from_env(settings.to_env(urls=False), urls=False)


def test_the_environment_of_a_pod_can_leave_the_urls_to_a_secret():
    """No credential in what a manifest shows."""
    text = str(Settings(database_url=URL).to_env(urls=False))
    assert "hunter2" not in text
    assert "URL" not in text


def test_only_the_database_url_is_needed():
    """Everything else has a default, worked out from the rest where that is the rule."""
    settings = Settings.from_env(SECRET | {"PENSTOCK_CONCURRENCY": "8", "PENSTOCK_POD_NAME": "", "PENSTOCK_PORT": "x"})
    assert (settings.concurrency, settings.min_demand, settings.max_demand) == (8, 4, 8)
    assert settings.direct_url == URL
    assert Backoff() == settings.backoff


@pytest.mark.parametrize(("concurrency", "max_demand", "expected"), [(1, 1, 0), (3, 100, 1), (10, 2, 1)])
def test_the_least_demand_is_half_the_concurrency_and_below_the_most(concurrency, max_demand, expected):
    """A single consumer asks for its next job only when it is free."""
    assert expected == Settings(concurrency=concurrency, max_demand=max_demand).min_demand


def test_the_base_of_the_backoff_follows_the_strategy():
    """60 s x attempt when only linear is said."""
    settings = Settings.from_env(SECRET | {"PENSTOCK_BACKOFF_STRATEGY": "linear"})
    assert Backoff(strategy="linear", base_seconds=60) == settings.backoff
    assert Settings(backoff_strategy="linear", backoff_max_seconds=30).backoff_base_seconds == 30


def test_no_repr_and_no_error_has_the_url():
    """The URL is a credential."""
    assert "hunter2" not in repr(Settings(database_url=URL))
    with pytest.raises(ConfigurationError, match=r"database_url \(PENSTOCK_DATABASE_URL\)") as refused:
        Settings(database_url=URL + "\n")
    assert "hunter2" not in str(refused.value)


def test_a_missing_url_is_named():
    """The one variable that a worker cannot do without."""
    with pytest.raises(ConfigurationError, match=r"PENSTOCK_DATABASE_URL.* must be set"):
        Settings.from_env({})


WRONG = [
    ("PENSTOCK_CONCURRENCY", "0", "a whole number from 1 to 10000"),
    ("PENSTOCK_CONCURRENCY", "3.5", "a whole number"),
    ("PENSTOCK_CONCURRENCY", "many", "a whole number"),
    ("PENSTOCK_MIN_DEMAND", "-1", "a whole number from 0"),
    ("PENSTOCK_MIN_DEMAND", "5", "below max_demand"),
    ("PENSTOCK_MAX_DEMAND", "0", "a whole number from 1"),
    ("PENSTOCK_EXECUTOR", "Thread", "one of async, thread, process"),
    ("PENSTOCK_LEASE_SECONDS", "nan", "seconds from 0.5 to 3600"),
    ("PENSTOCK_LEASE_SECONDS", "-1", "seconds from 0.5"),
    ("PENSTOCK_POLL_SECONDS", "0", "seconds from 0.05"),
    ("PENSTOCK_RETENTION_SECONDS", "inf", "seconds from 0"),
    ("PENSTOCK_LISTEN", "yes", "true or false"),
    ("PENSTOCK_BACKOFF_MAX_SECONDS", "0", "seconds from 0.001"),
    ("PENSTOCK_HTTP_PORT", "70000", "from 0 to 65535"),
    ("PENSTOCK_HTTP_PORT", "tcp://10.0.0.1:80", "a whole number"),
    ("PENSTOCK_QUEUE", "no spaces", "letters, digits"),
    ("PENSTOCK_QUEUE", "-x", "letters, digits"),
    ("PENSTOCK_APP", "shop/jobs.py", "package.module:attribute"),
    ("PENSTOCK_LOG_LEVEL", "verbose", "one of debug"),
    ("PENSTOCK_POD_NAME", "a\nb", "one line of text"),
]


@pytest.mark.parametrize(("variable", "value", "rule"), WRONG)
def test_a_wrong_value_names_variable_rule_and_value(variable: str, value: str, rule: str):
    """One error, readable without the documentation."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.from_env(SECRET | {variable: value})
    message = str(refused.value)
    assert variable in message
    assert rule in message
    assert value.strip("-") in message or repr(value) in message


def test_a_base_above_its_maximum_is_refused():
    """Both given, neither derived."""
    with pytest.raises(ConfigurationError, match=r"PENSTOCK_BACKOFF_MAX_SECONDS.* at least backoff_base_seconds"):
        Settings(backoff_base_seconds=10, backoff_max_seconds=9)


def test_a_long_value_is_cut():
    """An error stays one line."""
    with pytest.raises(ConfigurationError) as refused:
        Settings(queue="q" * 5000)
    assert len(str(refused.value)) < 300


def test_every_setting_has_a_variable_of_its_own_and_a_sentence():
    """The table of the docs is made from the fields."""
    metadata = [given.metadata for given in dataclasses.fields(Settings)]
    assert len(metadata) == len({entry["variable"] for entry in metadata})
    assert all(entry["doc"].endswith((".", "false.")) for entry in metadata)
