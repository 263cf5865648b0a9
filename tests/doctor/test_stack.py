"""Each fault of this machine, the sign-in, the configuration and the state is a row of the stack."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.doctor.doctor_world import DoctorWorld

pytestmark = pytest.mark.engine

WINDOWS = "Win2016/Datacenter.json"


def edit_state(world: DoctorWorld, **deployment: Any) -> None:
    """Change the state, as a run that was killed leaves it."""
    (file,) = (world.folder / "stacks").rglob(f"stacks/*/{world.stack}.json")
    document = json.loads(file.read_text("utf-8"))
    document["checkpoint"]["latest"] |= deployment
    file.write_text(json.dumps(document), "utf-8")


def command(folder: Path, name: str, script: str) -> str:
    """Put a command into a folder; return the folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder)


def test_a_locked_state_is_found(world: DoctorWorld) -> None:
    """With its holder and the command that removes the lock."""
    world.doctor()
    world.lock()
    found = world.doctor()
    assert found.not_ok() == [("stack", "state lock", "failure")]
    check = found.check("stack", "state lock")
    assert "ann@agent (pid 7)" in check["fact"] and "pulumi cancel --stack test" in check["remedy"]


def test_what_a_killed_run_left_in_the_state_is_found(world: DoctorWorld) -> None:
    """Pending operations and unfinished resources do not stop a run."""
    world.serve()
    state = world.state()
    resource = {"urn": "urn:pulumi:test::imagefactory::a:b:C::web/old", "custom": True, "type": "a:b:C"}
    unfinished = [{**each, "initErrors": ["no"]} if "VhdCopy" in each["type"] else each for each in state["resources"]]
    edit_state(world, pending_operations=[{"type": "creating", "resource": resource}], resources=unfinished)
    found = world.doctor()
    names = ("pending operations", "unfinished resources")
    assert found.not_ok() == [("stack", name, "warning") for name in names] and found.ended.code == 0
    pending = found.check("stack", names[0])
    assert "web/old" in pending["fact"] and "--clear-pending-creates" in pending["remedy"]
    assert f"{world.web}/Win2016_Datacenter-Jun-5-2026" in found.check("stack", names[1])["fact"]


def test_a_backend_that_cannot_be_read_is_found(world: DoctorWorld) -> None:
    """The labs are checked all the same; what the state would tell is unknown."""
    world.doctor()
    found = world.doctor(variables={"PULUMI_BACKEND_URL": f"file://{world.folder}/nowhere"})
    assert found.not_ok() == [("stack", "state backend", "failure"), ("stack", "images not in the state", "unknown")]
    assert found.check(world.web, "read blobs")["result"] == "ok"


def test_a_stack_that_does_not_exist_yet_is_found(world: DoctorWorld) -> None:
    """With the command that creates it; the images in the labs are those that its first run would meet."""
    world.doctor()
    world.lose_state()
    (world.folder / "stacks").mkdir(exist_ok=True)
    found = world.command("doctor", "--json")
    (check,) = (one for one in found.document["checks"] if one["check"] == "state backend")
    assert (check["result"], check["remedy"]) == ("failure", "pulumi stack init test") and found.code == 1


def test_images_that_stand_and_moved_labs_name_adopt(world: DoctorWorld) -> None:
    """After a lost state, and after a move."""
    world.serve()
    web = world.move_lab(world.labs["web"], group="elsewhere")
    found = world.doctor()
    assert found.not_ok() == [(world.web, "place", "failure")]
    assert "imagefactory adopt --stack test" in found.check(world.web, "place")["remedy"]
    world.lose_state()
    (world.folder / "stacks").mkdir(exist_ok=True)
    found = world.doctor()
    assert found.not_ok() == [(world.web, "images not in the state", "failure")]
    check = found.check(world.web, "images not in the state")
    assert check["remedy"] == "Run imagefactory adopt --stack test" and next(iter(world.held(web))) in check["fact"]


def test_a_plan_that_would_fail_is_found(world: DoctorWorld) -> None:
    """Such as a pin of an image that does not exist."""
    world.settings["pins"] = {WINDOWS: "None-Such"}
    found = world.doctor()
    assert found.not_ok() == [("stack", "plan", "failure")] and "None-Such" in found.check("stack", "plan")["fact"]


def test_a_run_that_would_delete_too_many_images_is_found(world: DoctorWorld) -> None:
    """Such as those of a lab that labs.json lost; with the setting that permits it."""
    world.serve()
    world.add_lab("data", "Win2016")
    world.settings["maxDeletes"] = 0
    del world.wishes["web"]
    found = world.doctor()
    assert found.not_ok() == [("stack", "plan", "failure")]
    check = found.check("stack", "plan")
    assert "would delete 1 of 1 images" in check["fact"] and "maxDeletes 1 --stack test" in check["remedy"]


def test_each_error_of_labs_json_is_a_row_with_its_place(world: DoctorWorld) -> None:
    """Factory, sign-in and state are checked all the same."""
    world.wishes["web"] = ["Win2106", "Ubuntu"]
    found = world.doctor()
    rows = [one for one in found.checks if one["check"] == "labs.json"]
    assert [one["result"] for one in rows].count("failure") == 2 and found.ended.code == 1
    assert "labs.json:1:" in rows[0]["fact"] and "Win2016" in rows[0]["remedy"]
    assert found.check("factory", "read blobs")["result"] == "ok"


def test_wrong_settings_and_stacks_are_wrong_usage(world: DoctorWorld) -> None:
    """Exit code 2, as for all commands."""
    world.settings["keep"] = 0
    assert world.command("doctor", "--json").code == 2


def test_a_sign_in_that_azure_native_would_not_do_is_found(world: DoctorWorld) -> None:
    """Tools and state are checked all the same; no token is in the output."""
    found = world.doctor(variables={"ARM_USE_MSI": "1"})
    assert found.not_ok() == [
        ("stack", "sign-in", "failure"),
        ("stack", "labs and storage", "unknown"),
        ("stack", "images not in the state", "unknown"),
    ]
    assert "ARM_USE_MSI" in found.check("stack", "sign-in")["fact"]


def test_a_sign_in_that_is_refused_is_found(world: DoctorWorld) -> None:
    """The identity endpoint does not know the caller."""
    found = world.doctor(variables={"IDENTITY_HEADER": "wrong"})
    assert found.not_ok()[0] == ("stack", "sign-in", "failure")


def test_options_that_only_azure_native_reads_are_found(world: DoctorWorld) -> None:
    """In the stack file."""
    world.doctor()
    file = world.folder / f"Pulumi.{world.stack}.yaml"
    document = yaml.safe_load(file.read_text("utf-8"))
    document["config"]["azure-native:clientId"] = "made-up"
    file.write_text(yaml.safe_dump(document), "utf-8")
    world.write_configuration = lambda: None  # type: ignore[method-assign]  # keeps the file as it is
    found = world.doctor()
    assert found.not_ok() == [("stack", "sign-in options", "warning")] and "made-up" not in found.ended.stdout


@pytest.mark.parametrize(("ahead", "result"), [(90, "warning"), (600, "failure")])
def test_a_clock_that_differs_is_found(world: DoctorWorld, ahead: float, result: str) -> None:
    """Azure's clock is ahead; by the header Date of its responses."""
    world.cloud.set_sign_in(clock_ahead_seconds=ahead)
    found = world.doctor()
    assert found.not_ok() == [("stack", "clock", result)]
    assert "behind Azure's" in found.check("stack", "clock")["fact"]


def test_old_and_missing_tools_are_found(world: DoctorWorld, tmp_path: Path) -> None:
    """An old pulumi command, and no plugin of the SDK's version, though none is downloaded here."""
    world.doctor()
    real = Path(
        next(folder for folder in world.environment["PATH"].split(os.pathsep) if Path(folder, "pulumi").exists())
    )
    script = f'case $1 in version) echo v3.100.0;; plugin) echo "[]";; *) exec "{real}/pulumi" "$@";; esac'
    tools = command(tmp_path / "bin", "pulumi", script)
    found = world.doctor(variables={"PATH": f"{tools}{os.pathsep}{world.environment['PATH']}"})
    assert found.not_ok() == [("stack", "plugin azure-native", "failure"), ("stack", "pulumi", "warning")]
    assert "pulumi plugin install resource azure-native" in found.check("stack", "plugin azure-native")["remedy"]


def test_a_machine_without_pulumi_is_found(world: DoctorWorld, tmp_path: Path) -> None:
    """Azure is checked all the same."""
    world.doctor()
    (world.folder / "Pulumi.yaml").unlink()
    (world.folder / "Pulumi.yaml").write_text("name: imagefactory\nruntime: python\n", "utf-8")
    found = world.doctor(variables={"PATH": command(tmp_path / "bin", "nothing", "true")})
    assert [each[1:] for each in found.not_ok()] == [
        ("pulumi", "failure"),
        ("state backend", "failure"),
        ("images not in the state", "unknown"),
    ]
    assert found.check(world.web, "read blobs")["result"] == "ok"
