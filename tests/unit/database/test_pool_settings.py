"""Pool size, wait and idle time of an App: their bounds, and the words of what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from penstock import App
from penstock.database.pool_settings import PoolSettings
from penstock.errors import ConfigurationError


def test_seconds_are_numbers_or_timedeltas():
    """Kept in seconds; the bounds themselves are accepted."""
    assert PoolSettings.of(size=1000, wait=timedelta(minutes=1), idle=0) == PoolSettings(size=1000, wait=60.0, idle=0.0)
    assert PoolSettings.of(size=4, wait=10, idle=600) == PoolSettings()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pool_size": 0}, "pool_size must be a whole number from 1 to 1000, got 0"),
        ({"pool_size": 1001}, "pool_size must be a whole number from 1 to 1000, got 1001"),
        ({"pool_size": True}, "pool_size must be a whole number from 1 to 1000, got True"),
        ({"pool_size": "4"}, "pool_size must be a whole number from 1 to 1000, got '4'"),
        ({"pool_size": 2.0}, "pool_size must be a whole number from 1 to 1000, got 2.0"),
        ({"pool_wait": -1}, "pool_wait must be from 0 to 3600 s, got -1"),
        ({"pool_wait": float("nan")}, "pool_wait must be from 0 to 3600 s, got nan"),
        ({"pool_wait": timedelta(hours=2)}, "pool_wait must be from 0 to 3600 s"),
        ({"pool_wait": None}, "pool_wait must be from 0 to 3600 s, got None"),
        ({"pool_idle": float("inf")}, "pool_idle must be from 0 to 86400 s, got inf"),
        ({"pool_idle": 10**400}, "pool_idle must be from 0 to 86400 s"),
        ({"pool_idle": False}, "pool_idle must be from 0 to 86400 s, got False"),
    ],
)
def test_what_is_out_of_bounds_is_refused_where_the_app_is_made(options, said):
    """Names the option, its bounds and what was given."""
    with pytest.raises(ConfigurationError) as refused:
        App("postgresql://localhost/x", **options)
    assert said in str(refused.value)
