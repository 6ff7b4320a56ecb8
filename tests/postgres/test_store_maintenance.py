"""What the upkeep does on a real server, and what it computes there."""

from __future__ import annotations

import itertools
import json
from typing import Any

from penstock.backoff import Backoff

RETRIES: list[dict[str, Any]] = [
    {}, {"strategy": "exponential", "base_seconds": 2.0, "max_seconds": 100.0}, {"strategy": "linear"},
    {"strategy": "linear", "base_seconds": 700.0}, {"strategy": "constant"},
    {"strategy": "constant", "base_seconds": 0.5},
]  # fmt: skip


def test_the_databases_back_off_is_the_workers(pg_newest):
    """The same bounds for the same settings; fifty draws are below half of the most less than once in 10^15."""
    query = "SELECT array_agg(penstock.retry_delay(%s::jsonb, %s::smallint)) FROM generate_series(1, 50)"
    with pg_newest.connect() as db:
        for retry, attempt in itertools.product(RETRIES, (1, 3, 9, 1000)):
            backoff = Backoff(**retry)
            low, high = backoff.delay(attempt, random=lambda: 0.0), backoff.delay(attempt, random=lambda: 1.0)
            drawn = db.execute(query, [json.dumps(retry), attempt]).fetchone()[0]
            assert low <= min(drawn) <= max(drawn) <= high
            assert low == high or max(drawn) > high / 2
        assert 0 <= db.execute("SELECT penstock.retry_delay(NULL, 1::smallint)").fetchone()[0] <= 5
