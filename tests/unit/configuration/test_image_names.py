"""Names of custom images."""

from __future__ import annotations

import locale
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_names import MAX_LENGTH, image_name, name_problem
from imagefactory.configuration.image_paths import ImagePath, fold
from tests.unit.builders import image_paths


@pytest.mark.parametrize(
    ("path", "day", "name"),
    [
        ("Win2016/Datacenter.json", date(2020, 6, 26), "Win2016_Datacenter-Jun-26-2020"),
        ("Win2012R2/VS2015 Enterprise with Azure SDK.json", date(2021, 1, 2), None),
        ("Servers/Win2016/SQL.2016 Express.json", date(2020, 12, 1), "Win2016_SQL_2016-Express-Dec-1-2020"),
        ("Jammy.json", date(2022, 5, 9), "Jammy-May-9-2022"),
    ],
)
def test_a_name_is_made_of_folder_file_and_day(path: str, day: date, name: str | None) -> None:
    """The older scripts used the same names, so their images are recognized."""
    expected = name or "Win2012R2_VS2015-Enterprise-with-Azure-SDK-Jan-2-2021"
    assert image_name(ImagePath.parse(path), day) == expected


def test_a_taken_name_gets_the_next_free_letter() -> None:
    """The second image of a day gets A, the third B; names that differ only in case are the same."""
    path, day = ImagePath.parse("Win/a.json"), date(2020, 6, 26)
    base = "Win_a-Jun-26-2020"
    assert image_name(path, day, [base.upper()]) == base + "A"
    assert image_name(path, day, [base, base + "a"]) == base + "B"
    alphabet = [base, *(base + chr(letter) for letter in range(ord("A"), ord("Z") + 1))]
    assert image_name(path, day, alphabet) == base + "ZA"


def test_months_are_english_whatever_the_locale() -> None:
    """A build agent in another culture creates the same names."""
    before = locale.setlocale(locale.LC_TIME)
    available = [name for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C") if _set(name)]
    try:
        for name in available:
            locale.setlocale(locale.LC_TIME, name)
            assert image_name(ImagePath.parse("x.json"), date(2020, 5, 1)) == "x-May-1-2020"
    finally:
        locale.setlocale(locale.LC_TIME, before)


def _set(name: str) -> bool:
    try:
        locale.setlocale(locale.LC_TIME, name)
    except locale.Error:
        return False
    return True


@given(image_paths, st.dates(), st.integers(0, 60))
def test_names_of_one_day_never_collide(path: str, day: date, count: int) -> None:
    """Any number of images of one day have different names."""
    taken: list[str] = []
    for _ in range(count):
        taken.append(image_name(ImagePath.parse(path), day, taken))
    assert len({fold(name) for name in taken}) == count


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a\\b", "a?", "a#", "50%", "a&b", "<a>", "a\tb", "a.", "a ", "a" * 81]
)
def test_names_that_azure_rejects_are_reported(name: str) -> None:
    """Each name is rejected with a reason."""
    assert name_problem(name)


@pytest.mark.parametrize("name", ["a", "Win2016_Datacenter-Jun-26-2020", "a.b (1)", "a" * MAX_LENGTH, "Büro"])
def test_other_names_are_valid(name: str) -> None:
    """Names of the maximum length and with other letters are valid."""
    assert name_problem(name) is None
