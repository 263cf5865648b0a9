"""Without any one action of the roles of its purpose, a run says which one is missing."""

from __future__ import annotations

from pathlib import Path

import grpc.aio
import pytest

from imagefactory.azure.core.errors import CloudError
from imagefactory.roles.actions import BLOBS, CONTAINERS, LABS, Option, Place, Purpose
from imagefactory.roles.purposes import role_of, roles_of
from tests.e2e.new_stack import ensure_stack
from tests.e2e.world import FACTORY_CONTAINER
from tests.factory_lab.factory_world import FactoryWorld
from tests.factory_lab.prune.prune_world import PruneWorld
from tests.roles.roles_world import Lack, granted, lacks, leave_behind, named, silent
from tests.vhdcopy.copying import copy_image, inputs_of, release_of, service_copier_of
from tests.vhdcopy.plugin import COPY, RELEASE, kept_by, running

IMAGES, OPERATIONS = f"{LABS}/customImages", "Microsoft.DevTestLab/locations/operations/read"


@pytest.mark.parametrize("purpose", [Purpose.PREVIEW, Purpose.ADOPTION])
def test_what_reads_names_each_missing_action(world: FactoryWorld, purpose: Purpose) -> None:
    """`plan` reads what `pulumi preview` does; with `keepUsedDays`, also the VMs of labs."""
    options, world.settings["keepUsedDays"] = (Option.AAD, Option.KEEP_USED), 30
    world.add_lab("web", "Win2016")
    world.add_images(("Win2016/Datacenter.json", 5))
    world.write_configuration()
    ensure_stack(world.folder, world.stack, world.environment)
    verb = {Purpose.PREVIEW: ("plan",), Purpose.ADOPTION: ("adopt", "--dry-run")}[purpose]
    told: dict[Lack, set[str]] = {}
    for lack in lacks(purpose, options=options):
        with granted(world, roles_of(purpose, options), lack):
            run = world.command(*verb)
        told[lack] = named(run.stdout + run.stderr)
    assert told and silent(told) == set()


def test_a_save_names_each_missing_action(world: FactoryWorld) -> None:
    """A VM that was saved is followed by a new one; the container is there only after it was created."""
    container = world.service(world.factory).get_container_client(FACTORY_CONTAINER)
    container.delete_container()
    world.add_vm("golden0")
    told: dict[Lack, set[str]] = {}
    saved = 0
    for lack in sorted(lacks(Purpose.SAVE), key=lambda each: each[1] != f"{CONTAINERS}/write"):
        with granted(world, roles_of(Purpose.SAVE), lack):
            run = world.save("--vm", f"golden{saved}")
        assert run.code == 1, (lack, run.stdout)
        told[lack] = named(run.stdout + run.stderr)
        if container.exists() and saved < (saved := len(world.companions())):
            world.add_vm(f"golden{saved}")
    assert told and silent(told) == set() and saved


def test_the_deletion_of_vms_names_each_missing_action(world: FactoryWorld) -> None:
    """The VM is deleted at the last run, which is not told when."""
    world.add_vm("golden")
    assert world.save().code == 0
    told: dict[Lack, set[str]] = {}
    for lack in sorted(lacks(Purpose.CLEAN_VMS), key=lambda each: "/operations/" in each[1]):
        assert world.machines()
        with granted(world, roles_of(Purpose.CLEAN_VMS), lack):
            run = world.command("clean-vms")
        told[lack] = named(run.stdout + run.stderr)
    assert told and silent(told) == set()


def test_a_prune_names_each_missing_action(world: FactoryWorld) -> None:
    """Of images and terminated saves in the factory, and of VHDs that are staged in a lab."""
    factory = PruneWorld(world)
    world.add_vm("golden")
    factory.image(9)
    told: dict[Lack, set[str]] = {}
    for lack in lacks(Purpose.PRUNE):
        leave_behind(factory, world)
        with granted(world, roles_of(Purpose.PRUNE), lack):
            run = factory.prune("--keep", "1", "--yes")
        assert run.code == 1, (lack, run.stdout)
        told[lack] = named(run.stdout + run.stderr)
    assert told and silent(told) == set()


async def test_a_copy_names_each_missing_action(world: FactoryWorld, shell: dict[str, str], python: Path) -> None:
    """VhdCopy and StagedVhdRelease, in a lab that never had one."""
    (image,) = world.add_images(("Win2016/Datacenter.json", 5))
    told: dict[Lack, set[str]] = {}
    async with running(shell, python) as plugin:
        for number, lack in enumerate(lacks(Purpose.DISTRIBUTION, Place.FACTORY_STORAGE, Place.LAB_STORAGE)):
            world.add_lab(lab := f"lab{number}")
            inputs = inputs_of(world, lab)
            with granted(world, roles_of(Purpose.DISTRIBUTION), lack), pytest.raises(grpc.aio.AioRpcError) as refusal:
                copied = await plugin.create(COPY, inputs)
                world.seed_standing(world.labs[lab], image, {})
                await plugin.create(RELEASE, release_of(inputs, copied.properties))
            told[lack] = named(f"{refusal.value.details()} {kept_by(refusal.value)}")
        assert told and silent(told) == set()
        lack = (role_of(Place.FACTORY_MANIFESTS), f"{BLOBS}/write")
        world.add_lab("web")
        with granted(world, roles_of(Purpose.DISTRIBUTION)):  # no failure: the copy leaves no manifest
            await plugin.create(COPY, inputs_of(world, "web"))
        assert silent({lack: named(" ".join(plugin.log.messages))}) == set()


async def test_a_copy_by_the_service_names_the_key_that_it_may_not_have(world: FactoryWorld, signed_in: None) -> None:
    """`copy.method: service` reads the source with a SAS that the identity signs."""
    world.add_images(("Win2016/Datacenter.json", 5))
    world.add_lab("web")
    options = (Option.AAD, Option.SERVICE)
    (lack,) = lacks(Purpose.DISTRIBUTION, Place.FACTORY_SAS, options=options)
    async with service_copier_of(world) as copier:
        with granted(world, roles_of(Purpose.DISTRIBUTION, options), lack), pytest.raises(CloudError) as refusal:
            await copy_image(copier, world)
        assert silent({lack: named(str(refusal.value))}) == set()
        with granted(world, roles_of(Purpose.DISTRIBUTION, options)):
            await copy_image(copier, world)


@pytest.mark.engine
def test_a_distribution_names_each_missing_action_on_images(world: FactoryWorld) -> None:
    """To create one, to see that it is created, to delete it; what is read before is what a preview reads."""
    world.add_lab("web", "Win2016")
    world.add_images(("Win2016/Datacenter.json", 5))
    roles, told = roles_of(Purpose.DISTRIBUTION), dict[Lack, set[str]]()
    subscription, lab = (role_of(each) for each in (Place.SUBSCRIPTION, Place.LAB))
    assert {*role_of(Place.SUBSCRIPTION, Purpose.PREVIEW).actions, OPERATIONS} == {*subscription.actions}
    for lack in ((lab, f"{IMAGES}/write"), (subscription, OPERATIONS), (lab, f"{IMAGES}/delete")):
        with granted(world, roles, lack):
            run = world.up() if lack[1] != f"{IMAGES}/delete" else world.destroy()
        assert run.code != 0, lack
        told[lack] = named(run.output)
        if lack[1] == OPERATIONS:
            world.serve()
    assert told and silent(told) == set() and {(lab, each) for each in lab.actions} <= told.keys()
