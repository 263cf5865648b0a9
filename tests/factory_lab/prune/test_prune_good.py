"""What `imagefactory prune` keeps whatever its age: recent writes, and the last good image of a lab."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.factory_lab.factory_world import UBUNTU, WINDOWS
from tests.factory_lab.prune.prune_world import PruneWorld, images_of

HOUR = timedelta(hours=1)
NEXT_CENTURY = datetime(2099, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("kind", ["metadata", "companion"])
def test_an_image_with_a_date_in_the_future_is_reported_and_does_not_count(factory: PruneWorld, kind: str) -> None:
    """Its date is an error: the image is kept, and today's image is the newest."""
    good, old = factory.image(14), factory.image(13)
    if kind == "metadata":
        far = factory.image(1, name="far", saved_at=NEXT_CENTURY).vhd_name
    else:
        far = factory.old_image(1, imageName="far", timestamp="2099-01-01T00:00:00Z")
    everything = factory.held()
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0, run.stderr
    assert factory.held() == everything - images_of(old) and good.vhd_name in factory.held()
    (reported,) = run.document["reported"]
    assert reported["name"] == far and "2099-01-01T00:00:00" in reported["reason"]
    assert "more than 1 day after" in reported["reason"] and "is not deleted" in reported["reason"]


def test_no_image_is_deleted_within_a_day_of_the_last_write_to_any_of_its_files(factory: PruneWorld) -> None:
    """To its VHD, its companion or a record, however many images are newer."""
    old, new = factory.image(13), factory.image(14)
    now = datetime.now(timezone.utc)
    run = factory.prune("--yes", "--keep", "1", "--json", now=now + 23 * HOUR)
    assert run.code == 0 and run.document["deletions"] == []
    assert {one["name"]: one["reason"] for one in run.document["kept"]}[old.name].endswith("within the last day")
    assert factory.prune("--yes", "--keep", "1", now=now + 25 * HOUR).code == 0
    assert factory.held() == images_of(new)


def test_the_newest_image_that_is_succeeded_in_a_lab_is_kept_if_newer_ones_failed(factory: PruneWorld) -> None:
    """Found by the tag with its VHD, or by name and path as the old scripts created it; older ones are deleted."""
    lab, second = factory.lab, factory.world.add_lab("second", "Win2016")
    factory.stack()
    bad, good, oldest = (factory.image(day) for day in (16, 15, 13))
    good_old = factory.old_image(14, UBUNTU)
    ubuntu_bad, ubuntu_older = factory.image(18, UBUNTU), factory.image(12, UBUNTU)
    for each, image in ((lab, bad), (second, bad), (lab, ubuntu_bad)):
        tags = {"ImagePath": str(image.image_path), "SourceVhd": image.vhd_name}
        factory.world.seed_standing(each, image.name, tags, "Failed")
    for each in (lab, second):
        tags = {"ImagePath": WINDOWS, "SourceVhd": good.vhd_name}
        factory.world.seed_standing(each, good.name, tags)
    factory.world.seed_standing(second, oldest.name, {"ImagePath": WINDOWS, "SourceVhd": oldest.vhd_name})
    factory.world.seed_standing(lab, "Ubuntu_Jammy-Jun-14-2026", {"ImagePath": "ubuntu\\jammy.json"})
    everything = factory.held()
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0, run.stderr
    assert factory.held() == everything - images_of(oldest, ubuntu_older) and good_old in factory.held()
    reasons = {one["vhd"]: one["reason"] for one in run.document["kept"]}
    assert "newest Succeeded image of its image path in lab second@" in reasons[good.vhd_name]
    assert "and 1 more" in reasons[good.vhd_name]
    assert "image path in lab web@" in reasons[good_old] and "more" not in reasons[good_old]
    for each in (lab, second):
        factory.world.seed_standing(each, "repaired", {"ImagePath": WINDOWS, "SourceVhd": bad.vhd_name})
    again = factory.prune("--yes", "--keep", "1", "--json").results()
    assert again == {good.name: "deleted"}, "the earlier good image is deleted by the next run"


def test_an_image_that_a_later_ring_waits_for_is_kept(factory: PruneWorld) -> None:
    """Although a newer one is the newest, and the last good one of each lab; older ones are deleted."""
    second = factory.world.add_lab("second", "Win2016")
    rings = [{"name": "pilot", "labs": ["web"]}, {"name": "broad", "labs": ["second"], "soakDays": 300}]
    factory.stack(rings=rings)
    newest, soaking, held, old = (factory.image(day) for day in (16, 15, 14, 13))
    for lab, image in ((factory.lab, newest), (factory.lab, soaking), (second, held)):
        tags = {"ImagePath": WINDOWS, "SourceVhd": image.vhd_name}
        factory.world.seed_standing(lab, image.name, tags)
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0, run.stderr
    assert factory.held() == images_of(newest, soaking, held) and run.results() == {old.name: "deleted"}
    reasons = {one["vhd"]: one["reason"] for one in run.document["kept"]}
    assert reasons[soaking.vhd_name] == "ring broad waits for it (setting rings)"
    factory.stack()
    assert factory.prune("--yes", "--keep", "1", "--json").results() == {soaking.name: "deleted"}


def test_a_lab_that_cannot_be_read_keeps_images_only_if_no_other_lab_has_a_good_one(factory: PruneWorld) -> None:
    """Its images are unknown; paths with a good image in another lab are pruned, and the exit code is 1."""
    closed = factory.world.add_lab("closed", "Win2016", "Ubuntu")
    factory.stack()
    new, old = factory.image(14), factory.image(13)
    ubuntu, ubuntu_old = factory.image(14, UBUNTU), factory.image(13, UBUNTU)
    factory.world.seed_standing(factory.lab, new.name, {"ImagePath": WINDOWS, "SourceVhd": new.vhd_name})
    refusal = {"status": 403, "code": "Forbidden"}
    factory.world.cloud.set_faults([{"service": "arm", "path": f"{closed.name}/customimages", "action": refusal}])
    run = factory.prune("--yes", "--keep", "1", "--json")
    factory.world.cloud.clear_faults()
    assert run.code == 1 and run.results() == {old.name: "deleted"}
    assert factory.held() == images_of(new, ubuntu, ubuntu_old)
    reasons = {one["vhd"]: one["reason"] for one in run.document["kept"]}
    assert "lab closed@" in reasons[ubuntu_old.vhd_name] and "could not be read" in reasons[ubuntu_old.vhd_name]


def test_an_account_that_exceeds_the_limit_does_not_stop_the_others(factory: PruneWorld) -> None:
    """21 staged VHDs with any name in one lab: everything else is pruned, and the exit code is 1."""
    noisy = factory.world.add_lab("noisy", "Ubuntu")
    factory.stack()
    old, new = factory.image(13), factory.image(14)
    odd = ["a[/b].vhd", "##vso[x]y.vhd", "a%2fb.vhd", "x b.vhd", "a?b#c.vhd", "-.VHD", "a[red].vhd"]
    made = {factory.stage(name, lab=noisy) for name in [*odd, *(f"own-{n}.vhd" for n in range(14))]}
    factory.stage("retired.vhd")
    names = {f"{noisy.account}: {name}" for name in made}
    dry = factory.prune("--dry-run", "--keep", "1", "--json")
    assert dry.code == 1 and set(dry.results()) == {old.name, f"{factory.lab.account}: retired.vhd", *names}
    assert {dry.results()[name] for name in names} == {"not deleted"} and dry.results()[old.name] == "would be deleted"
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 1, run.stdout
    (failure,) = run.document["failures"]
    assert noisy.account in failure and "21 " in failure and "nothing is deleted in this account" in failure
    assert {name for name, result in run.results().items() if result == "deleted"} == set(run.results()) - names
    assert factory.held() == images_of(new) and not list(factory.staging(factory.lab).list_blobs())
    assert {blob.name for blob in factory.staging(noisy).list_blobs()} == made
    assert factory.prune("--yes", "--keep", "1", "--max-deletes", "21", "--json").code == 0
    assert not list(factory.staging(noisy).list_blobs())
