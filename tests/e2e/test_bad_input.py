"""Bad input and unreadable parts: a clear error, everything else served, nothing lost."""

from __future__ import annotations

import json
import re
import subprocess
import uuid

import pytest

from tests.e2e.world import FACTORY_CONTAINER, Run, World

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


def up_fails(world: World, *told: str) -> Run:
    """An update fails, and its output has these texts and no traceback."""
    run = world.up()
    assert run.code != 0 and "Traceback" not in run.output, run.output
    assert all(text in run.output for text in told), run.output
    return run


def test_what_stops_a_run_is_told_with_its_place_and_changes_nothing(world: World) -> None:
    """A wrong setting, and a broken labs.json: the messages are those of `validate`, each with its severity once. No
    permission on the factory: one error, for without the factory there is no plan. No image is changed.

    An empty or missing container is an error while labs hold images; `allowEmptyFactory` makes it a wish."""
    web = world.add_lab("web", "Win2016")
    (name,) = world.add_images((WINDOWS, 5))
    world.serve()
    world.wishes["web"] = ["Win2106"]
    world.settings["keep"] = 0
    run = up_fails(world, "error: setting imagefactory:keep: 0 is not valid")
    assert "error: error" not in run.output
    del world.settings["keep"]
    run = up_fails(world, "labs.json:1:", "Win2016")
    command = [str(world.python), "-c", "from imagefactory.cli.main import main; main()", "validate"]
    told = subprocess.run(command, cwd=world.folder, env=world.environment, capture_output=True, text=True, check=False)
    lines = [re.sub(r"^(\S+): (error|warning): ", r"\2: \1: ", line) for line in told.stdout.splitlines()[:-1]]
    assert told.returncode == 1 and lines and all(line in run.output for line in lines), told.stdout
    assert any(line.startswith("warning: ") for line in lines) and "error: error" not in run.output
    world.wishes["web"] = ["Win2016"]
    denied = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    world.cloud.set_faults([{"service": "blob", "path": f"/{world.factory.account}/.*comp=list", "action": denied}])
    run = up_fails(world, f"factory lab '{world.factory.name}'", "Storage Blob Data")
    assert run.output.partition("Diagnostics:")[2].count("error: factory lab ") == 1, run.output
    world.cloud.clear_faults()
    assert set(world.held(web)) == {name}

    world.retire(name)
    up_fails(world, "allowEmptyFactory")
    world.settings["allowEmptyFactory"] = True
    run = world.preview()
    assert run.code == 0 and run.changes["to delete"] == 3, run.output
    world.service(world.factory).delete_container(FACTORY_CONTAINER)
    del world.settings["allowEmptyFactory"]
    up_fails(world, "allowEmptyFactory")
    assert set(world.held(web)) == {name}
    world.settings["allowEmptyFactory"] = True
    world.serve()
    assert world.held(web) == {}


def test_a_lab_that_cannot_be_read_keeps_its_images_while_the_others_are_served(world: World) -> None:
    """A refused lab, and a refused subscription: their images stay although one is retired; another lab goes on as
    ever."""
    web, ops = (world.add_lab(name, "Win2016", subscription=str(uuid.uuid4())) for name in ("web", "ops"))
    data = world.add_lab("data", "Win2016")
    retired, kept = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    world.serve()
    world.retire(retired)
    (new,) = world.add_images((WINDOWS, 7))
    refusal = {"status": 403, "code": "AuthorizationFailed", "message": "no"}
    paths = (f"/labs/{web.name}/customimages", rf"{ops.subscription}.*microsoft.devtestlab/labs\?")
    world.cloud.set_faults([{"service": "arm", "method": "GET", "path": path, "action": refusal} for path in paths])
    run = up_fails(world)
    assert run.output.partition("Diagnostics:")[2].count("403 AuthorizationFailed") == len(paths), run.output
    up_fails(world)
    world.cloud.clear_faults()
    assert set(world.held(web)) == set(world.held(ops)) == {retired, kept}
    assert set(world.held(data)) == {kept, new}
    world.serve()
    world.serve()
    assert set(world.held(web)) == set(world.held(ops)) == set(world.held(data)) == {kept, new}


def test_what_is_wrong_with_one_lab_or_image_is_named_and_stops_no_other(world: World) -> None:
    """A lab that does not exist: the message names the lab and its place. A copy that is refused: neither a storage key
    nor a SAS nor a token is in the state, the outputs or the log. Then junk in a companion is named, its image stays
    where it stands, and a new image is served. Each time the exit code tells, and the good lab is served."""
    web = world.add_lab("web", "Win2016")
    world.labs["phantom"] = world.add_lab("ghost", "Win2016")
    world.wishes["phantom"] = world.wishes.pop("ghost")
    name, bad = world.add_images((WINDOWS, 5), (WINDOWS, 6))
    refused = {"service": "blob", "path": f"{web.account}.*{world.images[bad]}"}
    world.cloud.set_faults([{**refused, "action": {"status": 403, "code": "Refused"}}])
    run = world.up("--logtostderr", "-v=9")
    assert run.code != 0 and re.search(r"labs\.json:1:\d+: lab .phantom.", run.output), run.output
    assert set(world.held(web)) == {name}
    written = json.dumps(world.state()) + run.output
    status = world.cloud.status()
    for account in status["storageAccounts"]:
        if account["name"] in {world.factory.account, web.account}:
            assert account["key"] not in written
    assert "sig=" not in written and status["identityHeader"] not in written
    world.cloud.clear_faults()
    up_fails(world, "lab 'phantom'")
    assert set(world.held(web)) == {name, bad}

    del world.wishes["phantom"]
    companion = world.images[name].replace(".vhd", ".json")
    blob = world.service(world.factory).get_blob_client(FACTORY_CONTAINER, companion)
    good = blob.download_blob().readall()
    blob.upload_blob(b"{ half", overwrite=True)
    (new,) = world.add_images((WINDOWS, 7))
    up_fails(world, companion)
    assert set(world.held(web)) == {name, bad, new}
    blob.upload_blob(good, overwrite=True)
    run = world.up()
    assert run.code == 0 and set(run.changes) == {"unchanged"}, run.output
