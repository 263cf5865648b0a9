"""Labs of one name in two resource groups of a subscription: both count for a prune, and reports tell them apart."""

from __future__ import annotations

from tests.factory_lab.prune.prune_world import PruneWorld, images_of


def test_the_last_good_image_of_each_of_two_labs_of_one_name_is_kept(factory: PruneWorld) -> None:
    """The reason names the lab by its label; a staged VHD that one of them needs is kept as well."""
    first, twin = factory.lab, factory.world.add_lab("web", "Win2016", group="Other")
    factory.stack()
    bad, good, twins_good, oldest = (factory.image(day) for day in (16, 15, 14, 13))
    for lab, image in ((first, good), (twin, twins_good)):
        for each, state in ((bad, "Failed"), (image, "Succeeded")):
            tags = {"ImagePath": str(each.image_path), "SourceVhd": each.vhd_name}
            factory.world.seed_standing(lab, each.name, tags, state)
    staged = factory.stage(bad.vhd_name, f"{twin.id}/customimages/{bad.name}", lab=twin)
    everything = factory.held()
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0, run.stderr
    assert factory.held() == everything - images_of(oldest)
    reasons = {one["vhd"]: one["reason"] for one in run.document["kept"]}
    assert "in lab web.labs@" in reasons[good.vhd_name] and "in lab web.other@" in reasons[twins_good.vhd_name]
    assert [blob.name for blob in factory.staging(twin).list_blobs()] == [staged]


def test_each_of_two_labs_of_one_name_that_cannot_be_read_is_reported(factory: PruneWorld) -> None:
    """With its resource group."""
    factory.world.add_lab("web", "Win2016", group="Other")
    factory.stack()
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    factory.world.cloud.set_faults([{"service": "arm", "path": "labs/web/customimages", "action": refusal}])
    told = factory.prune("--dry-run", "--keep", "1", "--json").document["failures"]
    assert [one.partition(":")[0] for one in sorted(told)] == [
        f"lab 'web' of resource group '{group}'" for group in ("labs", "other")
    ]
