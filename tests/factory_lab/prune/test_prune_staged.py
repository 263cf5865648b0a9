"""Staged VHDs that no image needs: which go, which stay, and what is done where a lab cannot be read."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from imagefactory.copying.copier import SOURCE
from imagefactory.images.companions import FactoryImage
from tests.e2e.world import FACTORY_CONTAINER, Lab
from tests.factory_lab.prune.prune_world import PruneWorld


def made(factory: PruneWorld, lab: Lab, image: FactoryImage, state: str = "Succeeded") -> str:
    """Has the custom image of a factory image stand in a lab; returns its ARM id."""
    tags = {"ImagePath": str(image.image_path), "SourceVhd": image.vhd_name}
    factory.world.seed_standing(lab, image.name, tags, state)
    return str(factory.world.image(lab, image.name)["id"])


def staged(factory: PruneWorld, lab: Lab | None = None) -> set[str]:
    """What stands in a lab's container of staged VHDs."""
    return {blob.name for blob in factory.staging(lab or factory.lab).list_blobs()}


def test_a_staged_vhd_goes_once_no_image_is_to_be_made_from_it(factory: PruneWorld) -> None:
    """Gone with its record; one whose image is wanted, failed, or written to today stays, and so does a stranger's."""
    lab = factory.lab
    done, wanted, failed, begun = (factory.image(day) for day in (13, 14, 15, 16))
    stands, broken = made(factory, lab, done), made(factory, lab, failed, "Failed")
    in_progress = factory.stage(begun.vhd_name, made(factory, lab, begun, "Creating"))
    factory.stage(done.vhd_name, stands, recorded=True)
    factory.stage("retired.vhd", f"{lab.id}/customimages/long-gone")
    needed = factory.stage(wanted.vhd_name, f"{lab.id}/customimages/{wanted.name}", recorded=True)
    rebuilt = factory.stage("earlier-try.vhd", f"{lab.id}/CustomImages/{wanted.name.upper()}")
    again = factory.stage(failed.vhd_name, broken)
    foreign = factory.stage("foreign.vhd", source=f"https://elsewhere.example/{FACTORY_CONTAINER}/foreign.vhd")
    strangers = factory.staging(lab).upload_blob("strangers.vhd", b"no mark of ours").blob_name
    assert factory.prune("--yes", "--keep", "4", now=datetime.now(timezone.utc)).told_nothing_to_do
    run = factory.prune("--yes", "--keep", "4", "--json")
    assert run.code == 0, run.err
    assert set(run.results()) == {f"{lab.account}: {done.vhd_name}", f"{lab.account}: retired.vhd"}
    stay = {needed, needed.replace(".vhd", ".ranges.json.gz"), rebuilt, again, in_progress, foreign, strangers}
    assert staged(factory) == stay
    assert len(factory.held()) == 8, "the factory's own VHDs are others"


def test_a_staged_vhd_without_users_stays_while_the_plan_has_its_image(factory: PruneWorld) -> None:
    """Its name tells enough."""
    wanted = factory.stage(factory.image(13).vhd_name)
    factory.stage("retired.vhd")
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and staged(factory) == {wanted}


def test_what_any_stack_of_the_factory_needs_stays(factory: PruneWorld) -> None:
    """Labs of all stacks are looked at, whichever stack the command names."""
    lab = factory.lab
    image = factory.image(13)
    made(factory, lab, image)
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
    assert run.code == 0, run.err
    assert staged(factory, other) == {needed} and staged(factory) == set()


@pytest.mark.parametrize("kind", ["lab", "account"])
def test_what_a_lab_that_cannot_be_read_may_need_stays(factory: PruneWorld, kind: str) -> None:
    """It is named, the exit code tells, and everything else is done; labs of one account are no exception."""
    lab = factory.lab
    shared = factory.world.add_lab("shared", "Ubuntu", account=lab.account)
    apart = factory.world.add_lab("apart", "Ubuntu")
    factory.stack(keep=1)
    old, new = factory.image(13), factory.image(14)
    stands = made(factory, lab, new)
    factory.stage(new.vhd_name, stands)
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
    (failure,) = run.told["failures"]
    assert (broken.name if kind == "lab" else broken.account) in failure and "left as they are" in failure
    assert run.results()[old.name] == "deleted" and len(factory.held()) == 2
    assert f"{lab.account}: {new.vhd_name}" in run.results(), "its image stands, as was read"
    if kind == "lab":
        assert staged(factory) == {unknown} and staged(factory, apart) == {elsewhere}
        assert "could not be read may need it" in str(run.told["kept"])
    else:
        assert staged(factory) == set() and staged(factory, apart) == {elsewhere}


def test_a_staged_vhd_from_which_an_image_is_being_made_stays(factory: PruneWorld) -> None:
    """Also where no plan knows that image."""
    lab, image = factory.lab, factory.image(13)
    factory.world.cloud.set_latencies({"imageCreateSeconds": 60})
    name = factory.stage("in-use.vhd", f"{lab.id}/customimages/unknown")
    url = factory.staging(lab).get_blob_client(name).url
    assert factory.staging(lab).get_blob_client(name).get_blob_properties().metadata[SOURCE]
    factory.world.put_image(lab, "unknown", url)
    run = factory.prune("--yes", "--keep", "1", "--json")
    assert run.code == 0 and staged(factory) == {name}, run.out
    assert "is creating an image from it" in str(run.told["kept"])
    assert image.name in str(run.told["kept"])
