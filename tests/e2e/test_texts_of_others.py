"""What others write in labs and storage goes through `pulumi` into a log as text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.e2e.world import FACTORY_CONTAINER, ROOT, World

pytestmark = pytest.mark.engine


def test_no_tag_and_no_name_is_a_command_after_the_pipelines_filter(world: World) -> None:
    """Of a preview and of an up. The program's own lines hold none before it either; what the engine prints of an image
    that it deletes does."""
    web = world.add_lab("web", "Win2016")
    world.add_images(("Win2016/Datacenter.json", 5))
    world.serve()
    world.seed_standing(web, "old", {"ImagePath": "Win2016/Datacenter.json", "Owner": SET_VARIABLE})
    unfinished = f"{SET_VARIABLE}.vhd"
    world.service(world.factory).get_blob_client(FACTORY_CONTAINER, unfinished).create_page_blob(512)
    adopted = world.adopt("--yes", "--retire")
    assert adopted.code == 0 and not agent_commands(adopted.output), adopted.output
    for command in (("preview", "--diff"), ("up", "--yes", "--skip-preview", "--diff")):
        run = world.pulumi(*command)
        assert run.code == 0, run.output
        assert {line.lstrip(" -").split()[0] for line in agent_commands(run.output)} == {"Owner"}, (
            "the engine's own diff"
        )
        assert "warning: VHD # #vso[task.setvariable" in run.output
        filtered = subprocess.run(
            [sys.executable, "-m", "imagefactory.neutral"],
            cwd=ROOT,
            input=run.output,
            capture_output=True,
            text=True,
            check=True,
        )
        assert not agent_commands(filtered.stdout) and 'Owner    : "# #vso[' in filtered.stdout
