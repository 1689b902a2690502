"""Dataverse's time zone codes and the zones they mean.

Source: the timezonedefinition rows of a Dataverse organization (timezonecode, standard name), mapped to IANA names by
the CLDR's table of Windows zones.
"""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo

UTC_CODE = 92

_ZONES = {
    0: "Etc/GMT+12", 1: "Pacific/Apia", 2: "Pacific/Honolulu", 3: "America/Anchorage", 4: "America/Los_Angeles",
    5: "America/Tijuana", 6: "Etc/GMT+11", 10: "America/Denver", 12: "America/Chihuahua", 15: "America/Phoenix",
    20: "America/Chicago", 25: "America/Regina", 29: "America/Mexico_City", 33: "America/Guatemala",
    35: "America/New_York", 40: "America/Indiana/Indianapolis", 45: "America/Bogota", 47: "America/Caracas",
    50: "America/Halifax", 55: "America/La_Paz", 56: "America/Santiago", 58: "America/Manaus", 59: "America/Asuncion",
    60: "America/St_Johns", 65: "America/Sao_Paulo", 69: "America/Argentina/Buenos_Aires", 70: "America/Cayenne",
    73: "America/Godthab", 74: "America/Montevideo", 75: "Etc/GMT+2", 80: "Atlantic/Azores", 83: "Atlantic/Cape_Verde",
    84: "Africa/Casablanca", 85: "Europe/London", 90: "Atlantic/Reykjavik", 92: "Etc/UTC", 95: "Europe/Budapest",
    100: "Europe/Warsaw", 105: "Europe/Paris", 110: "Europe/Berlin", 113: "Africa/Lagos", 115: "Europe/Bucharest",
    120: "Africa/Cairo", 125: "Europe/Kiev", 129: "Asia/Amman", 130: "Europe/Athens", 131: "Asia/Beirut",
    134: "Europe/Istanbul", 135: "Asia/Jerusalem", 140: "Africa/Johannesburg", 141: "Africa/Windhoek",
    145: "Europe/Moscow", 150: "Asia/Riyadh", 155: "Africa/Nairobi", 158: "Asia/Baghdad", 160: "Asia/Tehran",
    165: "Asia/Dubai", 169: "Asia/Baku", 170: "Asia/Yerevan", 175: "Asia/Kabul", 180: "Asia/Yekaterinburg",
    184: "Asia/Karachi", 185: "Asia/Tashkent", 190: "Asia/Kolkata", 193: "Asia/Kathmandu", 195: "Asia/Almaty",
    196: "Asia/Dhaka", 200: "Asia/Colombo", 201: "Asia/Novosibirsk", 203: "Asia/Rangoon", 205: "Asia/Bangkok",
    207: "Asia/Krasnoyarsk", 210: "Asia/Shanghai", 215: "Asia/Singapore", 220: "Asia/Taipei", 225: "Australia/Perth",
    227: "Asia/Irkutsk", 228: "Asia/Ulaanbaatar", 230: "Asia/Seoul", 235: "Asia/Tokyo", 240: "Asia/Yakutsk",
    245: "Australia/Darwin", 250: "Australia/Adelaide", 255: "Australia/Sydney", 260: "Australia/Brisbane",
    265: "Australia/Hobart", 270: "Asia/Vladivostok", 275: "Pacific/Port_Moresby", 280: "Pacific/Guadalcanal",
    285: "Pacific/Fiji", 290: "Pacific/Auckland", 300: "Pacific/Tongatapu",
}  # fmt: skip


@cache
def zone(code: int) -> ZoneInfo:
    """The zone of a timezonecode; UTC for a code that we do not know."""
    return ZoneInfo(_ZONES.get(code, "Etc/UTC"))


def known(code: int) -> bool:
    """Whether a timezonecode means a zone."""
    return code in _ZONES
