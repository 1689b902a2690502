"""Dataverse's time zone codes mean the right clocks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from adjourn.metadata.timezones import UTC_CODE, codes, known, zone


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (4, "America/Los_Angeles"),
        (35, "America/New_York"),
        (85, "Europe/London"),
        (UTC_CODE, "Etc/UTC"),
        (110, "Europe/Berlin"),
        (190, "Asia/Kolkata"),
        (235, "Asia/Tokyo"),
        (290, "Pacific/Auckland"),
    ],
)
def test_a_well_known_code_means_its_zone(code: int, name: str) -> None:
    assert zone(code).key == name


def test_every_code_has_a_zone_that_this_machine_knows() -> None:
    assert len(codes()) == 132
    for code in codes():
        assert known(code)
        assert zone(code).utcoffset(datetime(2030, 1, 1)) is not None


def test_an_unknown_code_means_utc() -> None:
    assert not known(9999)
    assert datetime(2030, 1, 1, tzinfo=zone(9999)) == datetime(2030, 1, 1, tzinfo=UTC)


def test_summer_time_is_known() -> None:
    assert str(zone(85).utcoffset(datetime(2030, 7, 1))) == "1:00:00"
    assert str(zone(85).utcoffset(datetime(2030, 1, 1))) == "0:00:00"
