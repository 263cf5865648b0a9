"""What can be deleted from the factory: rules for any content."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import BlobDiagnostic, Catalog
from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import Lineage
from imagefactory.planning.factory.prune_plan import PruneRules, keep_warnings
from imagefactory.planning.factory.staging_needs import StackPlan, StagedVhd, StagingNeeds, staging_needs
from imagefactory.planning.labs.deletion_guard import HeldImage
from imagefactory.planning.retention import largest_keep
from tests.unit.builders import catalog, configuration, facts, image, lab, standing
from tests.unit.planning.factory.prunes import JUNK, LATER, NOBODY, Factory, blob, factories, files, keeping, plan


@given(factories())
def test_what_must_be_kept_is_kept(factory: Factory) -> None:
    """Pinned, undated and broken images, those of an existing VM, and the newest good one of each path."""
    gone = {blob.name for deletion in factory.plan.deletions for blob in deletion.blobs}
    for each in factory.images:
        undated = each.saved_at_source == "last-modified"
        if undated or fold(each.name) in factory.pinned or each.lineage.vm.lower() in factory.rules.vms:
            assert each.vhd_name not in gone
    for stem in factory.broken:
        assert not {f"{stem}.vhd", f"{stem}.json", f"{stem}.lun0.vhd"} & gone
    for path in {each.image_path for each in factory.images}:
        good = [each for each in factory.catalog.images if each.image_path == path]
        assert [each for each in good if each.vhd_name not in gone]
        dated = [each for each in good if each.saved_at_source == "companion"]
        assert {each.vhd_name for each in dated[: factory.keep]}.isdisjoint(gone)


@given(factories())
def test_no_more_images_are_kept_than_required(factory: Factory) -> None:
    """Up to `keep` images of a path without other reasons; labs do not get an older image of the same name."""
    gone = {blob.name for deletion in factory.plan.deletions for blob in deletion.blobs}
    names: set[str] = set()
    stay: Counter[ImagePath] = Counter()
    for each in factory.catalog.images:
        protected = fold(each.name) in factory.pinned or each.lineage.vm.lower() in factory.rules.vms
        is_twin = fold(each.name) in names
        names.add(fold(each.name))
        if not protected and not is_twin and each.saved_at_source == "companion" and each.vhd_name not in gone:
            stay[each.image_path] += 1
    assert all(count <= factory.keep for count in stay.values())


@given(factories())
def test_every_save_is_listed_once_and_no_blob_is_deleted_twice(factory: Factory) -> None:
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
def test_a_companion_is_deleted_with_its_vhd_and_before_it(factory: Factory) -> None:
    """Neither is deleted alone."""
    for deletion in factory.plan.deletions:
        if deletion.kind == "image":
            names = [blob.name for blob in deletion.blobs]
            assert names[0].endswith(".json") and names[1] == names[0].replace(".json", ".vhd")


@given(factories(), st.randoms(use_true_random=False))
def test_the_order_of_the_listing_does_not_matter(factory: Factory, random: Any) -> None:
    """The same factory gives the same plan."""
    blobs = factory.blobs
    random.shuffle(blobs)
    assert plan(factory.catalog, blobs, factory.rules) == factory.plan


@pytest.mark.parametrize(("age", "goes"), [(timedelta(hours=23), False), (timedelta(hours=24), True)])
def test_an_unfinished_save_is_deleted_a_day_after_the_last_write(age: timedelta, goes: bool) -> None:
    """Writes to its record count too."""
    guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    old = [blob(f"{guid}.vhd"), blob(f"{guid}.lun2.vhd"), blob("image.name", metadata={"guid": guid})]
    found = plan(Catalog(()), [*old, blob(f"{guid}.save", LATER - age)], PruneRules(keeping(1)))
    assert bool(found.deletions) == goes
    assert [len(one.blobs) for one in found.deletions] == ([4] if goes else [])


@pytest.mark.parametrize("suffix", [".vhd", ".json", ".ranges.json.gz", ".lun0.vhd", ".save"])
@pytest.mark.parametrize(("age", "goes"), [(timedelta(hours=23), False), (timedelta(hours=24), True)])
def test_an_image_is_deleted_a_day_after_the_last_write(suffix: str, age: timedelta, goes: bool) -> None:
    """Independent of newer images, whose dates may be of a wrong clock."""
    old, new = image("old", age=1), image("new")
    written = blob(f"old{suffix}", LATER - age)
    others = [each for each in files(old, new) if each.name != written.name]
    found = plan(catalog(old, new), [*others, written], PruneRules(keeping(1)))
    assert bool(found.deletions) == goes
    reasons = {one.name: one.reason for one in found.kept}
    assert goes or reasons["old"] == "its last write was within the last day"


@given(st.lists(st.sampled_from(["/storage/factory", "/storage/LAB", "/storage/lab"]), max_size=9), st.integers(0, 4))
def test_the_deletion_limit_applies_to_each_storage_account_by_itself(accounts: list[str], most: int) -> None:
    """The id of an account is case-insensitive."""
    staged = [StagedVhd(replace(blob(f"{n}.vhd"), account_id=each), frozenset()) for n, each in enumerate(accounts)]
    found = plan(Catalog(()), [blob("gone.name", metadata={"guid": "gone"})], PruneRules(keeping(1)), *staged)
    counts = Counter(each.lower() for each in accounts)
    assert found.exceeding(most) == {each: count for each, count in counts.items() if count > most}


def test_a_data_disk_of_an_image_is_not_an_unfinished_save() -> None:
    """For any name."""
    guid = "0f8fad5b-d9cb-469f-a165-70867728950e"
    owner = replace(image("a"), data_disks=(DataDisk(0, f"{guid}.vhd"),))
    found = plan(catalog(owner), [*files(owner), blob(f"{guid}.vhd")], PruneRules(keeping(1)))
    assert found.deletions == () and found.reported == ()


def test_a_pin_is_case_insensitive_and_its_reason_names_the_stacks() -> None:
    """Azure ignores the case of names; a pin of another path counts too, which the next run of its stack reports."""
    newest, old, elsewhere = image("New", age=0), image("Old", age=1), ImagePath.parse("Ubuntu/Jammy.json")
    policies = {"dev": keeping(1, OLD=old.image_path)["dev"], "prod": keeping(1, old=elsewhere)["dev"]}
    rules = PruneRules({**policies, "test": keeping(1, other=old.image_path)["dev"]})
    found = plan(catalog(newest, old), files(newest, old), rules)
    assert [one.reason for one in found.kept if one.name == "Old"] == ["pinned by stack 'dev', stack 'prod'"]
    assert found.deletions == ()


def test_an_older_image_of_a_taken_name_does_not_count() -> None:
    """Labs get the newest VHD of a name, so they also have an image of the next name."""
    newest, twin, held = image("a", age=0), image("A", age=1, vhd_name="twin.vhd"), image("b", age=2)
    old = image("c", age=3)
    found = plan(catalog(newest, twin, held, old), files(newest, twin, held, old), PruneRules(keeping(2)))
    assert [one.name for one in found.deletions] == ["c"]


@pytest.mark.parametrize(
    ("needs", "stays"),
    [
        (NOBODY, ""),
        (replace(NOBODY, to_be_made={"u1"}), "not created from it yet"),
        (replace(NOBODY, sources={("/storage/lab", "s.vhd")}), "not created from it yet"),
        (replace(NOBODY, being_read={("/storage/lab", "s.vhd")}), "is creating an image from it"),
        (replace(NOBODY, being_read={("/storage/other", "s.vhd")}), ""),
        (replace(NOBODY, all_read=False), "could not be read"),
        (replace(NOBODY, all_read=False, known={"u1", "u2"}), ""),
    ],
)
def test_a_staged_vhd_is_kept_while_an_image_needs_it(needs: StagingNeeds, stays: str) -> None:
    """In its own account; a staged VHD is deleted if all its users have their images."""
    staged = StagedVhd(replace(blob("S.vhd"), account_id="/storage/LAB"), {"u1", "u2"})
    found = plan(Catalog(()), [], PruneRules(keeping(1)), staged, needs=needs)
    if stays:
        assert stays in found.kept[0].reason and not found.deletions
    else:
        assert [one.name for one in found.deletions] == ["LAB: S.vhd"]


@pytest.mark.parametrize(
    ("url", "name"), [(None, ""), ("https://[x", "[x"), ("https://a/b/C.vhd?s=/1", "c.vhd"), ("c.vhd", "c.vhd")]
)
def test_any_vhd_url_of_an_image_in_a_lab_is_read_without_an_exception(url: str | None, name: str) -> None:
    """The owner of a lab can write any value, which must not stop the prune or the plan of all labs."""
    odd = standing("odd", state="Creating", vhd_url=url)
    stack = StackPlan(configuration(lab()), {lab().key: facts("team", odd)}, Policy())
    broken = catalog(broken=(BlobDiagnostic("x.vhd", JUNK),))
    needs = staging_needs([stack], broken, facts("factory"), str)
    assert needs.being_read == ({("/storage/account", name)} if url else set())
    assert HeldImage(lab(), odd, odd.name).source == (name or None)


@pytest.mark.parametrize(
    ("keeps", "keep", "warned"),
    [({"a": 2, "b": 3}, 3, ["b"]), ({"a": 2, "b": None}, None, ["b"]), ({}, None, []), ({"a": 2}, 2, [])],
)
def test_the_largest_keep_of_the_stacks_is_kept(
    keeps: dict[str, int | None], keep: int | None, warned: list[str]
) -> None:
    """None if a stack's labs keep all images; a number below that of a stack is a warning."""
    policies = {name: Policy(keep=own) for name, own in keeps.items()}
    assert largest_keep(policies) == keep
    assert [diagnostic.subject for diagnostic in keep_warnings(2, policies)] == [f"stack '{name}'" for name in warned]


def test_a_revoked_image_is_deleted_by_the_rules_of_the_others_and_says_why() -> None:
    """Not while its VM exists; the image before it is kept in its place."""
    bad, good = image("bad"), image("good", age=1)
    policies = {"dev": Policy(keep=1, revoked={RevokedImage("bad"): "a virus"})}
    found = plan(catalog(bad, good), files(bad, good), PruneRules(policies))
    assert [(one.name, one.reason) for one in found.deletions] == [
        ("bad", "revoked by stack 'dev', and no other stack requires it")
    ]
    made = replace(bad, lineage=Lineage(vm="/vm/1"))
    assert not plan(catalog(made, good), files(made, good), PruneRules(policies, {"/vm/1": "one"})).deletions
