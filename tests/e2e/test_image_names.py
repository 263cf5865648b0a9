"""Names that Azure rejects: no image of such a name is copied, and a lab that has one keeps it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.e2e.world import STACK, World

pytestmark = pytest.mark.engine

ODD, WINDOWS, CORE = "win2016/DATACENTER.json", "Win2016/Datacenter.json", "Win2019 (Core), EN/IIS+SQL.json"
MAIN = "from imagefactory.cli.main import main; main()"


def test_names_that_azure_rejects_and_another_letter_case_of_an_image_path(world: World) -> None:
    """An image of a rejected name is left out before any copy and kept where it stands, the other images are
    distributed; preview and catalog report the name and the reason.

    When image paths get another letter case, images keep names and tags, also one that was deleted by hand; new ones
    get the tag in the new case."""
    web, data = world.add_lab("web", "Win2016", "Win2019 (Core), EN"), world.add_lab("data", CORE, "Win2016")
    rejected, kept, gone = world.add_images((CORE, 5), (ODD, 5), (ODD, 6))
    world.seed_standing(web, rejected, {"ImagePath": CORE.replace("/", "\\")})
    assert world.adopt().code == 0
    preview = world.preview()
    assert preview.code == 0 and f"factory image {rejected}: Azure would reject" in preview.output, preview.output
    world.cloud.clear_calls()
    run = world.serve()
    assert "it contains ' '" in run.output and world.copies() == 2 * 2, run.output
    assert set(world.held(web)) == {rejected, kept, gone} and set(world.held(data)) == {kept, gone}
    listed = subprocess.run(
        [str(world.python), "-c", MAIN, "catalog", "--stack", STACK, "--json"],
        cwd=world.folder,
        env=world.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    document = json.loads(listed.stdout)
    assert {image["name"] for image in document["images"]} == {kept, gone}
    ((name, reason),) = [(left["name"], left["reason"]) for left in document["leftOut"]]
    assert name == world.images[rejected] and rejected in reason and "it contains ' '" in reason

    before = world.image(web, kept)
    world.delete_image(web, gone)
    golden = world.folder / "Configuration" / "GoldenImages"
    (golden / ODD).rename(golden / "DATACENTER.json")
    (golden / "win2016").rmdir()
    (golden / "Win2016").mkdir()
    (golden / "DATACENTER.json").rename(golden / WINDOWS)
    for run in (world.preview(), world.up()):
        assert run.only_unchanged, run.output
    assert world.image(web, kept) == before and set(world.held(web)) == {rejected, kept}
    outputs = json.loads(world.pulumi("stack", "output", "--json").output)
    paths = {image["imagePath"] for images in outputs["labs"].values() for image in images.values()}
    assert {path for path in paths if path.startswith("Win2016")} == {WINDOWS} and ODD not in paths
    new = world.add_lab("new", "Win2016")
    world.serve("--refresh")
    assert {world.image(new, name)["tags"]["ImagePath"] for name in (kept, gone)} == {WINDOWS}
    assert set(world.held(web)) == {rejected, kept, gone} and world.image(web, kept) == before
