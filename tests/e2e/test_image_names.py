"""Names that Azure rejects: no image of such a name is copied, and a lab that has one keeps it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.e2e.world import STACK, World

pytestmark = pytest.mark.engine

ODD, WINDOWS, CORE = "win2016/DATACENTER.json", "Win2016/Datacenter.json", "Win2019 (Core), EN/IIS+SQL.json"


def test_an_image_whose_name_azure_rejects_is_left_out_before_any_copy_and_kept_where_it_stands(world: World) -> None:
    """The other images are distributed; preview and catalog report the name and the reason."""
    web, data = world.add_lab("web", "Win2016", "Win2019 (Core), EN"), world.add_lab("data", CORE, "Win2016")
    rejected, good = world.add_images((CORE, 5), (WINDOWS, 6))
    world.seed_standing(web, rejected, {"ImagePath": CORE.replace("/", "\\")})
    assert world.adopt().code == 0
    preview = world.preview()
    assert preview.code == 0 and f"factory image {rejected}: Azure would reject" in preview.output, preview.output
    world.cloud.clear_calls()
    run = world.serve()
    assert "it contains ' '" in run.output and world.copies() == 2, run.output
    assert set(world.held(web)) == {rejected, good} and set(world.held(data)) == {good}
    assert world.up().only_unchanged
    listed = subprocess.run(
        ["imagefactory", "catalog", "--stack", STACK, "--json"],
        cwd=world.folder,
        env=world.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(listed.stdout)
    assert [image["name"] for image in document["images"]] == [good]
    ((name, reason),) = [(left["name"], left["reason"]) for left in document["leftOut"]]
    assert name == world.images[rejected] and rejected in reason and "it contains ' '" in reason


def test_a_stack_does_not_change_when_its_image_paths_get_another_letter_case(world: World) -> None:
    """Images keep names and tags, also one that was deleted by hand; new ones get the tag in the new case."""
    web = world.add_lab("web", "Win2016")
    kept, gone = world.add_images((ODD, 5), (ODD, 6))
    world.serve()
    before = world.image(web, kept)
    world.delete_image(web, gone)
    golden = world.folder / "Configuration" / "GoldenImages"
    (golden / ODD).rename(golden / "DATACENTER.json")
    (golden / "win2016").rmdir()
    (golden / "Win2016").mkdir()
    (golden / "DATACENTER.json").rename(golden / WINDOWS)
    for run in (world.preview(), world.up()):
        assert run.only_unchanged, run.output
    assert world.image(web, kept) == before and set(world.held(web)) == {kept}
    outputs = json.loads(world.pulumi("stack", "output", "--json").output)
    (images,) = outputs["labs"].values()
    assert {image["imagePath"] for image in images.values()} == {WINDOWS}
    data = world.add_lab("data", "Win2016")
    world.serve("--refresh")
    assert {world.image(data, name)["tags"]["ImagePath"] for name in (kept, gone)} == {WINDOWS}
    assert set(world.held(web)) == {kept, gone} and world.image(web, kept) == before
