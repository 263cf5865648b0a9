"""`imagefactory prune` as a user runs it, against the embedded cloud: what it deletes, keeps and reports."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import pytest

from imagefactory.images.companions import DataDisk
from imagefactory.images.lineage import Lineage
from tests.e2e.world import MANIFEST
from tests.factory_lab.factory_world import UBUNTU, WINDOWS
from tests.factory_lab.prune.prune_world import LENGTH, PruneWorld, images_of

DAY = timedelta(days=1)
GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def test_older_images_of_each_path_are_deleted_with_all_their_files(factory: PruneWorld) -> None:
    """Images of `save` and of the old scripts count together; their manifests and records are deleted too."""
    newest, ubuntu = factory.image(19), factory.image(1, UBUNTU)
    second = factory.old_image(18)
    oldest = factory.old_image(15)
    old = factory.image(17)
    extras = factory.saved_extras(old)
    everything = factory.held()
    run = factory.prune("--keep", "2", "--yes", "--json")
    assert run.code == 0, run.stderr
    gone = {*images_of(old), *extras, oldest, oldest.replace(".vhd", ".json")}
    assert factory.held() == everything - gone
    assert {newest.vhd_name, second, ubuntu.vhd_name} <= factory.held()
    deletions = {one["blobs"][1]: one for one in run.document["deletions"]}
    assert set(deletions) == {old.vhd_name, oldest}
    assert deletions[old.vhd_name]["size"] == 4096 + 512 and deletions[oldest]["size"] == LENGTH
    assert all(one["reason"] == "older than the newest 2 of its image path" for one in deletions.values())
    assert factory.prune("--keep", "2", "--yes", "--json").document["deletions"] == []


def test_the_companion_of_an_image_is_deleted_first(factory: PruneWorld) -> None:
    """A kill then leaves an unfinished save, and no companion without its VHD."""
    old = factory.image(13)
    factory.image(14)
    factory.saved_extras(old)
    factory.world.cloud.clear_calls()
    assert factory.prune("--keep", "1", "--yes").code == 0
    names = [path.partition("?")[0].rpartition("/")[2] for path in factory.deletes()]
    guid = old.vhd_name.removesuffix(".vhd")
    assert names[:3] == [f"{guid}.json", f"{guid}.vhd", f"{guid}.lun0.vhd"] and names[-1] == f"{guid}.save"


def test_pinned_undated_broken_images_and_those_of_an_existing_vm_are_kept(factory: PruneWorld) -> None:
    """Whatever their age; images that are reported do not count as newest."""
    vm = {"name": "builder", "osType": "Windows", "sizeBytes": 16 * 1024 * 1024}
    lab = factory.world.factory
    entry = {
        "name": lab.name,
        "resourceGroup": lab.group,
        "region": "westeurope",
        "storageAccount": lab.account,
        "virtualMachines": [vm],
    }
    factory.world.cloud.seed({"subscriptions": [{"subscriptionId": lab.subscription, "labs": [entry]}]})
    undated = factory.old_image(25, timestamp="6/7/2026 10:11:12 AM")
    broken = factory.old_image(24, imagePath=None)
    newest, _second = factory.image(23), factory.image(22)
    in_vm = factory.image(21, lineage=Lineage(vm=f"{lab.id}/VirtualMachines/BUILDER"))
    pinned, old = factory.image(20), factory.image(19)
    orphan = factory.document(f"{GUID}.json", b"{}").blob_name
    factory.stack(keep=2)
    factory.stack("other", keep=1, pins={WINDOWS: pinned.name})
    everything = factory.held()
    run = factory.prune("--yes", "--json")
    assert run.code == 0, run.stderr
    assert factory.held() == everything - images_of(old)
    reasons = {one["vhd"]: one["reason"] for one in run.document["kept"]}
    assert "newest 2" in reasons[newest.vhd_name]
    assert "VM builder" in reasons[in_vm.vhd_name] and reasons[pinned.vhd_name] == "pinned by stack 'other'"
    reported = {one["name"]: one["reason"] for one in run.document["reported"]}
    assert set(reported) == {undated, broken, orphan}
    assert "no usable date" in reported[undated] and "imagePath is missing" in reported[broken]
    assert all("it is not deleted" in reason for reason in reported.values())


def test_if_the_vms_cannot_be_listed_nothing_is_deleted(factory: PruneWorld) -> None:
    """It is unknown which images would be saved again."""
    factory.image(13), factory.image(14)
    everything = factory.held()
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    factory.world.cloud.set_faults([{"service": "arm", "path": "virtualmachines", "action": refusal}])
    run = factory.prune("--keep", "1", "--yes", "--json")
    assert run.code == 1 and run.stdout == "" and "AuthorizationFailed" in run.stderr and run.stderr.count("\n") == 1
    assert factory.held() == everything


def test_files_of_terminated_saves_are_deleted_after_a_day(factory: PruneWorld) -> None:
    """VHDs without companion with all their files, and names, records and manifests without VHD."""
    image = factory.image(13, data_disks=(DataDisk(0, f"{GUID[:-1]}a.vhd"),))
    needed = factory.vhd(f"{GUID[:-1]}a.vhd").blob_name
    foreign = factory.vhd("by-hand.vhd").blob_name
    other = factory.document("notes.txt", b"mine").blob_name
    broken = factory.old_image(14, osType="BeOS")
    stays = {*images_of(image), needed, foreign, other, broken, broken.replace(".vhd", ".json")}
    assert factory.held() == stays
    dead, record, manifest, name = (f"{GUID[:-1]}{digit}" for digit in "bcde")
    for file in (f"{dead}.vhd", f"{dead}.lun3.vhd"):
        factory.vhd(file)
    for file in (f"{dead}{MANIFEST}", f"{dead}.lun3{MANIFEST}", f"{record}.save", f"{manifest}{MANIFEST}"):
        factory.document(file)
    factory.document(f"{dead}.copying.json.gz")
    factory.document(f"{dead}.save", name="Dead-Jun-1-2026")
    factory.document("Dead-Jun-1-2026.name", guid=dead)
    factory.document("Gone-Jun-1-2026.name", guid=name)
    time.sleep(1.1)  # Azure tells times in whole seconds
    since = datetime.now(timezone.utc).replace(microsecond=0)
    fresh = factory.vhd(f"{GUID[:-1]}f.vhd").blob_name
    assert factory.prune("--yes", "--keep", "1", now=since).has_nothing_to_delete
    run = factory.prune("--yes", "--keep", "1", "--json", now=since + DAY - timedelta(seconds=0.5))
    assert run.code == 0, run.stderr
    assert factory.held() == {*stays, fresh}
    kinds = {one["name"]: one["kind"] for one in run.document["deletions"]}
    assert kinds.pop(f"{dead}.vhd") == "unfinished save"
    assert len(kinds) == 3 and set(kinds.values()) == {"left-over"}
    assert {one["name"] for one in run.document["reported"]} == {foreign, broken}
    assert {one["name"] for one in run.document["kept"]} == {image.name, needed, fresh}


def test_files_with_an_active_lease_are_kept(factory: PruneWorld) -> None:
    """Whatever their age: with a lease on the record, or on the VHD itself."""
    factory.image(14)
    held = factory.image(13)
    factory.factory.get_blob_client(held.vhd_name).acquire_lease()
    for digit in "ab":
        factory.vhd(f"{GUID[:-1]}{digit}.vhd")
    factory.document(f"{GUID[:-1]}a.save").acquire_lease()
    factory.factory.get_blob_client(f"{GUID[:-1]}b.vhd").acquire_lease()
    everything = factory.held()
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and run.document["deletions"] == [] and factory.held() == everything
    reasons = {"a save holds its lease", "its files have a lease, or a copy into them is in progress"}
    assert reasons <= {one["reason"] for one in run.document["kept"]}


@pytest.mark.parametrize(
    ("settings", "arguments", "keep"),
    [({"keep": 3}, (), 3), ({"keep": 3}, ("--keep", "1"), 1), ({"keep": None}, ("--keep", "2"), 2)],
)
def test_keep_is_the_option_or_the_largest_of_the_stacks(
    factory: PruneWorld, settings: dict[str, object], arguments: tuple[str, ...], keep: int
) -> None:
    """A warning names the labs that lose images."""
    factory.stack(keep=2)
    factory.stack("other", **settings)
    images = [factory.image(day) for day in (16, 15, 14, 13)]
    run = factory.prune("--dry-run", "--json", *arguments)
    assert run.code == 0, run.stderr
    assert run.document["keep"] == keep
    assert [one["name"] for one in run.document["deletions"]] == [image.name for image in images[keep:]]
    assert ("stack 'other'" in str(run.document["warnings"])) == bool(arguments)
    assert set(run.results().values()) <= {"would be deleted"} and len(factory.held()) == 8


def test_without_keep_in_a_stack_the_option_is_required(factory: PruneWorld) -> None:
    """The labs of such a stack keep all images."""
    factory.stack(keep=2)
    factory.stack("other")
    run = factory.prune("--dry-run")
    assert run.code == 2 and "--keep" in run.stderr and "'other'" in run.stderr and run.stderr.count("\n") == 1


@pytest.mark.parametrize("content", ["config: [", "config: {imagefactory:factory: {labName: factory}}"])
def test_a_stack_file_that_cannot_be_read_stops_the_command(factory: PruneWorld, content: str) -> None:
    """Its pins are unknown."""
    factory.image(13), factory.image(14)
    (factory.world.folder / "Pulumi.other.yaml").write_text(content, encoding="utf-8")
    run = factory.prune("--yes", "--keep", "1")
    assert run.code == 2 and "Pulumi.other.yaml" in run.stderr and len(factory.held()) == 4


def test_a_stack_with_invalid_settings_stops_the_command(factory: PruneWorld) -> None:
    """All settings of a stack with this factory must be valid."""
    factory.image(13), factory.image(14)
    factory.stack("other", pins=["nothing"])
    run = factory.prune("--yes", "--keep", "1")
    assert run.code == 2 and "pins" in run.stderr and len(factory.held()) == 4


def test_stacks_of_other_factories_and_of_other_programs_are_ignored(factory: PruneWorld) -> None:
    """Their pins and their `keep` do not count, and their settings need not be valid."""
    old, _new = factory.image(13), factory.image(14)
    elsewhere = {"subscriptionId": factory.world.subscription, "labName": "elsewhere"}
    factory.stack("elsewhere", factory=elsewhere, pins={WINDOWS: old.name}, cloud="nowhere")
    factory.stack("unlimited", factory=None, keep=None)
    factory.stack(keep=1)
    run = factory.prune("--yes", "--json")
    assert run.code == 0 and run.results() == {old.name: "deleted"}, run.stderr


def test_an_image_whose_vhd_labs_cannot_get_is_not_the_newest_of_its_path(factory: PruneWorld) -> None:
    """The plan gives labs the image before it, so that one stays; the broken one is reported, not deleted."""
    older, offered, broken = factory.image(13), factory.image(14), factory.image(15)
    factory.factory.get_blob_client(broken.vhd_name).upload_page(bytes(512), LENGTH - 512, 512)
    everything = factory.held()
    run = factory.prune("--keep", "1", "--yes", "--json")
    assert run.code == 0, run.stderr
    assert factory.held() == everything - images_of(older)
    assert [one["vhd"] for one in run.document["kept"]] == [offered.vhd_name]
    assert [one["name"] for one in run.document["reported"]] == [broken.vhd_name]
