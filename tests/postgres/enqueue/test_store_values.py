"""Arguments through Postgres: jsonb writes numbers in its own way and orders keys as it likes."""

from __future__ import annotations

import pytest

from tests.unit.app.test_values import ACCEPTED, task


def test_every_accepted_value_is_the_same_in_the_database(db):
    """What jsonb makes of its JSON is decoded as what was encoded; a float stays a float."""
    for named, hint, value in ACCEPTED:

        def function(value: object) -> None: ...

        function.__annotations__ = {"value": hint, "return": None}
        made = task(function)
        args = made.job(value).args
        [stored] = db.execute("SELECT (%s::jsonb)::text", [args]).fetchone()
        before, after = made.decode(args)["value"], made.decode(stored)["value"]
        assert after == before, named
        assert type(after) is type(before), named
        assert repr(after) == repr(before) or isinstance(before, (dict, set)) or before == 0, named


@pytest.mark.parametrize("value", [1e22, 1e16, -1.5e300, 5e-324, 1.7976931348623157e308, 123456789012345680000.0])
def test_a_float_without_an_annotation_comes_back_as_a_float(db, value):
    """Also where its JSON has an exponent, which Postgres would write out as an integer."""

    def function(value) -> None: ...

    made = task(function)
    [stored] = db.execute("SELECT (%s::jsonb)::text", [made.job([value]).args]).fetchone()
    assert repr(made.decode(stored)) == repr({"value": [value]})
