"""An invalid URL is reported as such, whatever is odd about it; no connection is made."""

from __future__ import annotations

import pytest

from penstock.errors import InvalidDatabaseURL
from penstock_operator.database.address import Address
from penstock_operator.database.connection import Database
from penstock_operator.database.failure_reasons import reason_of


@pytest.mark.parametrize(
    "url",
    ["", "x", "postgresql://[::1", "postgresql://u:%ff@127.0.0.1:1/d", "postgresql://u:p\x00@127.0.0.1:1/d", "a://b/c"],
    ids=["empty", "a word", "half an address", "bytes that are no text", "a zero byte", "another scheme"],
)
async def test_an_odd_url_is_an_invalid_one(url: str):
    """And its value is not quoted."""
    database = Database(address=Address(url=url, direct_url=url), holder="a", woken=lambda _: None)
    with pytest.raises(InvalidDatabaseURL) as raised:
        await database.open()
    assert reason_of(raised.value) == "InvalidURL"
    assert len(url) < 2 or url not in str(raised.value)
    await database.close()
