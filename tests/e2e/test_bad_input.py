"""Bad input and unreadable parts: a clear error, everything else served, nothing lost."""

from __future__ import annotations

import json
import re
import subprocess
import uuid

import pytest

from tests.e2e.world import FACTORY_CONTAINER, World

pytestmark = pytest.mark.engine

WINDOWS, UBUNTU = "Win2016/Datacenter.json", "Ubuntu/Jammy.json"


def test_a_broken_labs_json_stops_the_run_with_its_place_and_changes_nothing(world: World) -> None:
    """The messages are those of `validate`, each with its severity once; no image is changed."""
    web = world.add_lab("web", "Win2016")
    world.add_images((WINDOWS, 5))
    world.serve()
    world.wishes["web"] = ["Win2106"]
    world.settings["keep"] = 0
    run = world.up()
    assert "error: setting imagefactory:keep: 0 is not valid" in run.output, run.output
    assert "error: error" not in run.output
    del world.settings["keep"]
    run = world.up()
    assert run.code != 0
    assert "labs.json:1:" in run.output and "Win2016" in run.output, run.output
    command = ["imagefactory", "validate"]
    told = subprocess.run(command, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=False)
    lines = [re.sub(r"^(\S+): (error|warning): ", r"\2: \1: ", line) for line in told.stdout.splitlines()[:-1]]
    assert told.returncode == 1 and lines and all(line in run.output for line in lines), told.stdout
    assert any(line.startswith("warning: ") for line in lines) and "error: error" not in run.output
    assert "Traceback" not in run.output
    assert set(world.held(web)) == set(world.images)


@pytest.mark.parametrize("path", ["customimages", "microsoft.devtestlab/labs\\?"])
def test_a_lab_that_cannot_be_read_keeps_its_images_while_the_others_are_served(world: World, path: str) -> None:
    """A refused lab (or subscription): its images stay although one is retired; another lab goes on as ever."""
    web = world.add_lab("web", "Win2016", subscription=str(uuid.uuid4()))
    data = world.add_lab("data", "Win2016")
    retired, kept = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.serve()
    world.retire(retired)
    (new,) = world.add_images((WINDOWS, 7))
    pattern = (
        f"{web.subscription}.*/labs/{web.name}/{path}" if path == "customimages" else f"{web.subscription}.*{path}"
    )
    refusal = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    world.cloud.set_faults([{"service": "arm", "method": "GET", "path": pattern, "action": refusal}])
    run = world.up()
    assert run.code != 0 and "403 AuthorizationFailed" in run.output, run.output
    assert world.up().code != 0
    world.cloud.clear_faults()
    assert set(world.held(web)) == {retired, kept}
    assert set(world.held(data)) == {kept, new}
    world.serve()
    world.serve()
    assert set(world.held(web)) == set(world.held(data)) == {kept, new}


def test_a_lab_that_does_not_exist_is_named_and_stops_no_other(world: World) -> None:
    """The exit code tells, the message names the lab and its place, the good lab is served."""
    web = world.add_lab("web", "Win2016")
    ghost = world.add_lab("ghost", "Win2016")
    world.labs["ghost"] = ghost
    world.wishes["phantom"] = world.wishes.pop("ghost")
    world.labs["phantom"] = ghost
    world.add_images((WINDOWS, 5))
    run = world.up()
    assert run.code != 0 and re.search(r"labs\.json:1:\d+: lab .phantom.", run.output), run.output
    assert set(world.held(web)) == set(world.images)


@pytest.mark.parametrize("missing", ["images", "container"])
def test_an_empty_factory_deletes_nothing_unless_the_user_says_so(world: World, missing: str) -> None:
    """An empty or missing container is an error while labs hold images; `allowEmptyFactory` makes it a wish."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    if missing == "container":
        world.service(world.factory).delete_container(FACTORY_CONTAINER)
        world.images.clear()
    else:
        world.retire(name)
    run = world.up()
    assert run.code != 0 and "allowEmptyFactory" in run.output, run.output
    assert set(world.held(web)) == {name}
    world.settings["allowEmptyFactory"] = True
    world.serve()
    assert world.held(web) == {}


def test_an_unreadable_companion_deletes_no_image_made_from_its_vhd(world: World) -> None:
    """Junk in a companion is named, its image stays where it stands, a new image is served, the exit code tells."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    companion = world.images[name].replace(".vhd", ".json")
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, companion)
    good = blob.download_blob().readall()
    blob.upload_blob(b"{ half", overwrite=True)
    (new,) = world.add_images((WINDOWS, 6))
    run = world.up()
    assert run.code != 0 and companion in run.output, run.output
    assert set(world.held(web)) == {name, new}
    blob.upload_blob(good, overwrite=True)
    run = world.up()
    assert run.code == 0 and set(run.changes) == {"unchanged"}, run.output


def test_no_permission_on_the_factory_plans_nothing(world: World) -> None:
    """Without the factory there is no plan: one error, and no lab is touched."""
    web = world.add_lab("web", "Win2016")
    world.add_images((WINDOWS, 5))
    world.serve()
    world.cloud.set_faults(
        [
            {
                "service": "blob",
                "path": f"/{world.factory.account}/.*comp=list",
                "action": {"status": 403, "code": "AuthorizationPermissionMismatch"},
            }
        ]
    )
    run = world.up()
    assert run.code != 0 and "Traceback" not in run.output, run.output
    assert f"factory lab '{world.factory.name}'" in run.output and "Storage Blob Data" in run.output, run.output
    assert set(world.held(web)) == set(world.images)


def test_no_key_and_no_sas_reach_state_or_output(world: World) -> None:
    """Neither a storage key nor a SAS nor a token is in the state, the outputs or the log, failed copies included."""
    web = world.add_lab("web", "Win2016")
    _, bad = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.cloud.set_faults(
        [
            {
                "service": "blob",
                "path": f"{web.account}.*{world.images[bad]}",
                "action": {"status": 403, "code": "Refused"},
            }
        ]
    )
    run = world.up("--logtostderr", "-v=9")
    assert run.code != 0
    written = json.dumps(world.state()) + run.output
    status = world.cloud.status()
    for account in status["storageAccounts"]:
        if account["name"] in {world.factory.account, web.account}:
            assert account["key"] not in written
    assert "sig=" not in written and status["identityHeader"] not in written
