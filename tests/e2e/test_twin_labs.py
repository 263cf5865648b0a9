"""Two labs of one name in two resource groups of a subscription: both are served, each under a label of its own."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.e2e.world import Lab, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def resources(world: World) -> dict[str, str]:
    """The URNs in the state, without those of the stack and of providers, with the id of each resource."""
    found = {each["urn"]: each.get("id", "") for each in world.state()["resources"]}
    return {urn: id for urn, id in found.items() if "@" in urn}


def label(lab: Lab, *, with_group: bool) -> str:
    """The label of a lab."""
    subscription = hashlib.sha256(lab.subscription.encode()).hexdigest()[:8]
    return f"{lab.name}{f'.{lab.group.lower()}' if with_group else ''}@{subscription}"


@pytest.mark.timeout(240)
def test_two_labs_of_one_name_are_both_served(world: World) -> None:
    """Each gets what its own entry says, under a label of its own, and keeps its images when the other one leaves.

    One that moved is kept and carried over to its new label, which names the new group. Nothing is written to it, and
    its twin is unchanged.
    """
    red, blue = world.add_lab("web", "Win2016", group="Red"), world.add_lab("web", "Win2016", "Ubuntu", group="rg.(ü)")
    windows, ubuntu = world.add_images((WINDOWS, 5), (UBUNTU, 6))
    run = world.serve()
    assert set(world.held(red)) == {windows} and set(world.held(blue)) == {windows, ubuntu}
    assert world.staged(red) == world.staged(blue) == []
    labels = {label(red, with_group=True), label(blue, with_group=True)}
    assert labels_of(resources(world)) == labels
    outputs = json.loads(world.pulumi("stack", "output", "--json").output)
    assert {name: set(images) for name, images in outputs["labs"].items()} == {
        label(red, with_group=True): {windows},
        label(blue, with_group=True): {windows, ubuntu},
    }
    assert run.changes["created"] == len(world.state()["resources"])
    assert world.up().only_unchanged
    of_blue = {urn: id for urn, id in resources(world).items() if label(blue, with_group=True) in urn}

    red = world.move_lab(red, group="New")
    world.labs["Red/web"] = red
    world.cloud.clear_calls()
    run = world.up()
    assert run.code != 0 and "was moved here from resource group Red" in run.output, run.output
    assert "deleted" not in run.changes, run.output
    adopted = world.adopt()
    assert adopted.code == 0, adopted.output
    run = world.serve()
    assert "deleted" not in run.changes and world.copies() == 0, run.output
    assert world.writes(red) == world.writes(blue) == []
    assert world.up().only_unchanged
    assert labels_of(resources(world)) == {label(red, with_group=True), label(blue, with_group=True)}
    assert of_blue.items() <= resources(world).items()
    assert set(world.held(red)) == {windows} and set(world.held(blue)) == {windows, ubuntu}

    before = resources(world)
    del world.wishes["Red/web"]
    world.serve()
    assert world.held(red) == {} and set(world.held(blue)) == {windows, ubuntu}
    assert resources(world) == {urn: id for urn, id in before.items() if label(blue, with_group=True) in urn}


def labels_of(urns: dict[str, str]) -> set[str]:
    """The labels of the labs of these resources."""
    return {urn.rpartition("::")[2].partition("/")[0] for urn in urns}


def test_a_lab_whose_twin_comes_later_is_unchanged(world: World) -> None:
    """Only the twin is created. A twin that cannot be read, or not be distinguished, keeps its images."""
    first = world.add_lab("web", "Win2016")
    (windows,) = world.add_images((WINDOWS, 5))
    world.serve()
    before, image = resources(world), world.image(first, windows)
    twin = world.add_lab("web", "Win2016", group="other")
    world.cloud.clear_calls()
    run = world.serve()
    assert set(run.changes) == {"created", "unchanged"} and run.changes["created"] == 4, run.output
    assert world.copies() == 1 and world.image(first, windows) == image
    assert set(world.held(first)) == set(world.held(twin)) == {windows}
    after = resources(world)
    assert {urn: id for urn, id in after.items() if label(first, with_group=False) in urn} == before
    assert len(after) == 2 * len(before)
    assert world.up().only_unchanged
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": "resourcegroups/other/.*customimages", "action": refusal}])
    run = world.up()
    assert run.code != 0 and "lab 'web' of resource group 'other'" in run.output, run.output
    world.cloud.set_faults([])
    assert resources(world) == after
    del world.wishes["other/web"]
    run = world.up()
    assert run.code != 0 and "exists in 2 resource groups of" in run.output, run.output
    assert resources(world) == after and set(world.held(twin)) == {windows}, "the entry left names neither of them"
