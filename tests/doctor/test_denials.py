"""What deny assignments take away, and subscriptions of other tenants, as the doctor finds them."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.arm.identity import OBJECT, TENANT
from tests.doctor.doctor_world import DoctorWorld
from tests.doctor.test_findings import account_id, refused

pytestmark = pytest.mark.engine

OTHER = "00000000-0000-0000-0000-0000000000cc"
DELETE = "Microsoft.DevTestLab/labs/customImages/delete"
GROUP = {"id": OTHER, "type": "Group"}


def denial(scope: str, *actions: str, **more: Any) -> dict[str, Any]:
    """A deny assignment for the embedded cloud, for everyone unless `more` names principals."""
    return {"name": "stack-protects", "scope": scope, "actions": actions, **more}


def test_an_action_that_is_denied_at_a_lab_fails_its_check(world: DoctorWorld) -> None:
    """By name, though a role permits it, as a deployment stack does; other labs and actions are not concerned."""
    world.add_lab("data", "Win2016")
    web = world.labs["web"]
    world.cloud.set_permissions(deny=[denial(web.id, "*/delete", notActions=["*/virtualMachines/delete"])])
    found = world.doctor()
    assert found.not_ok() == [(world.web, "permissions on the lab", "failure")]
    check = found.check(world.web, "permissions on the lab")
    assert f"deny assignment 'stack-protects' denies {DELETE} on web" in check["fact"] and "exclude" in check["remedy"]
    assert "1 there and below" in found.check("stack", f"deny assignments of subscription {world.subscription}")["fact"]


def test_a_denial_counts_below_its_scope_unless_it_says_otherwise(world: DoctorWorld) -> None:
    """Data actions too; what only a save needs is a warning."""
    web = world.labs["web"]
    write = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"
    world.cloud.set_permissions(deny=[denial(web.id.partition("/providers/")[0], dataActions=[write])])
    found = world.doctor()
    assert (
        found.not_ok() == [(world.web, "write blobs", "failure")]
        and write in found.check(*found.not_ok()[0][:2])["fact"]
    )
    here = denial(web.id.partition("/providers/")[0], "*", doNotApplyToChildScopes=True)
    world.cloud.set_permissions(deny=[here, denial(f"{account_id(web)}2", "*", dataActions=["*"])])
    assert world.doctor().not_ok() == []
    world.cloud.set_permissions(deny=[denial(f"/subscriptions/{world.subscription}", "Microsoft.Compute/disks/*")])
    concerned = ("permissions to save", "permissions to delete VMs")
    assert world.doctor().not_ok() == [("factory", name, "warning") for name in concerned]


@pytest.mark.parametrize(
    ("whom", "result"),
    [
        ({"principals": [{"id": OBJECT.upper()}]}, "failure"),
        ({"principals": [{"id": OTHER, "type": "User"}]}, None),
        ({"excludePrincipals": [{"id": OBJECT}]}, None),
        ({"principals": [GROUP]}, "warning"),
        ({"excludePrincipals": [GROUP]}, "warning"),
        ({"condition": "@Resource[x] == 'y'"}, "warning"),
    ],
)
def test_a_denial_concerns_those_whom_it_names_and_does_not_exclude(
    world: DoctorWorld, whom: dict[str, Any], result: str | None
) -> None:
    """A group's members are not known from the token of an application, nor whether a condition is met."""
    world.cloud.set_permissions(deny=[denial(world.labs["web"].id, DELETE, **whom)])
    found = world.doctor()
    expected = [(world.web, "permissions on the lab", result)] if result else []
    assert found.not_ok() == expected and found.ended.code == (result == "failure")


def test_deny_assignments_that_may_not_be_read_are_unknown(world: DoctorWorld) -> None:
    """And hide nothing; one request serves all labs of a subscription."""
    for name in ("a", "b", "c"):
        world.add_lab(name, "Win2016")
    world.cloud.set_faults([refused("denyAssignments")])
    world.cloud.clear_calls()
    found = world.doctor()
    name = f"deny assignments of subscription {world.subscription}"
    assert found.not_ok() == [("stack", name, "unknown")] and found.ended.code == 0
    assert "Grant Image Factory Check Subscription" in found.check("stack", name)["remedy"]
    assert len([call for call in world.cloud.calls() if "denyAssignments" in call["path"]]) == 1


def test_a_list_of_deny_assignments_that_gets_no_response_hides_no_permission(world: DoctorWorld) -> None:
    """It alone is unknown: the permissions are judged by the roles."""
    world.cloud.set_faults([{"service": "arm", "path": "denyAssignments", "action": {"delaySeconds": 15}}])
    found = world.doctor()
    name = f"deny assignments of subscription {world.subscription}"
    assert found.not_ok() == [("stack", name, "unknown")]
    assert "no response from Azure within" in found.check("stack", name)["fact"]


def test_a_subscription_of_another_tenant_fails_unless_it_is_delegated(world: DoctorWorld) -> None:
    """The fact names both tenants, the remedy the one to sign in to; by Azure Lighthouse it is fine, and said."""
    world.cloud.set_permissions(subscriptions={world.subscription: {"tenantId": OTHER}})
    found = world.doctor()
    name = f"subscription {world.subscription}"
    assert found.not_ok() == [("stack", name, "failure")]
    check = found.check("stack", name)
    assert OTHER in check["fact"] and TENANT in check["fact"] and f"Sign in to tenant {OTHER}" in check["remedy"]
    delegated = {"tenantId": OTHER, "managedByTenants": ["other", TENANT.upper()]}
    world.cloud.set_permissions(subscriptions={world.subscription: delegated})
    found = world.doctor()
    assert found.not_ok() == [] and "Azure Lighthouse" in found.check("stack", name)["fact"]


def test_a_tenant_that_azure_rejects_is_told_with_the_remedy(world: DoctorWorld) -> None:
    """As Azure mostly responds for a subscription of another tenant."""
    path, code = f"^/subscriptions/{world.subscription}\\?", "InvalidAuthenticationTokenTenant"
    world.cloud.set_faults([{"service": "arm", "path": path, "action": {"status": 401, "code": code}}])
    check = world.doctor().check("stack", f"subscription {world.subscription}")
    assert check["result"] == "failure" and code in check["fact"] and "one stack serves one tenant" in check["remedy"]
