"""Timestamps of companions: the culture of the build agent is unknown, so a string can have several readings.

Defines the supported formats (only numeric ones, which are independent of the locale). Does not guess between readings.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_NEAR = timedelta(hours=36)
"""How far a reading may be from the VHD's Last-Modified to be chosen: a save takes hours, and time zones differ."""

_TIME = r" (?P<H>[0-9]{1,2}):(?P<M>[0-9]{2})(:(?P<S>[0-9]{2}))?( ?(?P<half>[AaPp])\.? ?[Mm]\.?)?"
_FORMATS = tuple(
    re.compile(date + time)
    for date, time in (
        (r"(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})/(?P<y>[0-9]{4})", _TIME),
        (r"(?P<d>[0-9]{1,2})/(?P<m>[0-9]{1,2})/(?P<y>[0-9]{4})", _TIME),
        (r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[0-9]{4})", _TIME),
        (r"(?P<d>[0-9]{1,2})-(?P<m>[0-9]{1,2})-(?P<y>[0-9]{4})", _TIME),
        (r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})", _TIME),
        (r"(?P<y>[0-9]{4})/(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})", _TIME),
        (
            r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})[T ]",
            r"(?P<H>[0-9]{2}):(?P<M>[0-9]{2})(:(?P<S>[0-9]{2})([.,](?P<f>[0-9]{1,9}))?)?"
            r"( ?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2}))?",
        ),
    )
)
_MILLISECONDS = re.compile(r"/Date\((-?[0-9]{1,15})([+-][0-9]{4})?\)/")
_SPACES, _MARKS = re.compile(r"\s+"), re.compile("[\u200e\u200f]")


def readings(text: str) -> frozenset[datetime]:
    """Return every time (UTC) that the string can mean; without a zone it is UTC, as the older scripts wrote it."""
    text = _SPACES.sub(" ", _MARKS.sub("", text)).strip()
    moments = [_moment(match) for match in (form.fullmatch(text) for form in _FORMATS) if match]
    if match := _MILLISECONDS.fullmatch(text):
        try:
            moments.append(datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=int(match[1])))
        except OverflowError:
            return frozenset()
    return frozenset(moment for moment in moments if moment)


def only_reading(text: object) -> datetime | None:
    """Return the time that the value means; None if it is not a string, is invalid or is ambiguous."""
    moments = readings(text) if isinstance(text, str) else frozenset()
    return next(iter(moments)) if len(moments) == 1 else None


def read_timestamp(text: str, last_modified: datetime) -> datetime | None:
    """Return the time that the string means; of several readings the only one near `last_modified`; None if unknown."""
    moments = readings(text)
    near = [moment for moment in moments if abs(moment - last_modified) <= _NEAR]
    chosen = near if len(moments) > 1 else list(moments)
    return chosen[0] if len(chosen) == 1 else None


def _moment(match: re.Match[str]) -> datetime | None:
    found = match.groupdict()
    hour, half = int(found["H"]), (found.get("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    zone, offset = found.get("zone") or "Z", timedelta()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
    microseconds = int((found.get("f") or "0").ljust(6, "0")[:6])
    try:
        day = (int(found["y"]), int(found["m"]), int(found["d"]))
        at = datetime(*day, hour, int(found["M"]), int(found["S"] or 0), microseconds, tzinfo=timezone.utc)
        return at - offset
    except (ValueError, OverflowError):
        return None
