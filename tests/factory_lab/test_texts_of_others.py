"""`save` and `clean-vms` print strings from others as text, not as markup or commands."""

from __future__ import annotations

import pytest

from tests.agent_commands import SET_VARIABLE, agent_commands
from tests.factory_lab.factory_world import FactoryWorld

TAGS = {"one": f"a[/b] {SET_VARIABLE}.json", "two": "x\n::add-mask::x.json", "three": ":smile: [red].json"}


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_tags_of_vms_are_printed_as_text_and_execute_nothing(world: FactoryWorld, json: list[str]) -> None:
    """In the table, in the lines below it, and in JSON."""
    world.add_vm("golden")
    for name, tag in TAGS.items():
        world.add_vm(name, None, tags={"ImagePath": tag})
    for command in (["save", "--dry-run"], ["clean-vms", "--dry-run"], ["clean-vms"], ["save"]):
        run = world.command(*command, *json)
        assert run.code == (1 if command[0] == "save" else 0), run.stderr
        assert not agent_commands(run.stdout + run.stderr)
        assert "a[/b] # #vso[task.setvariable" in run.stdout.replace("\\u0023", " #") or command[0] == "clean-vms"
