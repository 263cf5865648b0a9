"""ARM ids from outside must have exactly the form of their type."""

from __future__ import annotations

import re
from string import ascii_letters, digits

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imagefactory.configuration.image_names import is_listable
from imagefactory.observed.arm_ids import (
    CUSTOM_IMAGE,
    DISK,
    LAB,
    LAB_VIRTUAL_MACHINE,
    STORAGE_ACCOUNT,
    VIRTUAL_MACHINE,
    ArmType,
    is_account_name,
)
from tests.unit.builders import SUBSCRIPTION

TYPES = [CUSTOM_IMAGE, DISK, LAB, LAB_VIRTUAL_MACHINE, STORAGE_ACCOUNT, VIRTUAL_MACHINE]
HOSTILE = "?#%\\/@&<> \t\r\n\0\x7f"


def id_of(kind: ArmType, *names: str, group: str = "Prüfung_(1).a-b", subscription: str = SUBSCRIPTION) -> str:
    """An id of that type."""
    provider, *kinds = kind.title.split("/")
    parts = "".join(f"/{each}/{name}" for each, name in zip(kinds, names, strict=True))
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{provider}{parts}"


def plain(kind: ArmType) -> str:
    """An id with plain names."""
    return id_of(kind, *["store1"] * len(kind.names))


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.title)
def test_an_id_of_its_type_is_parsed_case_insensitively_into_its_parts(kind: ArmType) -> None:
    """Azure returns ids in varying case."""
    for text in (plain(kind), plain(kind).lower(), plain(kind).upper()):
        found = kind.parse(text)
        assert found and found.text == text and found.name.lower() == "store1"
        assert found.subscription_id.lower() == SUBSCRIPTION.lower()
        assert found.resource_group.lower() == "Prüfung_(1).a-b".lower()


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.title)
def test_an_id_of_one_type_is_none_of_another(kind: ArmType) -> None:
    """Nor is an id with a prefix or suffix."""
    assert [other.title for other in TYPES if other.parse(plain(kind))] == [kind.title]
    for text in (f"{plain(kind)}/", f"{plain(kind)}\n", f" {plain(kind)}", f"x{plain(kind)}", plain(kind)[1:]):
        assert kind.parse(text) is None
    for value in (f"{plain(kind)}/deallocate?x=", f"{plain(kind)}/beginGetAccess", ".attacker.example/x", "", None, 5):
        assert kind.parse(value) is None


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.title)
@given(data=st.data())
def test_no_id_holds_what_has_a_meaning_in_a_url(kind: ArmType, data: st.DataObject) -> None:
    """In any position: a space where Azure has none, a query, an escape, an empty part, dots instead of a name."""
    text = plain(kind)
    place = data.draw(st.integers(0, len(text)))
    found = kind.parse(text[:place] + data.draw(st.sampled_from(HOSTILE)) + text[place:])
    # Of these, the factory's own names of images may have two, which mean nothing in a path.
    assert found is None or (kind is CUSTOM_IMAGE and re.sub("[ @]", "", found.name) == "store1")
    part = data.draw(st.sampled_from(["", ".", "..", "...", "%2e%2e"]))
    parts = text.split("/")
    parts[data.draw(st.integers(1, len(parts) - 1))] = part
    assert kind.parse("/".join(parts)) is None


@given(st.sampled_from(TYPES), st.text(max_size=40))
def test_no_other_text_is_an_id(kind: ArmType, text: str) -> None:
    """Also if its letters only look like those of a type, or fold to them."""
    assert kind.parse(text) is None
    assert kind.parse(plain(kind).replace("k", "\u212a").replace("s", "\u017f")) is None


@given(st.text(min_size=1, max_size=80))
def test_a_custom_image_may_have_every_name_that_the_factory_gives_one(name: str) -> None:
    """So that no image of the factory makes its lab unreadable."""
    assume(is_listable(name))
    assert CUSTOM_IMAGE.parse(id_of(CUSTOM_IMAGE, "lab", name))


def test_names_are_as_long_as_azure_lets_them_be() -> None:
    """Longer names are rejected."""
    for kind, longest in ((DISK, 80), (VIRTUAL_MACHINE, 80), (LAB, 50), (STORAGE_ACCOUNT, 24)):
        assert kind.parse(id_of(kind, "a" * longest)) and not kind.parse(id_of(kind, "a" * (longest + 1)))
    assert DISK.parse(id_of(DISK, "golden_OsDisk_1.0-a")) and not STORAGE_ACCOUNT.parse(id_of(STORAGE_ACCOUNT, "ab"))
    assert not DISK.parse(id_of(DISK, "a", group="g" * 91)) and not DISK.parse(id_of(DISK, "a", group="ends."))
    assert not DISK.parse(id_of(DISK, "a", subscription="s"))


@given(st.text(max_size=30))
def test_a_name_of_a_storage_account_is_letters_and_digits(name: str) -> None:
    """3 to 24 of ASCII: nothing else becomes part of a host."""
    expected = 3 <= len(name) <= 24 and not set(name) - set(ascii_letters + digits)
    assert is_account_name(name) is expected


@pytest.mark.parametrize(
    "name", ["a@b", "a.example", "a/b", "abc\n", "ab", "a" * 25, "a-b", "abc:8", "\u212aelvin", ""]
)
def test_what_could_change_a_host_is_no_name_of_a_storage_account(name: str) -> None:
    """Also characters that fold to a letter."""
    assert not is_account_name(name)


def test_a_listed_resource_has_the_id_of_its_own_name() -> None:
    """Case-insensitive; the id of another resource is rejected."""
    listed = {"id": id_of(LAB, "Web-Team"), "name": "web-team"}
    assert LAB.of(listed) and not LAB.of({**listed, "name": "other"}) and not LAB.of({"name": "web-team"})


def test_the_fact_names_the_type_and_cuts_what_is_long() -> None:
    """A record may contain 8 KiB of it."""
    fact = DISK.fact("its disk", "x" * 9000)
    assert re.fullmatch(r'its disk "x{200}" is not an id of a Microsoft\.Compute/disks', fact)
