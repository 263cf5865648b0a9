"""Names of custom images."""

from __future__ import annotations

import locale
import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_names import (
    MAX_LENGTH,
    image_name,
    is_listable,
    name_beside,
    name_problem,
    path_problem,
)
from imagefactory.configuration.image_paths import ImagePath, fold
from tests.unit.builders import components, image_paths


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


long_paths = st.lists(components | st.text("aB9_-. (+", min_size=1, max_size=90).map("a".__add__), min_size=1).map(
    "/".join
)


@given(image_paths | long_paths, st.dates(), st.integers(0, 60))
def test_names_of_one_day_are_valid_and_never_collide(path: str, day: date, count: int) -> None:
    """Any number of images of one day have different names that Azure accepts, and the day stays readable."""
    taken: list[str] = []
    for _ in range(count):
        taken.append(image_name(ImagePath.parse(path), day, taken))
        assert name_problem(taken[-1]) is None
        assert re.search(rf"-{day.day}-{day.year}[A-Z]*$", taken[-1])
    assert len({fold(name) for name in taken}) == count


@given(image_paths | long_paths, image_paths | long_paths, st.dates())
def test_two_paths_share_a_name_only_if_azure_accepts_it_as_they_have_it(path: str, other: str, day: date) -> None:
    """A name that had to be altered is the same for a path in any case, and that of no other path."""
    first, second = ImagePath.parse(path), ImagePath.parse(other)
    if first != second and path_problem(first):
        assert image_name(first, day) != image_name(second, day)
    if first == second:
        assert fold(image_name(first, day)) == fold(image_name(second, day))


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("C++/Tools.json", "C_Tools"),
        ("C#/Tools.json", "C_Tools"),
        ("_Base/Win.json", "Base_Win"),
        ("Win2019 (Core), EN/IIS+SQL.json", "Win2019-Core-EN_IIS-SQL"),
        ("日本/Büro.json", "Buro"),
        ("a/" + "x" * 97 + ".json", "a_" + "x" * 59),
    ],
)
def test_a_name_that_azure_would_reject_is_altered(path: str, stem: str) -> None:
    """Readable parts are kept; 6 hex digits distinguish it from the altered names of other paths."""
    name = image_name(ImagePath.parse(path), date(2026, 3, 14))
    assert re.fullmatch(rf"{stem}-[0-9a-f]{{6}}-Mar-14-2026", name) and name_problem(name) is None


def test_an_altered_name_of_only_foreign_letters_is_a_hash_and_a_date() -> None:
    """No letter of it is left."""
    assert re.fullmatch(r"[0-9a-f]{6}-Mar-1-2026", image_name(ImagePath.parse("日本.json"), date(2026, 3, 1)))


@given(image_paths | long_paths, st.dates(date(1000, 1, 1)))
def test_a_path_without_problem_names_its_images_as_the_older_scripts_did(path: str, day: date) -> None:
    """Its stem is the same on all days, also on those with a shorter date."""
    parsed = ImagePath.parse(path)
    plain = re.sub(r"\.json", "", "_".join(parsed.parts[-2:]), flags=re.IGNORECASE)
    unaltered = image_name(parsed, day).startswith(plain.replace(".", "_").replace(" ", "-") + day.strftime("-%b-"))
    assert unaltered is (path_problem(parsed) is None)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "a/b", "a\\b", "a?", "a#", "50%", "a&b", "<a>", "a\tb", "a\n", "a.", "a-", "a ", "a" * 81),
        *("_a", "-a", ".a", "a b", "a(1)", "a+b", "a,b", "Büro", "\u0663"),
    ],
)
def test_names_that_azure_rejects_are_reported(name: str) -> None:
    """Each name is rejected with a reason."""
    assert name_problem(name)


@pytest.mark.parametrize("name", ["a", "9", "Win2016_Datacenter-Jun-26-2020", "a.b", "a_", "a" * MAX_LENGTH])
def test_other_names_are_valid(name: str) -> None:
    """Also names of the maximum length."""
    assert name_problem(name) is None


@given(st.text() | st.text("aB9_-.( ", max_size=90))
def test_the_rule_is_that_of_the_service_in_ascii(name: str) -> None:
    """The pattern that Azure reports, which calls a letter of any script valid, without parentheses."""
    pattern = r"^[^_\W][\w\-._]{0,79}(?<![-.])\Z"
    assert (name_problem(name) is None) is (re.match(pattern, name, re.ASCII) is not None)


@given(st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,79}\Z").filter(lambda name: name_problem(name) is None), st.text())
def test_the_name_beside_a_valid_name_is_valid_and_another(name: str, vhd: str) -> None:
    """Also if the name has the maximum length."""
    beside = name_beside(name, f"{vhd}.vhd")
    assert name_problem(beside) is None and fold(beside) != fold(name)


@given(st.text() | st.text("aB9_-.( ", max_size=90))
def test_every_valid_name_can_be_in_an_id(name: str) -> None:
    """Names that exist in labs may also be others."""
    assert is_listable(name) or name_problem(name)
