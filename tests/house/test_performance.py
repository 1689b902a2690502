"""The picture of what was measured says what the table says."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from benchmarks.measure import Figure, said
from benchmarks.picture import picture, used


@pytest.mark.parametrize(
    ("figure", "share"),
    [
        (Figure("a time", 2.0, "ms", "", None, "< 20 ms", True), 0.1),
        (Figure("a time beside another", 12.0, "ms", "alone", 4.0, "≤ 3 times", True), 1.0),
        (Figure("a speed", 900.0, "/s", "bare", 1000.0, "ratio ≥ 0.45", True), 0.5),
        (Figure("a thousand", 500.0, "ms", "", None, "< 1,000 ms", True), 0.5),
        (Figure("no limit", 500.0, "/s", "bare", 1000.0, "", None), None),
    ],
    ids=lambda value: value.name if isinstance(value, Figure) else "",
)
def test_how_much_of_its_limit_a_figure_uses(figure: Figure, share: float | None) -> None:
    assert used(figure) == (share if share is None else pytest.approx(share))


def test_the_picture_has_a_bar_for_each_limit_and_shows_which_is_missed() -> None:
    missed = Figure("x < y & z", 4.0, "ms", "", None, "< 2 ms", False)
    drawn = ElementTree.fromstring(picture([missed, Figure("free", 1.0, "ms", "", None, "", None)]))
    bars = [element for element in drawn if element.tag.endswith("rect")]
    assert [bar.get("class") for bar in bars] == ["missed"]
    assert "x < y & z" in [element.text for element in drawn]


def test_numbers_are_written_as_people_write_them() -> None:
    assert [said(number) for number in (18840.4, 999.96, 4.0012, 0.08678)] == ["18,840", "1,000", "4.001", "0.08678"]
