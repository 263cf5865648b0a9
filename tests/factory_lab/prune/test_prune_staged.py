"""Staged VHDs that no image needs: which are deleted, which are kept, and what if a lab cannot be read."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from imagefactory.copying.copier import SOURCE
from imagefactory.images.companions import FactoryImage
from tests.e2e.world import FACTORY_CONTAINER, Lab
from tests.factory_lab.prune.prune_world import PruneWorld


def create(factory: PruneWorld, lab: Lab, image: FactoryImage, state: str = "Succeeded") -> str:
    """Create the custom image of a factory image in a lab; return its ARM id."""
    tags = {"ImagePath": str(image.image_path), "SourceVhd": image.vhd_name}
    factory.world.seed_standing(lab, image.name, tags, state)
    return str(factory.world.image(lab, image.name)["id"])


def staged(factory: PruneWorld, lab: Lab | None = None) -> set[str]:
    """Return the names in a lab's container of staged VHDs."""
    return {blob.name for blob in factory.staging(lab or factory.lab).list_blobs()}


def test_a_staged_vhd_is_deleted_once_no_image_needs_it(factory: PruneWorld) -> None:
    """With its record; it is kept if its image is planned, failed or being created, or if another factory staged it."""
    lab = factory.lab
    done, wanted, failed, begun = (factory.image(day) for day in (13, 14, 15, 16))
    created, broken = create(factory, lab, done), create(factory, lab, failed, "Failed")
    in_progress = factory.stage(begun.vhd_name, create(factory, lab, begun, "Creating"))
    factory.stage(done.vhd_name, created, recorded=True)
    factory.stage("retired.vhd", f"{lab.id}/customimages/long-gone")
    needed = factory.stage(wanted.vhd_name, f"{lab.id}/customimages/{wanted.name}", recorded=True)
    rebuilt = factory.stage("earlier-try.vhd", f"{lab.id}/CustomImages/{wanted.name.upper()}")
    again = factory.stage(failed.vhd_name, broken)
    foreign = factory.stage("foreign.vhd", source=f"https://elsewhere.example/{FACTORY_CONTAINER}/foreign.vhd")
    strangers = factory.staging(lab).upload_blob("strangers.vhd", b"without our metadata").blob_name
    assert factory.prune("--yes", "--keep", "4", now=datetime.now(timezone.utc)).has_nothing_to_delete
    run = factory.prune("--yes", "--keep", "4", "--json")
    assert run.code == 0, run.stderr
    assert set(run.results()) == {f"{lab.account}: {done.vhd_name}", f"{lab.account}: retired.vhd"}
    stay = {needed, needed.replace(".vhd", ".ranges.json.gz"), rebuilt, again, in_progress, foreign, strangers}
    assert staged(factory) == stay
    assert len(factory.held()) == 8, "the factory's own VHDs are kept"


def test_a_staged_vhd_without_users_is_kept_while_its_image_is_planned(factory: PruneWorld) -> None:
    """Its name is sufficient."""
    wanted = factory.stage(factory.image(13).vhd_name)
    factory.stage("retired.vhd")
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and staged(factory) == {wanted}


def test_staged_vhds_that_any_stack_of_the_factory_needs_are_kept(factory: PruneWorld) -> None:
    """The labs of all stacks are read, whichever stack is passed."""
    lab = factory.lab
    image = factory.image(13)
    create(factory, lab, image)
    other = factory.world.add_lab("other", "Win2016")
    (factory.world.folder / "Configuration" / "labs.other.json").write_text(
        f'{{"Labs": [{{"SubscriptionId": "{other.subscription}", "LabName": "other", "ImagePaths": ["Win2016"]}}]}}'
    )
    factory.world.wishes.pop("other")
    del factory.world.labs["other"]
    factory.stack(keep=1)
    factory.stack("other", keep=1, labs="labs.other.json")
    needed = factory.stage(image.vhd_name, f"{other.id}/customimages/{image.name}", lab=other)
    factory.stage("retired.vhd", f"{other.id}/customimages/retired", lab=other)
    factory.stage(image.vhd_name, f"{lab.id}/customimages/{image.name}")
    run = factory.prune("--yes", "--json")
    assert run.code == 0, run.stderr
    assert staged(factory, other) == {needed} and staged(factory) == set()


@pytest.mark.parametrize("kind", ["lab", "account"])
def test_staged_vhds_that_a_lab_that_cannot_be_read_may_need_are_kept(factory: PruneWorld, kind: str) -> None:
    """The lab is named, the exit code is 1, and everything else is pruned; also if labs share an account."""
    lab = factory.lab
    shared = factory.world.add_lab("shared", "Ubuntu", account=lab.account)
    apart = factory.world.add_lab("apart", "Ubuntu")
    factory.stack(keep=1)
    old, new = factory.image(13), factory.image(14)
    created = create(factory, lab, new)
    factory.stage(new.vhd_name, created)
    unknown = factory.stage("unknown.vhd", f"{shared.id}/customimages/unknown")
    elsewhere = factory.stage("elsewhere.vhd", f"{apart.id}/customimages/elsewhere", lab=apart)
    broken = shared if kind == "lab" else apart
    listing = {"service": "blob", "path": f"{apart.account}/.*comp=list"}
    if kind == "lab":
        listing = {"service": "arm", "path": f"{shared.name}/customimages"}
    factory.world.cloud.set_faults([{**listing, "action": {"status": 403, "code": "Forbidden"}}])
    run = factory.prune("--yes", "--json")
    factory.world.cloud.clear_faults()
    assert run.code == 1
    (failure,) = run.document["failures"]
    assert (broken.name if kind == "lab" else broken.account) in failure and "staged VHDs in it are kept" in failure
    assert run.results()[old.name] == "deleted" and len(factory.held()) == 2
    assert f"{lab.account}: {new.vhd_name}" in run.results(), "its image exists"
    if kind == "lab":
        assert staged(factory) == {unknown} and staged(factory, apart) == {elsewhere}
        assert "could not be read may need it" in str(run.document["kept"])
    else:
        assert staged(factory) == set() and staged(factory, apart) == {elsewhere}


def test_a_staged_vhd_from_which_an_image_is_being_created_is_kept(factory: PruneWorld) -> None:
    """Also if no plan contains that image."""
    lab, image = factory.lab, factory.image(13)
    factory.world.cloud.set_latencies({"imageCreateSeconds": 60})
    name = factory.stage("in-use.vhd", f"{lab.id}/customimages/unknown")
    url = factory.staging(lab).get_blob_client(name).url
    assert factory.staging(lab).get_blob_client(name).get_blob_properties().metadata[SOURCE]
    factory.world.put_image(lab, "unknown", url)
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and staged(factory) == {name}, run.stdout
    assert "is creating an image from it" in str(run.document["kept"])
    assert image.name in str(run.document["kept"])
