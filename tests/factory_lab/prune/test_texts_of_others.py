"""`prune` and `catalog` print strings from others as text, not as markup or commands of a build agent."""

from __future__ import annotations

import json
import subprocess

import pytest

from imagefactory.images.lineage import Lineage
from imagefactory.plain_text import printable
from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.prune.prune_world import PruneWorld

NAMES = ["a[/b].vhd", ":smile: [red].vhd", "::add-mask::x.vhd", f"{SET_VARIABLE}.vhd", "\x9b2J\u202edhv.vhd"]


@pytest.mark.parametrize("act", ["--dry-run", "--yes"])
def test_names_of_blobs_are_printed_as_text_and_execute_nothing(factory: PruneWorld, act: str) -> None:
    """Any name is shown completely in the table and in the lines, and causes no traceback."""
    for name in NAMES:
        factory.stage(name, source=f"{factory.factory.url}/x.vhd")
    factory.vhd(f"strangers {SET_VARIABLE}.vhd")
    run = factory.prune("--keep", "1", act)
    assert run.code == 0, run.stderr
    assert not agent_commands(run.stdout + run.stderr)
    shown = [printable(f"{factory.lab.account}: {name}") for name in NAMES]
    assert all(name in run.stdout for name in shown)
    assert all(name in run.stderr for name in shown) or act == "--dry-run"
    assert "strangers # #vso[" in run.stdout


def test_json_contains_the_original_names(factory: PruneWorld) -> None:
    """Programs read the names unchanged, and a build agent finds no command."""
    for name in NAMES:
        factory.stage(name, source=f"{factory.factory.url}/x.vhd")
    run = factory.prune("--keep", "1", "--dry-run", "--json")
    assert run.code == 0 and not agent_commands(run.stdout + run.stderr)
    assert {one["blobs"][0] for one in run.document["deletions"]} == set(NAMES)


def test_the_catalog_prints_strings_as_text(factory: PruneWorld) -> None:
    """In table, lines and JSON: of images, of companions that cannot be read, of VHDs without companion."""
    texts = [f"a[/b] {SET_VARIABLE}", ":smile: [red]x[/red]"]
    for day, text in enumerate(texts, 13):
        lineage = Lineage(vm=f"/vms/{text}", disk=f"/disks/{text}", commit=text, pipeline_run=text)
        factory.image(day, description=text, author=text, lineage=lineage)
        factory.old_image(day, imagePath=text, osType=text)
    factory.vhd(f"{SET_VARIABLE}.vhd")
    for arguments in ([], ["--json"], ["--labs"]):
        run = subprocess.run(
            FactoryWorld.words("catalog", *arguments, python=factory.world.python),
            cwd=factory.world.folder,
            env=factory.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert not agent_commands(run.stdout + run.stderr)
        if "--json" in arguments:
            assert {image["description"] for image in json.loads(run.stdout)["images"]} == set(texts)
        else:
            assert all(printable(text) in run.stdout for text in texts)
