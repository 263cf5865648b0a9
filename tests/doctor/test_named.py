"""A `pulumi up` that fails for what `imagefactory doctor` finds names the command; others do not."""

from __future__ import annotations

import pytest

from tests.doctor.doctor_world import DoctorWorld

pytestmark = pytest.mark.engine

COMMAND = "Run imagefactory doctor --stack test to see all that is missing"


def test_a_lab_that_cannot_be_read_names_the_doctor(world: DoctorWorld) -> None:
    """In the last error of the run; the doctor finds the same lab."""
    web = world.labs["web"]
    world.cloud.set_faults(
        [{"service": "arm", "path": f"{web.id}/customimages", "action": {"status": 403, "code": "AuthorizationFailed"}}]
    )
    run = world.up()
    assert run.code != 0 and COMMAND in run.output, run.output
    assert world.doctor().not_ok() == [(world.web, "lab", "failure")]


def test_a_factory_or_a_sign_in_that_fails_names_the_doctor(world: DoctorWorld) -> None:
    """The error that stops the run."""
    world.settings["factory"] = {"subscriptionId": world.subscription, "labName": "elsewhere"}
    run = world.preview()
    assert run.code != 0 and COMMAND in run.output, run.output
    world.environment = {**world.environment, "ARM_USE_MSI": "1"}
    run = world.preview()
    assert run.code != 0 and "ARM_USE_MSI" in run.output and COMMAND in run.output, run.output


def test_a_copy_that_is_denied_names_the_doctor(world: DoctorWorld) -> None:
    """In the error of the image."""
    account = world.labs["web"].account
    denied = {"status": 403, "code": "AuthorizationPermissionMismatch"}
    world.cloud.set_faults([{"service": "blob", "method": "PUT", "path": f"^/{account}/", "action": denied}])
    run = world.up()
    assert run.code != 0 and "Run imagefactory doctor to see all that is missing" in run.output, run.output


def test_other_failures_do_not_name_the_doctor(world: DoctorWorld) -> None:
    """Such as a copy that the service fails to make, or a pin of an image that does not exist."""
    account = world.labs["web"].account
    fault = {"service": "blob", "method": "PUT", "path": f"^/{account}/", "action": {"status": 400, "code": "Odd"}}
    world.cloud.set_faults([fault])
    world.settings["pins"] = {"Ubuntu/Jammy.json": "None-Such"}
    world.define("Ubuntu/Jammy.json")
    run = world.up()
    assert run.code != 0 and "None-Such" in run.output and "doctor" not in run.output, run.output
