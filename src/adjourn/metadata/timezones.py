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
    5: "America/Tijuana", 6: "Etc/GMT+11", 7: "America/Adak", 8: "Pacific/Marquesas", 9: "Etc/GMT+9",
    10: "America/Denver", 11: "Etc/GMT+8", 12: "America/Mazatlan", 13: "America/Mazatlan", 15: "America/Phoenix",
    20: "America/Chicago", 25: "America/Regina", 29: "America/Mexico_City", 30: "America/Mexico_City",
    33: "America/Guatemala", 34: "Pacific/Easter", 35: "America/New_York", 40: "America/Indiana/Indianapolis",
    43: "America/Port-au-Prince", 44: "America/Havana", 45: "America/Bogota", 47: "America/Caracas",
    50: "America/Halifax", 51: "America/Grand_Turk", 55: "America/La_Paz", 56: "America/Santiago", 58: "America/Cuiaba",
    59: "America/Asuncion", 60: "America/St_Johns", 65: "America/Sao_Paulo", 69: "America/Argentina/Buenos_Aires",
    70: "America/Cayenne", 71: "America/Bahia", 72: "America/Miquelon", 73: "America/Nuuk", 74: "America/Montevideo",
    75: "Etc/GMT+2", 76: "Etc/GMT+2", 77: "America/Araguaina", 80: "Atlantic/Azores", 83: "Atlantic/Cape_Verde",
    84: "Africa/Casablanca", 85: "Europe/London", 90: "Atlantic/Reykjavik", 92: "Etc/UTC", 95: "Europe/Budapest",
    100: "Europe/Warsaw", 105: "Europe/Paris", 110: "Europe/Berlin", 113: "Africa/Lagos", 115: "Europe/Chisinau",
    120: "Africa/Cairo", 125: "Europe/Kyiv", 129: "Asia/Amman", 130: "Europe/Bucharest", 131: "Asia/Beirut",
    133: "Asia/Damascus", 134: "Europe/Istanbul", 135: "Asia/Jerusalem", 140: "Africa/Johannesburg",
    141: "Africa/Windhoek", 142: "Asia/Hebron", 145: "Europe/Moscow", 150: "Asia/Riyadh", 151: "Europe/Minsk",
    155: "Africa/Nairobi", 158: "Asia/Baghdad", 159: "Europe/Kaliningrad", 160: "Asia/Tehran", 165: "Asia/Dubai",
    169: "Asia/Baku", 170: "Asia/Yerevan", 172: "Indian/Mauritius", 173: "Asia/Tbilisi", 174: "Europe/Samara",
    175: "Asia/Kabul", 176: "Europe/Astrakhan", 180: "Asia/Yekaterinburg", 184: "Asia/Karachi", 185: "Asia/Tashkent",
    190: "Asia/Kolkata", 193: "Asia/Kathmandu", 195: "Asia/Bishkek", 196: "Asia/Dhaka", 197: "Asia/Omsk",
    200: "Asia/Colombo", 201: "Asia/Novosibirsk", 203: "Asia/Yangon", 205: "Asia/Bangkok", 207: "Asia/Krasnoyarsk",
    208: "Asia/Barnaul", 209: "Asia/Hovd", 210: "Asia/Shanghai", 211: "Asia/Tomsk", 215: "Asia/Singapore",
    220: "Asia/Taipei", 225: "Australia/Perth", 227: "Asia/Irkutsk", 228: "Asia/Ulaanbaatar", 229: "Asia/Pyongyang",
    230: "Asia/Seoul", 231: "Australia/Eucla", 235: "Asia/Tokyo", 240: "Asia/Yakutsk", 241: "Asia/Chita",
    245: "Australia/Darwin", 250: "Australia/Adelaide", 255: "Australia/Sydney", 260: "Australia/Brisbane",
    265: "Australia/Hobart", 270: "Asia/Vladivostok", 274: "Australia/Lord_Howe", 275: "Pacific/Port_Moresby",
    276: "Pacific/Bougainville", 277: "Pacific/Norfolk", 278: "Asia/Sakhalin", 279: "Asia/Srednekolymsk",
    280: "Pacific/Guadalcanal", 281: "Asia/Magadan", 284: "Etc/GMT-12", 285: "Pacific/Fiji", 290: "Pacific/Auckland",
    295: "Asia/Kamchatka", 299: "Pacific/Chatham", 300: "Pacific/Tongatapu", 301: "America/Cancun",
    302: "Africa/Khartoum",
}  # fmt: skip


@cache
def zone(code: int) -> ZoneInfo:
    """The zone of a timezonecode; UTC for a code that we do not know, so that no user setting can break a query."""
    return ZoneInfo(_ZONES.get(code, "Etc/UTC"))


def codes() -> tuple[int, ...]:
    """The codes that mean a zone, in their order."""
    return tuple(_ZONES)


def known(code: int) -> bool:
    """Whether a timezonecode means a zone."""
    return code in _ZONES
