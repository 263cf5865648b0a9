"""Timestamps in the cultures of build agents."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.images.timestamps import read_timestamp, readings

UTC = timezone.utc
JUNE = datetime(2020, 6, 26, 10, 11, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "6/26/2020 10:11:12 AM",
        "6/26/2020 10:11:12\u202fAM",
        "06/26/2020 10:11:12",
        "26/06/2020 10:11:12",
        "26.06.2020 10:11:12",
        "26.6.2020 10:11:12",
        "2020-06-26 10:11:12",
        "2020/6/26 10:11:12",
        "26-06-2020 10:11:12",
        "26-6-2020 10:11:12 a.m.",
        "2020-06-26T10:11:12Z",
        "2020-06-26T12:11:12+02:00",
        "2020-06-26T04:41:12-0530",
        "2020-06-26T10:11:12.0000000Z",
        "/Date(1593166272000)/",
        "/Date(1593166272000+0200)/",
    ],
)
def test_cultures_are_read(text: str) -> None:
    """The same time in every format, independent of Last-Modified."""
    assert read_timestamp(text, datetime(1999, 1, 1, tzinfo=UTC)) == JUNE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "26 juin 2020 10:11:12",
        "13/13/2020 1:00",
        "2/30/2020 10:00",
        "6/26/2020 13:00 PM",
        "6/26/2020 0:10 AM",
        "6/26/20 10:11:12",
        "٦/٢٦/٢٠٢٠ 10:11:12",
        "/Date(999999999999999)/",
        "0001-01-01T00:00:00+14:00",
        "6/26/2020",
    ],
)
def test_an_invalid_timestamp_has_no_reading(text: str) -> None:
    """Words, impossible days and two-digit years are invalid."""
    assert readings(text) == frozenset()
    assert read_timestamp(text, JUNE) is None


def test_of_two_readings_the_one_near_last_modified_is_used() -> None:
    """3 April or 4 March: only the VHD's Last-Modified decides."""
    text = "3/4/2020 10:00:00 PM"
    assert read_timestamp(text, datetime(2020, 3, 5, 1, tzinfo=UTC)) == datetime(2020, 3, 4, 22, tzinfo=UTC)
    assert read_timestamp(text, datetime(2020, 4, 3, 1, tzinfo=UTC)) == datetime(2020, 4, 3, 22, tzinfo=UTC)


def test_two_readings_are_never_guessed_between() -> None:
    """Neither or both are near Last-Modified."""
    assert read_timestamp("3/4/2020 10:00", datetime(2021, 1, 1, tzinfo=UTC)) is None
    assert read_timestamp("1/2/2020 10:00", datetime(2020, 1, 17, tzinfo=UTC)) is None


def test_readings_that_agree_are_one() -> None:
    """4/4/2020 is 4 April in every culture."""
    assert read_timestamp("4/4/2020 10:00", datetime(2030, 1, 1, tzinfo=UTC)) == datetime(2020, 4, 4, 10, tzinfo=UTC)


@given(st.text(), st.datetimes(timezones=st.just(UTC)))
def test_any_text_is_read_or_not_but_never_raises(text: str, last_modified: datetime) -> None:
    """The result is one of the readings."""
    moment = read_timestamp(text, last_modified)
    assert moment is None or moment in readings(text)


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(
        [
            "{m}/{d}/{y} {h}:{M:02}:{S:02} {half}",
            "{d}/{m}/{y} {H}:{M:02}:{S:02}",
            "{d}.{m}.{y} {H:02}:{M:02}:{S:02}",
            "{y}-{m:02}-{d:02} {H:02}:{M:02}:{S:02}",
            "{y}/{m}/{d} {H}:{M:02}:{S:02}",
            "{d}-{m}-{y} {H}:{M:02}:{S:02}",
        ]
    ),
    st.timedeltas(timedelta(hours=-24), timedelta(hours=24)),
)
def test_every_moment_in_every_culture_is_read_back_or_not_at_all(moment: datetime, form: str, lag: timedelta) -> None:
    """With a Last-Modified within a day, the result is the original time; never another time."""
    moment = moment.replace(microsecond=0)
    clock = {"h": (moment.hour + 11) % 12 + 1, "half": "AM" if moment.hour < 12 else "PM", "H": moment.hour}
    text = form.format(y=moment.year, m=moment.month, d=moment.day, M=moment.minute, S=moment.second, **clock)
    read = read_timestamp(text, moment + lag)
    near = [other for other in readings(text) if abs(other - (moment + lag)) <= timedelta(hours=36)]
    assert read == moment if len(near) == 1 else read is None
