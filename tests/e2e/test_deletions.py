"""A run that would delete more images than `maxDeletes` stops before it declares or deletes anything."""

from __future__ import annotations

import pytest

from tests.e2e.gallery_world import GalleryWorld

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def test_labs_that_leave_labs_json_by_mistake_keep_their_images(gallery_world: GalleryWorld) -> None:
    """Custom images and gallery versions: preview and update stop with one error, change nothing and declare nothing;
    the setting that the error names lets exactly these images go. A destroy asks for no setting."""
    world = gallery_world
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016")
    ops = world.add_lab("ops", "Ubuntu")
    world.deliveries = {"web": "customImage", "ops": "customImage"}
    first, second, linux = world.add_images((WINDOWS, 5), (WINDOWS, 6), (UBUNTU, 5))
    world.serve()
    (new,) = world.add_images((UBUNTU, 6))
    world.settings["maxDeletes"] = 3
    del world.wishes["web"], world.wishes["data"]
    state, versions = world.state(), world.versions()
    assert len(versions) == 2
    for run in (world.preview(), world.up()):
        told = run.output.partition("Diagnostics:")[2]
        assert run.code != 0 and told.count("would delete 4 of 5 images, more than 3 (") == 1, run.output
        assert "the gallery (2), because" in told and "labs.json does not have the lab (2)" in told, told
        assert "pulumi config set imagefactory:maxDeletes 4 --stack test" in run.output, run.output
        assert "Traceback" not in run.output and not run.changes.keys() & {"created", "deleted", "updated"}
        assert set(world.held(web)) == {first, second} and set(world.held(ops)) == {linux}, run.output
        assert world.versions() == versions and world.offers(data) == {"images": ["Win2016.Datacenter"]}
        assert {each["urn"] for each in world.state()["resources"]} == {each["urn"] for each in state["resources"]}
    shown = world.pulumi("plan")
    assert shown.code == 1 and "would delete 4 of 5 images, more than 3 (" in shown.output, shown.output
    world.settings["maxDeletes"] = 4
    world.serve()
    assert world.held(web) == {} and world.versions() == {} and world.offers(data) == {}
    assert set(world.held(ops)) == {linux, new}
    world.settings["maxDeletes"] = 0
    assert world.destroy().code == 0 and world.held(ops) == {}, (
        "it runs no program, and says itself that it deletes all"
    )
