"""What others write is told by `prune` and `catalog` as text: neither markup nor a command of a build agent."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from imagefactory.images.lineage import Lineage
from imagefactory.plain_text import printable
from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.e2e.world import STACK
from tests.factory_lab.prune.prune_world import PruneWorld

NAMES = ["a[/b].vhd", ":smile: [red].vhd", "::add-mask::x.vhd", f"{SET_VARIABLE}.vhd", "\x9b2J\u202edhv.vhd"]


@pytest.mark.parametrize("act", ["--dry-run", "--yes"])
def test_names_of_blobs_are_told_as_they_are_and_start_nothing(factory: PruneWorld, act: str) -> None:
    """Any name stands whole in the table and in the lines; none ends the command in a traceback."""
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


def test_a_document_holds_the_names_as_they_are(factory: PruneWorld) -> None:
    """Programs read what stands there; an agent that reads along finds no command."""
    for name in NAMES:
        factory.stage(name, source=f"{factory.factory.url}/x.vhd")
    run = factory.prune("--keep", "1", "--dry-run", "--json")
    assert run.code == 0 and not agent_commands(run.stdout + run.stderr)
    assert {one["blobs"][0] for one in run.document["deletions"]} == set(NAMES)


def test_the_catalog_tells_texts_as_they_are(factory: PruneWorld) -> None:
    """In its table, its lines and its document: of images, of companions that cannot be read, of foreign VHDs."""
    texts = [f"a[/b] {SET_VARIABLE}", ":smile: [red]x[/red]"]
    for day, text in enumerate(texts, 13):
        lineage = Lineage(vm=f"/vms/{text}", disk=f"/disks/{text}", commit=text, pipeline_run=text)
        factory.image(day, description=text, author=text, lineage=lineage)
        factory.old_image(day, imagePath=text, osType=text)
    factory.vhd(f"{SET_VARIABLE}.vhd")
    command = [sys.executable, "-c", "from imagefactory.cli.main import main; main()", "catalog", "--stack", STACK]
    for arguments in ([], ["--json"], ["--labs"]):
        run = subprocess.run(
            [*command, *arguments],
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
