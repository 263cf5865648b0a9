"""What of the factory can go: rules that hold whatever it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.catalog import BrokenCompanion, Catalog, LeftOut
from imagefactory.companion import DataDisk, FactoryImage
from imagefactory.faults import error
from imagefactory.image_path import ImagePath, fold
from imagefactory.lineage import Lineage
from imagefactory.pruning import PrunePlan, PruneRules, keep_warnings, pinned_names, plan_prune, stacks_keep
from imagefactory.staging_needs import StagedVhd, StagingNeeds
from imagefactory.stored_blobs import StoredBlob
from tests.unit.domain.builders import NOON, catalog, image, paths

ACCOUNT = "/storage/factory"
NOBODY = StagingNeeds(frozenset(), frozenset(), frozenset(), frozenset(), all_read=True)
LATER = NOON + timedelta(days=30)
JUNK = error("companion", "is junk", "not distributed", "Mend it")


def blob(name: str, at: datetime = NOON, **changes: Any) -> StoredBlob:
    """A blob of the factory, written at noon."""
    return StoredBlob(ACCOUNT, "imagefactoryvhds", name, 512, "1", at, **changes)


def files(*images: FactoryImage) -> list[StoredBlob]:
    """VHD, companion and manifest of each image."""
    stems = [image.vhd_name.removesuffix(".vhd") for image in images]
    return [blob(f"{stem}{suffix}") for stem in stems for suffix in (".vhd", ".json", ".ranges.json.gz")]


def plan(
    found: Catalog, blobs: Sequence[StoredBlob], rules: PruneRules, *staged: StagedVhd, needs: StagingNeeds = NOBODY
) -> PrunePlan:
    """The plan a month later."""
    return plan_prune(found, blobs, rules, staged, needs, LATER)


@dataclass(frozen=True)
class Factory:
    """Whatever a factory may hold, and who pins what."""

    images: tuple[FactoryImage, ...]
    broken: tuple[str, ...]
    dead: tuple[str, ...]
    rules: PruneRules

    @property
    def catalog(self) -> Catalog:
        """With all that is wrong."""
        broken = tuple(BrokenCompanion(f"{stem}.vhd", f"{stem}.json", JUNK) for stem in self.broken)
        left_out = tuple(LeftOut(f"{stem}.vhd", JUNK) for stem in self.dead)
        return catalog(*self.images, broken=broken, left_out=left_out)

    @property
    def blobs(self) -> list[StoredBlob]:
        """Of all of it."""
        return [
            *files(*self.images),
            *(blob(f"{stem}{suffix}") for stem in self.broken for suffix in (".vhd", ".json", ".lun0.vhd")),
            *(blob(f"{stem}{suffix}") for stem in self.dead for suffix in (".vhd", ".save", ".lun1.vhd")),
        ]

    @property
    def plan(self) -> PrunePlan:
        """What goes."""
        return plan(self.catalog, self.blobs, self.rules)


@st.composite
def factories(draw: st.DrawFn) -> Factory:
    """Several images of few paths, of few moments, some undated, some of one name, some with a VM; junk beside them."""
    images = []
    for n in range(draw(st.integers(0, 9))):
        made = image(draw(st.sampled_from(["a", "B", f"Name{n}"])), draw(paths), draw(st.integers(0, 4)), f"{n}.vhd")
        if draw(st.booleans()):
            made = replace(made, saved_at_source="last-modified")
        images.append(replace(made, lineage=Lineage(vm=draw(st.sampled_from(["", "/VM/1", "/vm/2"])))))
    pins = draw(st.sets(st.sampled_from(["A", "name1", "NAME3", "nobody"])))
    rules = PruneRules(draw(st.integers(1, 3)), pinned_names({"dev": pins}), {"/vm/1": "one"})
    stems = st.sampled_from(["x", "y", "z"])
    broken = draw(st.sets(stems, max_size=2))
    guid = "0f8fad5b-d9cb-469f-a165-7086772895"
    dead = draw(st.sets(st.sampled_from([f"{guid}0a", f"{guid}0b", "by-hand"])))
    return Factory(tuple(images), tuple(sorted(broken)), tuple(sorted(dead)), rules)


@given(factories())
def test_what_must_stay_stays(factory: Factory) -> None:
    """Pinned, undated, broken, of a VM that stands, and the newest good one of each path."""
    gone = {blob.name for deletion in factory.plan.deletions for blob in deletion.blobs}
    for each in factory.images:
        undated = each.saved_at_source == "last-modified"
        if undated or fold(each.name) in factory.rules.pins or each.lineage.vm.lower() in factory.rules.vms:
            assert each.vhd_name not in gone
    for stem in factory.broken:
        assert not {f"{stem}.vhd", f"{stem}.json", f"{stem}.lun0.vhd"} & gone
    for path in {each.image_path for each in factory.images}:
        good = [each for each in factory.catalog.images if each.image_path == path]
        assert [each for each in good if each.vhd_name not in gone]
        dated = [each for each in good if each.saved_at_source == "companion"]
        assert {each.vhd_name for each in dated[: factory.rules.keep]}.isdisjoint(gone)


@given(factories())
def test_no_more_stay_than_shall(factory: Factory) -> None:
    """At most `keep` of a path that nothing else protects; an older one of a taken name is none that labs get."""
    gone = {blob.name for deletion in factory.plan.deletions for blob in deletion.blobs}
    names: set[str] = set()
    stay: Counter[ImagePath] = Counter()
    for each in factory.catalog.images:
        protected = fold(each.name) in factory.rules.pins or each.lineage.vm.lower() in factory.rules.vms
        is_twin = fold(each.name) in names
        names.add(fold(each.name))
        if not protected and not is_twin and each.saved_at_source == "companion" and each.vhd_name not in gone:
            stay[each.image_path] += 1
    assert all(count <= factory.rules.keep for count in stay.values())


@given(factories())
def test_every_save_is_told_once_and_no_blob_goes_twice(factory: Factory) -> None:
    """Each VHD is in one deletion, or kept, or reported."""
    found = factory.plan
    gone = Counter(blob.name for deletion in found.deletions for blob in deletion.blobs)
    assert set(gone.values()) <= {1} and set(gone) <= {blob.name for blob in factory.blobs}
    told = Counter(name for name in gone if name.endswith(".vhd") and ".lun" not in name)
    told.update(one.vhd or one.name for one in found.kept)
    told.update(one.name for one in found.reported)
    expected = [each.vhd_name for each in factory.images] + [f"{stem}.vhd" for stem in factory.broken + factory.dead]
    assert told == Counter(expected)


@given(factories())
def test_a_companion_goes_with_its_vhd_and_before_it(factory: Factory) -> None:
    """Neither ever goes alone."""
    for deletion in factory.plan.deletions:
        if deletion.kind == "image":
            names = [blob.name for blob in deletion.blobs]
            assert names[0].endswith(".json") and names[1] == names[0].replace(".json", ".vhd")


@given(factories(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_listed_does_not_matter(factory: Factory, random: Any) -> None:
    """The same factory gives the same plan."""
    blobs = factory.blobs
    random.shuffle(blobs)
    assert plan(factory.catalog, blobs, factory.rules) == factory.plan


@pytest.mark.parametrize(("age", "goes"), [(timedelta(hours=23), False), (timedelta(hours=24), True)])
def test_an_unfinished_save_goes_a_day_after_the_last_write_to_any_of_its_blobs(age: timedelta, goes: bool) -> None:
    """Its record is written to as well."""
    guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    old = [blob(f"{guid}.vhd"), blob(f"{guid}.lun2.vhd"), blob("image.name", metadata={"guid": guid})]
    found = plan(Catalog(()), [*old, blob(f"{guid}.save", LATER - age)], PruneRules(1))
    assert bool(found.deletions) == goes
    assert [len(one.blobs) for one in found.deletions] == ([4] if goes else [])


def test_a_vhd_that_is_another_images_data_disk_is_no_unfinished_save() -> None:
    """Whatever its name."""
    guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    owner = replace(image("a"), data_disks=(DataDisk(0, f"{guid}.vhd"),))
    found = plan(catalog(owner), [*files(owner), blob(f"{guid}.vhd")], PruneRules(1))
    assert found.deletions == () and found.reported == ()


def test_a_pin_holds_in_any_letter_case_and_tells_who_pins() -> None:
    """As Azure compares the names of images."""
    newest, old = image("New", age=0), image("Old", age=1)
    rules = PruneRules(1, pinned_names({"dev": {"OLD"}, "prod": {"old"}, "test": {"other"}}))
    found = plan(catalog(newest, old), files(newest, old), rules)
    assert [one.reason for one in found.kept if one.name == "Old"] == ["pinned by stack 'dev', stack 'prod'"]
    assert found.deletions == ()


def test_an_older_image_of_a_taken_name_does_not_count() -> None:
    """Labs get the newest VHD of a name, so the next name is one that they hold."""
    newest, twin, held = image("a", age=0), image("A", age=1, vhd_name="twin.vhd"), image("b", age=2)
    old = image("c", age=3)
    found = plan(catalog(newest, twin, held, old), files(newest, twin, held, old), PruneRules(2))
    assert [one.name for one in found.deletions] == ["c"]


@pytest.mark.parametrize(
    ("needs", "stays"),
    [
        (NOBODY, ""),
        (replace(NOBODY, to_be_made={"u1"}), "yet to be made"),
        (replace(NOBODY, sources={("/storage/lab", "s.vhd")}), "yet to be made"),
        (replace(NOBODY, being_read={("/storage/lab", "s.vhd")}), "makes an image from it"),
        (replace(NOBODY, being_read={("/storage/other", "s.vhd")}), ""),
        (replace(NOBODY, all_read=False), "could not be read"),
        (replace(NOBODY, all_read=False, known={"u1", "u2"}), ""),
    ],
)
def test_a_staged_vhd_stays_while_somebody_needs_it(needs: StagingNeeds, stays: str) -> None:
    """In its own account; one whose users are all known to be served goes."""
    staged = StagedVhd(replace(blob("S.vhd"), account_id="/storage/LAB"), {"u1", "u2"})
    found = plan(Catalog(()), [], PruneRules(1), staged, needs=needs)
    if stays:
        assert stays in found.kept[0].reason and not found.deletions
    else:
        assert [one.name for one in found.deletions] == ["LAB: S.vhd"]


@pytest.mark.parametrize(
    ("keeps", "keep", "warned"),
    [({"a": 2, "b": 3}, 3, ["b"]), ({"a": 2, "b": None}, None, ["b"]), ({}, None, []), ({"a": 2}, 2, [])],
)
def test_the_largest_keep_of_the_stacks_is_kept(
    keeps: dict[str, int | None], keep: int | None, warned: list[str]
) -> None:
    """None where a stack's labs hold all; a smaller one than a stack's own is a warning."""
    assert stacks_keep(keeps) == keep
    assert [fault.subject for fault in keep_warnings(2, keeps)] == [f"stack '{name}'" for name in warned]
