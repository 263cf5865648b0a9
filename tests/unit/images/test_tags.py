"""The tags of custom images and lab VMs: read as written, and named in one module only."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.images.lineage import Lineage
from imagefactory.images.tags import DIGEST_TAG, ImageTags, by_lower_name, read, write
from tests.unit.builders import image, image_paths

PRODUCT = ("imagefactory", "components", "providers")
WHOLE = Lineage(vm="/x/virtualmachines/golden", disk="/disks/1", commit="abc", pipeline_run="https://ci/1")
names = st.from_regex(r"[A-Za-z0-9_.-]{1,100}", fullmatch=True)
stacks = st.just("") | st.builds("{}/{}".format, names, names)
moments = st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.just(timezone.utc))


@given(image_paths, moments, st.none() | st.integers(2, 99), st.booleans(), stacks)
def test_what_is_written_is_read(path: str, saved_at: datetime, attempt: int | None, upper: bool, stack: str) -> None:
    """Times to the second; names in any case, as Azure may return them."""
    made = replace(image("a", path), saved_at=saved_at, lineage=WHOLE)
    listed = {name.upper() if upper else name: value for name, value in write(made, attempt, stack).items()}
    assert read(listed) == ImageTags(
        str(made.image_path), "a.vhd", saved_at.replace(microsecond=0), attempt or 1, stack or None
    )


@pytest.mark.parametrize("tags", [None, {}, {"Owner": "me", "Attempt": "many", "savedat": "06/07/2026 10:00"}])
def test_values_of_others_are_skipped(tags: dict[str, object] | None) -> None:
    """Values that are not a number, not a date, or an ambiguous date."""
    assert read(tags) == ImageTags(None, None, None, 1)


@pytest.mark.parametrize(
    "value", ["production", "a/b/c", "/dev", "a/", "a/dev; rm -rf x", "a/$(x)", "a/dev\n", "ä/dev"]
)
def test_a_tag_stack_of_another_form_is_not_a_stack(value: str) -> None:
    """Tags of that name have other uses, and the value is part of a command in a message."""
    assert read({"Stack": value}).stack is None


def test_a_stack_whose_name_does_not_fit_into_a_tag_is_not_written() -> None:
    """Azure rejects an image with a tag of more than 256 characters."""
    assert write(image("a"), stack=f"p/{'s' * 255}") == write(image("a"))


def test_names_are_compared_case_insensitively() -> None:
    """Azure compares names case-insensitively; a tag without value is ignored."""
    assert by_lower_name({"FactoryIgnore": True, "IMAGEPATH": "a.json", "x": None}) == {
        "factoryignore": "True",
        "imagepath": "a.json",
    }


def test_the_lineage_is_written_as_far_as_it_is_known_and_fits() -> None:
    """Azure rejects an image with a tag of more than 256 characters."""
    made = Lineage(vm="/x/virtualmachines/golden", disk="d" * 257, commit="abc")
    assert write(replace(image("a"), lineage=made)).keys() - write(image("a")).keys() == {"SourceVm", "Commit"}
    assert write(replace(image("a"), lineage=made))["SourceVm"] == "golden"


def test_no_other_module_names_a_tag_of_a_custom_image() -> None:
    """To add or rename a tag changes one module."""
    names = {*write(replace(image("a"), lineage=WHOLE), 2, "p/dev"), DIGEST_TAG}
    assert len(names) == 10
    root = Path(__file__).parents[3]
    modules = [
        path for part in PRODUCT for path in (root / part).rglob("*.py") if path != root / "imagefactory/images/tags.py"
    ]
    texts = {path.name: set(re.findall(r"""["'](\w+)["']""", path.read_text("utf-8"))) for path in modules}
    told = {name: found & names for name, found in texts.items() if found & names}
    assert told == {}
