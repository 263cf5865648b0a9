"""Values of the domain with sensible defaults, and hypothesis strategies for them.

Contains nothing that a test asserts on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, Selector
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.loading import Configuration
from imagefactory.diagnostics import Diagnostic, Location
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.images.companions import FactoryImage, VhdBlob
from imagefactory.observed.standing_labs import LabFacts, StandingImage

SUBSCRIPTION = "22222222-2222-2222-2222-22222222222a"
MIB = 1024 * 1024
NOON = datetime(2026, 3, 14, 12, tzinfo=timezone.utc)

paths = st.sampled_from(["Win2016/Datacenter.json", "Win2016/SQL.json", "Ubuntu/Jammy.json", "Win2016Core/Base.json"])
words = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=12)
components = words.filter(lambda word: word.strip() and word not in {".", ".."} and word[1:2] != ":")
image_paths = st.lists(components, min_size=1, max_size=4).map("/".join)


def examples(number: int) -> settings:
    """More examples than the suite's usual 40; with the profile `few`, which has a tenth, a tenth of them."""
    usual = settings.default.max_examples if settings.default else 40
    return settings(max_examples=number * min(usual, 40) // 40)


def in_any_case(text: str) -> st.SearchStrategy[str]:
    """The text with each letter in either case."""
    letters = (st.sampled_from([each, each.swapcase()]) for each in text)
    return st.tuples(*letters).map("".join)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def vhd(name: str = "a.vhd", **changes: Any) -> VhdBlob:
    """A complete VHD of 64 MiB, written on 14 March 2026 at noon."""
    facts: dict[str, Any] = {"length": 64 * MIB + 512, "created": NOON, "last_modified": NOON, **changes}
    return VhdBlob(name, **facts)


def companion(vhd_name: str = "a.vhd", encoding: str = "utf-8", **changes: Any) -> bytes:
    """A companion document of the older scripts; a change to None removes the key."""
    facts = {
        "imageName": "Win2016_Datacenter-Mar-14-2026",
        "imagePath": "Win2016\\Datacenter.json",
        "description": "Windows Server",
        "osType": "Windows",
        "vhdFileName": vhd_name,
        "timestamp": "3/14/2026 11:50:00 AM",
        **changes,
    }
    return json.dumps({key: value for key, value in facts.items() if value is not None}).encode(encoding)


def image(
    name: str = "image", path: str = "Win2016/Datacenter.json", age: int = 0, vhd_name: str | None = None
) -> FactoryImage:
    """A factory image saved `age` hours before noon."""
    saved_at = NOON - timedelta(hours=age)
    vhd_name = vhd_name or f"{name}.vhd"
    parsed = ImagePath.parse(path)
    return FactoryImage(
        name, parsed, "", "", "Windows", True, saved_at, "companion", vhd_name, 64 * MIB + 512, saved_at
    )


def catalog(*images: FactoryImage, **others: Any) -> Catalog:
    """A catalog of these images."""
    return Catalog(newest_first(images), **others)


def lab(name: str = "team", selectors: Iterable[str] = ("Win2016",), subscription_id: str = SUBSCRIPTION) -> TargetLab:
    """A target lab."""
    return TargetLab(subscription_id, name, None, tuple(map(Selector.parse, selectors)), Location("labs.json", 3, 5))


def facts(name: str = "team", *images: StandingImage, **changes: Any) -> LabFacts:
    """A lab that can get images."""
    lab_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.DevTestLab/labs/{name}"
    values: dict[str, Any] = {"storage_account_id": "/storage/account", "region": "westeurope", **changes}
    return LabFacts(lab_id, SUBSCRIPTION, "rg", name, images=images, **values)


def standing(name: str = "image", **changes: Any) -> StandingImage:
    """A finished image in the lab `team` that the factory created."""
    values: dict[str, Any] = {
        "state": "Succeeded",
        "image_path": "Win2016\\Datacenter.json",
        "source_vhd": None,
        "vhd_url": None,
        **changes,
    }
    return StandingImage(f"{facts().id}/customImages/{name}", name, **values)


def configuration(*labs: TargetLab) -> Configuration:
    """A configuration of these labs."""
    return Configuration(labs, ())


def write_configuration(directory: Path, labs: Any, *golden_images: str, name: str = "labs.json") -> Path:
    """A configuration folder; `labs` is the document of the labs file, or its text or bytes."""
    for golden_image in golden_images:
        file = directory / "GoldenImages" / golden_image
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    text = labs if isinstance(labs, str | bytes) else json.dumps(labs, indent=2)
    (directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return directory


def names_file_once(diagnostic: Diagnostic) -> bool:
    """Whether the file of a diagnostic, if it has one, is in its location only."""
    place = diagnostic.location
    return not place or Path(place.file).name not in diagnostic.placed().removeprefix(f"{place}: ")


def entry(**changes: Any) -> dict[str, Any]:
    """An entry of labs.json."""
    return {"SubscriptionId": SUBSCRIPTION, "LabName": "team", "ImagePaths": ["Win2016"], **changes}
