"""The drawing of a dashboard: the same answers give the same picture, and it shows what they say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from tools.monitoring import picture
from tools.monitoring.panels import Dashboard, Panel, Query, stat

LINES = Panel(title="Depth", help="Ready jobs.", queries=(Query("a", "{{jobqueue}}"),))
TABLE = Panel(title="Why", help="The rule.", queries=(Query("b", ""),), kind="table")
DASHBOARD = Dashboard("d", "A dashboard", "For this test.", (stat("Dead", "c", "Letters.", bad=1), LINES, TABLE))


def answer(metric: dict[str, str], *values: str) -> list[object]:
    return [{"metric": metric, "values": [[100 + number, value] for number, value in enumerate(values)]}]


def drawn(depth: tuple[str, ...], dead: str = "2") -> str:
    answers = {
        "a": picture.series_of(answer({"__name__": "x", "jobqueue": "<emails>"}, *depth), "{{jobqueue}}"),
        "b": picture.series_of(answer({"jobqueue": "emails", "bound": "Maximum"}, *["1"] * 6), ""),
        "c": picture.series_of(answer({}, "0", dead), ""),
    }
    return picture.draw(DASHBOARD, answers, start=100, end=105)


def test_a_picture_is_well_formed_and_has_every_panel():
    """With titles, legends, labels and the last value; red where that is bad."""
    text = drawn(("0", "50", "100", "100", "50", "0"))
    root = ET.fromstring(text)
    assert len([one for one in root if one.tag.endswith("}g")]) == 3
    said = [one.text for one in root.iter() if one.tag.endswith("}text")]
    assert {"A dashboard", "Depth", "<emails>", "Maximum", "2", "100", "50"} <= set(said)
    assert "#c0392b" in text
    assert "#c0392b" not in drawn(("0", "1"), dead="0")


def test_the_same_answers_give_the_same_picture():
    """So that a picture in the repository changes with its numbers only."""
    assert drawn(("0", "50")) == drawn(("0", "50"))
    assert drawn(("0", "50")) != drawn(("0", "51"))


def test_a_line_stops_where_there_is_nothing_and_starts_again():
    """NaN is no number and no zero."""
    assert drawn(("1", "1", "1", "1", "1", "1")).count("<polyline") == 1
    assert drawn(("1", "1", "NaN", "NaN", "1", "1")).count("<polyline") == 2
    assert drawn(("NaN", "NaN")).count("<polyline") == 0
