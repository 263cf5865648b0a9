"""With exactly the roles of its purpose, each run does all its work, by identity and by account keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from imagefactory.roles.actions import Option, Purpose
from imagefactory.roles.purposes import roles_of
from tests.e2e.world import FACTORY_CONTAINER, Run
from tests.factory_lab.factory_world import Ended, FactoryWorld
from tests.factory_lab.prune.prune_world import PruneWorld, images_of
from tests.roles.roles_world import granted, leave_behind, rejected

pytestmark = pytest.mark.engine
WAYS = {
    "aad": (Option.AAD, Option.MANIFESTS, Option.KEEP_USED, Option.DNS_ZONE),
    "key": (Option.KEY, Option.DNS_ZONE),
}


def test_each_purpose_works_with_exactly_its_roles(world: FactoryWorld) -> None:
    """A VM is saved and deleted, its image previewed, distributed, adopted, removed; nothing is rejected meanwhile."""
    web, options = world.add_lab("web", "Win2016"), WAYS["aad"]
    world.settings["keepUsedDays"] = 30
    world.service(world.factory).delete_container(FACTORY_CONTAINER)
    world.add_vm("golden")
    with granted(world, roles_of(Purpose.SAVE, options)):
        assert world.save().results() == {"golden": "saved"} and rejected(world) == []
    (saved,) = world.companions()
    with granted(world, roles_of(Purpose.PREVIEW, options)):
        preview = world.preview()
        assert preview.code == 0 and saved in preview.output and rejected(world) == [], preview.output
        assert world.pulumi("plan").code == 0 and rejected(world) == []
    with granted(world, roles_of(Purpose.DISTRIBUTION, options)):
        world.serve()
        assert rejected(world) == []
    assert world.held(web) == {saved: "Succeeded"} and world.staged(web) == []
    with granted(world, roles_of(Purpose.PREVIEW, options)):
        assert world.command("status").code == 0 and rejected(world) == []
    world.lose_state()
    with granted(world, roles_of(Purpose.ADOPTION, options)):
        adopted = world.adopt()
        assert adopted.code == 0 and "Took over 1 image" in adopted.output and rejected(world) == []
    with granted(world, roles_of(Purpose.DISTRIBUTION, options)):
        removed = world.destroy()
        assert removed.code == 0 and rejected(world) == [], removed.output
    assert world.held(web) == {}
    with granted(world, roles_of(Purpose.CLEAN_VMS, options)):
        assert world.command("clean-vms").code == 0 and rejected(world) == []
    assert world.machines() == {} and world.open_disks() == []


def test_with_account_keys_no_permission_on_blobs_is_needed(world: FactoryWorld) -> None:
    """Each purpose, with the permission to read the keys instead."""
    web, options = world.add_lab("web", "Win2016"), WAYS["key"]
    world.settings["storageAuth"] = "key"
    world.add_vm("golden")
    runs: tuple[tuple[Purpose, Callable[[], Run | Ended]], ...] = (
        (Purpose.SAVE, world.save),
        (Purpose.DISTRIBUTION, world.up),
        (Purpose.PREVIEW, lambda: world.pulumi("plan")),
        (Purpose.ADOPTION, world.adopt),
        (Purpose.CLEAN_VMS, lambda: world.command("clean-vms")),
    )
    for purpose, run in runs:
        roles = roles_of(purpose, options)
        assert not any("blobServices" in each for role in roles for each in (*role.actions, *role.data_actions))
        with granted(world, roles):
            assert run().code == 0 and rejected(world) == [], purpose
    assert list(world.held(web).values()) == ["Succeeded"] and world.machines() == {}


@pytest.mark.parametrize("auth", WAYS)
def test_a_prune_works_with_exactly_its_roles(world: FactoryWorld, auth: str) -> None:
    """It deletes an old image, a staged VHD and a terminated save, whose access to a disk it revokes."""
    factory = PruneWorld(world)
    factory.stack(storageAuth=auth)
    world.add_vm("golden")
    leave_behind(factory, world)
    world.grant("golden")
    new = factory.image(2)
    world.cloud.clear_calls()
    with granted(world, roles_of(Purpose.PRUNE, WAYS[auth])):
        pruned = factory.prune("--keep", "1", "--yes")
        assert pruned.code == 0 and rejected(world) == [], pruned.stderr
    assert factory.held() == images_of(new) and world.staged(factory.lab) == [] and world.open_disks() == []
