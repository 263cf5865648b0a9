"""`imagefactory adopt`: what stands is taken over, and no standing image ever gets a write, whatever Azure answers."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.world import World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"
SCRIPTS = {"ImagePath": "Win2016\\Datacenter.json"}

ANSWERS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "recorded": ({}, {}),
    "published": ({"custom_image_answers": "published"}, {}),
    "policy": ({"policy_tags": {"costCenter": "7", "Owner": "it"}}, {}),
    "of-a-vm": (
        {},
        {
            "vhdUrl": None,
            "properties": {
                "managedImageId": "/subscriptions/x/resourceGroups/y/providers/Microsoft.Compute/images/z",
                "vm": {"sourceVmId": "/subscriptions/x/vm", "windowsOsInfo": {"windowsOsState": "SysprepApplied"}},
                "author": "Somebody",
                "isPlanAuthorized": True,
                "customImagePlan": {"id": "plan", "publisher": "p", "offer": "o"},
                "dataDiskStorageInfo": [{"lun": "0", "storageType": "Premium"}],
            },
        },
    ),
}


@pytest.mark.parametrize("answers", list(ANSWERS))
def test_images_of_the_old_scripts_are_taken_over_without_a_write_or_a_copy(world: World, answers: str) -> None:
    """On an empty state: adopt, up, preview, up with a refresh, adopt again; however Azure answers."""
    web = world.add_lab("web", "Win2016")
    old, new = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    form, more = ANSWERS[answers]
    world.cloud.set_answers(**form)
    world.seed_images(
        web, {"name": old, "tags": SCRIPTS, "provisioningState": "Succeeded", "osType": "Windows", **more}
    )
    before = world.image(web, old)
    world.cloud.clear_calls()
    adopted = world.adopt()
    assert adopted.code == 0 and "1 image to take over in 1 lab" in adopted.output, adopted.output
    assert {call["method"] for call in world.cloud.calls()} <= {"GET", "HEAD"}
    run = world.serve()
    assert (run.changes["created"], run.changes["unchanged"]) == (6, 4) and "imported" not in run.changes, run.output
    assert world.copies() == 1, "only the new image is copied"
    assert world.preview().only_unchanged
    assert world.serve("--refresh").only_unchanged
    again = world.adopt()
    assert again.code == 0 and "Nothing to take over" in again.output
    assert [write for write in world.writes(web) if write[1] == old] == []
    assert world.image(web, old) == before
    world.retire(old)
    world.serve()
    assert set(world.held(web)) == {new}


def test_a_lost_state_is_won_back_without_a_write_or_a_copy(world: World) -> None:
    """Images that this stack made and the plan lacks are taken over, too, and then retired as they would have been. If
    a lab cannot be read, the other one's are taken over, and the last line and the exit code say that it is not all."""
    web, data = world.add_lab("web", "Win2016"), world.add_lab("data", "Win2016", "Ubuntu")
    old, _, _ = world.add_images((WINDOWS, 5), (WINDOWS, 6), (UBUNTU, 6))
    world.serve()
    before = world.state()["resources"]
    world.lose_state()
    world.retire(old)
    world.cloud.clear_calls()
    shown = world.adopt("--dry-run", "--json")
    labs = {lab["lab"].partition("@")[0]: lab for lab in json.loads(shown.output)["labs"]}
    (leaving,) = [image for image in labs["web"]["images"] if image["name"] == old]
    assert leaving["action"] == "take over"
    assert leaving["reason"] == "its VHD is not in the factory; the next pulumi up deletes it"
    assert {image["name"] for image in labs["data"]["images"]} == {*world.images, old}
    refusal = {"status": 403, "code": "AuthorizationFailed"}
    world.cloud.set_faults([{"service": "arm", "path": "labs/data/customimages", "action": refusal}])
    half = world.adopt()
    assert half.code == 1 and "Took over 2 images" in half.output, half.output
    assert re.search(r"\nIncomplete: nothing is taken over of data@\w+ \(see the errors above\)\. .*\n$", half.output)
    assert world.adopt("--dry-run", "--lab", "web").code == 0, "that lab could be read"
    assert "Nothing to take over of what could be read.\n" in world.adopt("--dry-run").output
    world.cloud.clear_faults()
    assert world.adopt("--yes").code == 0
    images = {each["urn"]: each for each in world.state()["resources"] if each["type"].endswith("CustomImage")}
    told = {each["urn"]: each for each in before if each["urn"] in images}
    for urn, image in images.items():
        # What the engine had after it made them, but for the time stamps and links that only it writes.
        assert (image["id"], image["outputs"], image["parent"]) == tuple(
            told[urn][key] for key in ("id", "outputs", "parent")
        )
        assert image["inputs"].keys() == told[urn]["inputs"].keys()
    assert world.writes(web) == world.writes(data) == []
    world.serve()
    assert world.copies() == 0
    assert [write[:2] for write in world.writes(web)] == [("DELETE", old)]
    assert world.up().only_unchanged and world.serve("--refresh").only_unchanged
    assert set(world.held(web)) == world.wanted(["Win2016"]) and set(world.held(data)) == set(world.images)


def test_what_is_foreign_or_not_wanted_is_shown_and_stays(world: World) -> None:
    """Images of users, of another stack, and of the scripts that the plan lacks; --retire takes the last ones over."""
    web = world.add_lab("web", "Win2016")
    (kept,) = world.add_images((WINDOWS, 6))
    world.serve()
    world.seed_standing(web, "mine", {"owner": "me"})
    world.seed_standing(web, "theirs", {**SCRIPTS, "SourceVhd": "x.vhd", "Stack": "imagefactory/other"})
    world.seed_standing(web, "ancient", SCRIPTS)
    before = world.state()
    world.cloud.clear_calls()
    run = world.adopt("--yes", "--json")
    document = json.loads(run.output)
    found = {image["name"]: (image["action"], image["reason"]) for image in document["labs"][0]["images"]}
    assert found == {
        "ancient": ("not wanted", "its VHD is not in the factory; it stays as it is"),
        "mine": ("foreign", "it has no ImagePath tag, so the factory did not create it"),
        "theirs": (
            "foreign",
            "it belongs to stack imagefactory/other; `imagefactory adopt --from other` takes it over",
        ),
    }
    assert (run.code, document["adopted"], document["images"]) == (0, False, 0) and world.state() == before
    assert world.up().only_unchanged
    assert world.adopt("--yes", "--retire").code == 0
    world.serve()
    assert set(world.held(web)) == {kept, "mine", "theirs"}
    assert [write[:2] for write in world.writes(web)] == [("DELETE", "ancient")]


def test_an_image_that_failed_and_is_in_no_state_is_created_again(world: World) -> None:
    """The only images that are written to."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.seed_standing(web, name, {"ImagePath": WINDOWS}, state="Failed")
    assert "in state Failed: pulumi up creates it again" in world.adopt().output
    world.serve()
    assert world.held(web) == {name: "Succeeded"}
    assert world.up().only_unchanged


def test_labs_that_moved_keep_their_images_without_a_copy(world: World) -> None:
    """To another group, to another subscription: the run names them and leaves them, and serves the others; adopt
    carries the state over to the new ids."""
    web, shop, data = (world.add_lab(name, "Win2016") for name in ("web", "shop", "data"))
    world.add_images((WINDOWS, 5))
    world.serve()
    web, shop = world.move_lab(web, group="elsewhere"), world.move_lab(shop, subscription=str(uuid.uuid4()))
    world.add_images((WINDOWS, 6))
    world.cloud.clear_calls()
    run = world.up()
    named = [line for line in run.output.splitlines() if "was moved here from resource group labs" in line]
    assert run.code != 0 and all(any(lab in line for line in named) for lab in ("web", "shop")), run.output
    assert "imagefactory adopt --stack test" in run.output and "Traceback" not in run.output
    assert world.writes(web) == world.writes(shop) == [] and "deleted" not in run.changes
    assert set(world.held(data)) == set(world.images)
    adopted = world.adopt()
    assert adopted.code == 0 and adopted.output.count("moved here from resource group labs") == 2, adopted.output
    assert world.writes(web) == world.writes(shop) == []
    assert world.copies() == 1, "of the second image into the other lab"
    world.serve()
    assert world.copies() == 3, "of the second image into the labs that moved"
    assert [write[0] for lab in (web, shop) for write in world.writes(lab)] == ["PUT", "PUT"]
    assert world.up().only_unchanged and world.serve("--refresh").only_unchanged
    assert set(world.held(web)) == set(world.held(shop)) == set(world.held(data)) == set(world.images)
    assert "Nothing to take over" in world.adopt().output


def test_another_stacks_images_are_taken_over_on_demand_and_both_states_survive(world: World) -> None:
    """`--from`: the other stack's state loses them, and it neither deletes them nor creates them again."""
    shared, own = world.add_lab("shared", "Win2016"), world.add_lab("own", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    wishes, first = dict(world.wishes), world.stack
    world.stack = "second"
    world.wishes = {"shared": ["Win2016"]}
    world.cloud.clear_calls()
    assert "the state of stack test has it" in world.adopt().output
    run = world.adopt("--yes", "--from", first)
    assert run.code == 0 and "Took over 1 image" in run.output, run.output
    world.serve()
    assert world.up().only_unchanged
    world.stack, world.wishes = first, {"own": wishes["own"]}
    assert world.serve().changes["deleted"] <= 1, "the component of the lab that left"
    assert world.up().only_unchanged
    assert world.copies() == 0 and world.writes(shared) == world.writes(own) == []
    assert set(world.held(shared)) == set(world.held(own)) == {name}
