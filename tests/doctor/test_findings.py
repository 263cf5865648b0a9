"""Each fault of labs, storage and permissions is a row of its own subject, and hides no other check."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.roles.actions import Place, Purpose, Role
from imagefactory.roles.purposes import role_of
from tests.doctor.doctor_world import DoctorWorld
from tests.e2e.world import Lab

pytestmark = pytest.mark.engine


def refused(path: str, service: str = "arm", code: str = "AuthorizationFailed", **more: Any) -> dict[str, Any]:
    """A fault rule: 403."""
    return {"service": service, "path": path, "action": {"status": 403, "code": code}, **more}


def role(scope: str, given: Role, *without: str, **more: Any) -> dict[str, Any]:
    """A role assignment for the embedded cloud."""
    actions = [each for each in given.actions if each not in without]
    data = [each for each in given.data_actions if each not in without]
    return {"scope": scope, "actions": actions, "dataActions": data, **more}


def account_id(lab: Lab) -> str:
    """The ARM id of a lab's storage account."""
    return f"{lab.id.partition('/providers/')[0]}/providers/Microsoft.Storage/storageAccounts/{lab.account}"


@pytest.mark.parametrize(
    ("facts", "name", "result", "part"),
    [
        ({"kind": "BlockBlobStorage"}, "storage account", "failure", "cannot contain page blobs"),
        ({"isHnsEnabled": True}, "storage account", "failure", "hierarchical namespace"),
        ({"kind": "Storage"}, "storage account", "warning", "retires"),
        ({"allowedCopyScope": "PrivateLink"}, "copy scope", "warning", "private link"),
    ],
)
def test_an_account_of_the_wrong_kind_is_found(
    world: DoctorWorld, facts: dict[str, Any], name: str, result: str, part: str
) -> None:
    """The fact names the account, the remedy what to change."""
    world.cloud.set_storage_account(world.labs["web"].account, **facts)
    found = world.doctor()
    assert found.not_ok() == [(world.web, name, result)]
    check = found.check(world.web, name)
    assert part in check["fact"] and world.labs["web"].account in check["fact"] and check["remedy"]


def test_network_rules_that_keep_this_machine_out_are_found(world: DoctorWorld) -> None:
    """By the rules and by the attempt to read; a closed account that admits this machine is fine."""
    world.cloud.set_storage_account(world.labs["web"].account, defaultAction="Deny")
    found = world.doctor()
    assert found.not_ok() == [(world.web, "network rules", "failure"), (world.web, "read blobs", "failure")]
    assert "labs-behind-firewalls" in found.check(world.web, "network rules")["remedy"]


def test_shared_keys_matter_only_with_account_keys(world: DoctorWorld) -> None:
    """With `aad` they may be forbidden; with `key` the lab could not be served."""
    account = world.labs["web"].account
    world.cloud.set_storage_account(account, allowSharedKeyAccess=False)
    world.cloud.set_sign_in(keyless_accounts=[account])
    assert world.doctor().not_ok() == []
    world.settings["storageAuth"] = "key"
    found = world.doctor()
    assert found.not_ok() == [(world.web, "shared keys", "failure"), (world.web, "read blobs", "failure")]
    assert "storageAuth to aad" in found.check(world.web, "shared keys")["remedy"]


def test_labs_that_cannot_be_read_are_found(world: DoctorWorld) -> None:
    """One that does not exist, one of an unknown subscription, two that refuse."""
    for name in ("refuses", "cut"):
        world.add_lab(name, "Win2016")
    for name, subscription in (("ghost", world.subscription), ("lost", "99999999-0000-4000-8000-000000000000")):
        world.labs[name] = Lab(name, subscription, "none")
        world.wishes[name] = ["Win2016"]
    world.cloud.set_faults([refused("labs/refuses/customimages"), refused("labs/cut/", code="Gone")])
    found = world.doctor()
    assert {each for each in found.not_ok() if each[0] != "stack"} == {
        (world.label(name), "lab", "failure") for name in ("ghost", "lost", "refuses", "cut")
    }
    assert "not found in subscription" in found.check(world.label("ghost"), "lab")["fact"]
    assert "AuthorizationFailed" in found.check(world.label("refuses"), "lab")["fact"]
    unknown = found.check("stack", "subscription 99999999-0000-4000-8000-000000000000")
    assert unknown["result"] == "failure" and "cannot see it" in unknown["fact"]
    assert found.check(world.web, "read blobs")["result"] == "ok"


def test_a_factory_that_does_not_exist_is_found(world: DoctorWorld) -> None:
    """The labs are checked all the same."""
    world.settings["factory"] = {"subscriptionId": world.subscription, "labName": "elsewhere"}
    found = world.doctor()
    assert ("factory", "lab", "failure") in found.not_ok()
    assert found.check(world.web, "read blobs")["result"] == "ok"


def test_each_missing_action_is_named(world: DoctorWorld) -> None:
    """Of the subscription, the lab and its storage account; what only a save needs is a warning."""
    web, scope = world.labs["web"], f"/subscriptions/{world.subscription}"
    missing = ("Microsoft.DevTestLab/labs/customImages/write", "Microsoft.Storage/storageAccounts/read")
    blobs = role_of(Place.LAB_STORAGE).data_actions
    world.cloud.set_permissions(
        role(scope, role_of(Place.SUBSCRIPTION), *missing),
        role(web.id, role_of(Place.LAB), *missing),
        role(account_id(web), role_of(Place.LAB_STORAGE), blobs[1]),
    )
    found = world.doctor()
    subscription = f"permissions on subscription {world.subscription}"
    assert found.not_ok() == [
        ("stack", subscription, "failure"),
        ("factory", "permissions to save", "warning"),
        ("factory", "permission to read disk operations", "warning"),
        ("factory", "permissions to delete VMs", "warning"),
        ("factory", "write blobs", "warning"),
        (world.web, "permissions on the lab", "failure"),
        (world.web, "write blobs", "failure"),
    ]
    for subject, name, action, others in (
        ("stack", subscription, missing[1], role_of(Place.SUBSCRIPTION).actions),
        (world.web, "permissions on the lab", missing[0], role_of(Place.LAB).actions),
        (world.web, "write blobs", blobs[1], blobs),
    ):
        check = found.check(subject, name)
        assert check["fact"].endswith(f": {action}"), check
        assert not any(each in check["fact"] for each in others if each != action)
        assert "docs/permissions.md" in check["remedy"]
    assert all(
        each in found.check("factory", "permissions to save")["fact"]
        for each in role_of(Place.FACTORY_MACHINES, Purpose.SAVE).actions[1:3]
    )


def test_the_vms_of_labs_are_asked_for_only_if_a_setting_needs_them(world: DoctorWorld) -> None:
    """Without the permission, no run can see which images are in use, so none is deleted."""
    name, action = "permission to read VMs of the lab", role_of(Place.LAB_MACHINES).actions[0]
    world.cloud.set_permissions({"actions": ["*"], "notActions": [action], "dataActions": ["*"]})
    assert [row for row in world.doctor().not_ok() if row[0] == world.web] == []
    world.settings["keepUsedDays"] = 30
    found = world.doctor()
    assert [row for row in found.not_ok() if row[0] == world.web] == [(world.web, name, "failure")]
    check = found.check(world.web, name)
    assert check["fact"].endswith(f": {action}") and role_of(Place.LAB_MACHINES).name in check["remedy"]


def test_operations_are_read_at_the_subscription(world: DoctorWorld) -> None:
    """Their ids have no resource group, so a role at the lab does not permit it."""
    scope, reading = f"/subscriptions/{world.subscription}", "Microsoft.DevTestLab/locations/operations/read"
    everything = {"actions": ["*"], "dataActions": ["*"]}
    there = [{"scope": f"{scope}/resourceGroups/{group}", **everything} for group in ("labs", "factory")]
    world.cloud.set_permissions(role(scope, role_of(Place.SUBSCRIPTION), reading), *there)
    found = world.doctor()
    name = f"permissions on subscription {world.subscription}"
    assert [row for row in found.not_ok() if row[2] == "failure"] == [("stack", name, "failure")]
    assert found.check("stack", name)["fact"].endswith(f": {reading}")
    disks = found.check("factory", "permission to read disk operations")
    assert disks["result"] == "warning" and "Microsoft.Compute/locations/diskOperations/read" in disks["fact"]


def test_a_permission_with_a_condition_is_a_warning(world: DoctorWorld) -> None:
    """Conditions are not evaluated."""
    world.cloud.set_permissions({"actions": ["*"]}, {"dataActions": ["*"], "condition": "@Resource[x] == 'y'"})
    found = world.doctor()
    assert (world.web, "write blobs", "warning") in found.not_ok() and found.ended.code == 0


def test_permissions_that_may_not_be_asked_for_are_unknown(world: DoctorWorld) -> None:
    """That is no failure: a distribution does not ask for them."""
    world.cloud.set_faults([refused("Microsoft.Authorization/permissions")])
    found = world.doctor()
    assert {result for *_, result in found.not_ok()} == {"unknown"} and found.ended.code == 0
    assert found.check(world.web, "permissions on the lab")["result"] == "unknown"


@pytest.mark.parametrize("arguments", [(), ("--write-probe",)])
def test_blobs_that_cannot_be_read_or_written_are_found(world: DoctorWorld, arguments: tuple[str, ...]) -> None:
    """Azure's code is in the fact, the role in the remedy. Without a probe, nothing is tried."""
    code, account = "AuthorizationPermissionMismatch", world.labs["web"].account
    world.cloud.set_faults(
        [
            refused(f"^/{world.factory.account}/", "blob", code),
            refused(f"^/{account}/.*(imagefactory-doctor|restype=container$)", "blob", code, method="PUT"),
        ]
    )
    found = world.doctor(*arguments)
    expected = {("factory", "read blobs", "failure")}
    expected |= {("factory", "write blobs", "warning"), (world.web, "write blobs", "failure")} if arguments else set()
    assert set(found.not_ok()) - {("factory", "catalog", "failure"), ("stack", *UNPLANNED)} == expected
    for subject, name, _ in expected:
        check = found.check(subject, name)
        assert code in check["fact"] and "Storage Blob Data" in check["remedy"], check


UNPLANNED = ("images not in the state", "unknown")


def test_a_lab_that_does_not_respond_delays_no_other(world: DoctorWorld) -> None:
    """Its check says so; the others are done."""
    world.add_lab("mute", "Win2016")
    world.cloud.set_faults([{"service": "arm", "path": "labs/mute/customimages", "action": {"delaySeconds": 15}}])
    found = world.doctor()
    assert found.not_ok() == [(world.label("mute"), "lab", "failure")]
    assert "no response from Azure within" in found.check(world.label("mute"), "lab")["fact"]
