"""Names in the gallery: valid for Azure, different for different images, and the same for ever."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Literal

from hypothesis import example, given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.planning.galleries.planned import Traits, definition_name, identifier, version_name
from tests.unit.builders import image, image_paths, in_any_case

DEFINITION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9])?")
"""learn.microsoft.com, "Naming rules", Microsoft.Compute/galleries/images."""
OFFER = re.compile(r"[A-Za-z0-9._-]{0,63}[A-Za-z0-9_-]")
"""As Azure refuses others: "cannot end with period", at most 64 characters."""

_V1: Literal["V1"] = "V1"
traits = st.builds(Traits, st.just("Windows"), st.booleans(), st.sampled_from([_V1, "V2"]), st.booleans()).map(
    lambda each: replace(each, trusted_launch=each.trusted_launch and each.generation == "V2")
)
stems = st.lists(
    st.sampled_from(["Win", "Win2016", "gen2", "a.b", "a-gen2", "a_", "ä", "x" * 40, "A", "a b", "-"]),
    min_size=1,
    max_size=3,
)
plain_paths = st.builds("{}{}".format, stems.map("/".join), st.sampled_from([".json", "", ".JSON"]))
any_paths = st.one_of(image_paths, plain_paths).map(ImagePath.parse)
times = st.datetimes(datetime(2000, 1, 1), datetime(9000, 1, 1)).map(lambda each: each.replace(tzinfo=timezone.utc))


@given(any_paths, traits)
def test_azure_accepts_every_name_and_identifier(path: ImagePath, of: Traits) -> None:
    """Whatever the golden image is called."""
    name = definition_name(path, of)
    assert DEFINITION.fullmatch(name)
    publisher, offer, sku = identifier("ImageFactory", name, of)
    assert OFFER.fullmatch(offer) and OFFER.fullmatch(sku) and publisher == "ImageFactory"


@given(st.lists(st.tuples(any_paths, traits), max_size=12))
def test_paths_and_traits_have_different_names(found: list[tuple[ImagePath, Traits]]) -> None:
    """Letter case does not count, neither in paths nor in names."""
    unique = set(found)
    assert len({definition_name(path, of).lower() for path, of in unique}) == len(unique)


@given(any_paths.flatmap(lambda path: st.tuples(st.just(path), in_any_case(str(path)).map(ImagePath.parse))), traits)
@example((ImagePath.parse("stra\u00dfe.json"), ImagePath.parse("STRASSE.json")), Traits("Windows", True, "V1", False))
@example((ImagePath.parse("\u212a b.json"), ImagePath.parse("K B.json")), Traits("Windows", True, "V1", False))
def test_the_letter_case_of_a_path_changes_no_name(paths: tuple[ImagePath, ImagePath], of: Traits) -> None:
    """So that a renamed golden image keeps its definition, as its images keep their image path."""
    one, other = paths
    if one == other:
        assert definition_name(one, of).lower() == definition_name(other, of).lower()


def test_names_stay_as_they_are() -> None:
    """The name of a definition cannot change: another one would be created beside it."""
    generation1 = Traits("Windows", True, "V1", False)
    trusted = Traits("Windows", False, "V2", True)
    assert definition_name(ImagePath.parse("Win2016/Datacenter.json"), generation1) == "Win2016.Datacenter"
    name = definition_name(ImagePath.parse("Win2016/Datacenter.json"), trusted)
    assert name == "Win2016.Datacenter-gen2-trusted-specialized"
    assert definition_name(ImagePath.parse("Win 11/a.b.json"), generation1) == "Win_11_a_b-add35486"


@given(times, times)
def test_versions_sort_as_the_times_of_saving(one: datetime, other: datetime) -> None:
    """Their three integers compare like the times, to the second and in any time zone; each fits into 31 bits, as Azure
    requires."""
    numbers = []
    for at in (one, other):
        zone = timezone(timedelta(hours=at.hour - 12))
        name = version_name(replace(image(), saved_at=at.astimezone(zone)))
        assert re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", name)
        numbers.append([int(part) for part in name.split(".")])
    assert all(part < 2**31 for each in numbers for part in each)
    seconds = [at.replace(microsecond=0) for at in (one, other)]
    assert (numbers[0] < numbers[1], numbers[0] == numbers[1]) == (seconds[0] < seconds[1], seconds[0] == seconds[1])
