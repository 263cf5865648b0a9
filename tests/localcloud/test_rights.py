"""The embedded cloud rejects what roles do not permit, if a test asks for it, as Azure does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import requests

from localcloud.client import CloudClient
from localcloud.rights import Assignment, Need, arm_needs, blob_need
from tests.e2e.cloud_calls import request

SUBSCRIPTION = "70000000-0000-4000-8000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/labs"
LAB = f"{GROUP}/providers/Microsoft.DevTestLab/labs/web"
DISK = f"{GROUP}/providers/Microsoft.Compute/disks/d"
OF_LABS, OF_BLOBS = "Microsoft.DevTestLab/labs", "Microsoft.Storage/storageAccounts/blobServices"


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DevTestLab/labs", {}, f"{OF_LABS}/read"),
        ("GET", f"{LAB}/customimages", {}, f"{OF_LABS}/customimages/read"),
        ("PUT", f"{LAB}/customimages/i", {}, f"{OF_LABS}/customimages/write"),
        ("DELETE", f"{LAB}/customimages/i", {}, f"{OF_LABS}/customimages/delete"),
        ("POST", f"{DISK}/beginGetAccess", {}, "Microsoft.Compute/disks/beginGetAccess/action"),
        ("GET", GROUP, {}, "Microsoft.Resources/subscriptions/resourceGroups/read"),
        ("GET", f"/subscriptions/{SUBSCRIPTION}", {}, "Microsoft.Resources/subscriptions/read"),
        (
            "GET",
            f"{LAB}/providers/Microsoft.Authorization/permissions",
            {},
            "Microsoft.Authorization/permissions/read",
        ),
        (
            "GET",
            f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope/DiskOperations/o",
            {},
            "Microsoft.Compute/locations/DiskOperations/read",
        ),
    ],
)
def test_the_action_of_a_call_is_that_of_its_type(
    method: str, path: str, query: Mapping[str, str], expected: str
) -> None:
    """As Azure's documentation of resource provider operations names them; the scope is what exists before the call."""
    (need,) = arm_needs(method, path, query)
    assert need.action == expected and path.startswith(need.scope) and not need.on_data


def test_some_calls_need_two_actions() -> None:
    """The expanded state of a VM, and the source of a gallery version at its own account."""
    vm = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/v"
    of_vms = "Microsoft.Compute/virtualMachines"
    needs = list(arm_needs("GET", vm, {"$expand": "instanceView"}))
    assert needs == [Need(f"{of_vms}/read", vm), Need(f"{of_vms}/instanceView/read", vm)]
    version = f"{GROUP}/providers/Microsoft.Compute/galleries/g/images/i/versions/1.0.0"
    body = {"properties": {"storageProfile": {"osDiskImage": {"source": {"storageAccountId": "/account"}}}}}
    *_, keys = arm_needs("PUT", version, {}, body)
    assert keys == Need("Microsoft.Storage/storageAccounts/listKeys/action", "/account")


@pytest.mark.parametrize(
    ("method", "path", "query", "action", "on_data"),
    [
        ("GET", "/a/c/b", {}, "containers/blobs/read", True),
        ("GET", "/a/c", {"restype": "container", "comp": "list"}, "containers/blobs/read", True),
        ("PUT", "/a/c/b", {"comp": "page"}, "containers/blobs/write", True),
        ("DELETE", "/a/c/b", {}, "containers/blobs/delete", True),
        ("PUT", "/a/c", {"restype": "container"}, "containers/write", False),
        ("POST", "/a", {"comp": "userdelegationkey"}, "generateUserDelegationKey/action", False),
    ],
)
def test_the_action_of_a_blob_request_is_that_of_the_documentation(
    method: str, path: str, query: Mapping[str, str], action: str, on_data: bool
) -> None:
    """Data actions are those of blobs, not of containers and keys."""
    need = blob_need(method, path, query)
    assert (need.action, need.on_data) == (f"{OF_BLOBS}/{action}", on_data)


def test_a_role_permits_what_it_names_at_its_scope_except_its_exceptions() -> None:
    """In any case; actions are no data actions."""
    role = Assignment(scope=GROUP, actions=("microsoft.devtestlab/*",), not_actions=("*/delete",))
    assert role.contains(Need(f"{OF_LABS}/read", LAB.upper()))
    assert not role.contains(Need(f"{OF_LABS}/delete", LAB))
    assert not role.contains(Need(f"{OF_LABS}/read", f"{GROUP}2"))
    assert not role.contains(Need(f"{OF_LABS}/read", LAB, on_data=True))


def test_roles_are_enforced_only_if_a_test_asks_for_it(fresh_cloud: CloudClient) -> None:
    """Then the answer names client, action and scope; without a role, nothing is permitted."""
    lab = {"name": "web", "resourceGroup": "labs", "region": "westeurope", "storageAccount": "rightsaccount"}
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": [lab]}]})
    status, target = fresh_cloud.status(), f"{LAB}?api-version=2018-09-15"
    role = {"scope": GROUP, "actions": [f"{OF_LABS}/customImages/read"]}
    fresh_cloud.set_permissions(role)
    assert request(status, "GET", target).status_code == 200
    fresh_cloud.set_permissions(role, enforced=True)
    refused = request(status, "GET", target)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (403, "AuthorizationFailed")
    assert f"does not have authorization to perform action '{OF_LABS}/read' over scope '{LAB}'" in error["message"]
    assert request(status, "GET", f"{LAB}/customimages?api-version=2018-09-15").status_code == 200
    fresh_cloud.set_permissions(enforced=True)
    assert request(status, "GET", f"{LAB}/customimages?api-version=2018-09-15").status_code == 403


def test_the_blob_service_names_no_action(fresh_cloud: CloudClient) -> None:
    """As Azure does; account keys are not concerned."""
    lab = {"name": "web", "resourceGroup": "labs", "region": "westeurope", "storageAccount": "rightsaccount"}
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": [lab]}]})
    status = fresh_cloud.status()
    account = next(each for each in status["storageAccounts"] if each["name"] == "rightsaccount")
    headers = {"X-IDENTITY-HEADER": status["identityHeader"]}
    query = "resource=https://storage.azure.com&api-version=2019-08-01"
    token = requests.get(f"{status['identityEndpoint']}?{query}", headers=headers, timeout=10).json()["access_token"]
    url = f"{account['blobEndpoint']}/staged?restype=container"
    bearer = {"Authorization": f"Bearer {token}", "x-ms-version": "2021-12-02"}
    role = {"scope": account["id"], "actions": [f"{OF_BLOBS}/containers/read"], "dataActions": ["*"]}
    fresh_cloud.set_permissions(role, enforced=True)
    refused = requests.put(url, headers=bearer, timeout=10)
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
    assert "Microsoft.Storage" not in refused.text
    fresh_cloud.set_permissions({**role, "actions": [f"{OF_BLOBS}/containers/write"]}, enforced=True)
    assert requests.put(url, headers=bearer, timeout=10).status_code == 201


def test_a_list_of_storage_accounts_shows_those_that_the_caller_may_read(fresh_cloud: CloudClient) -> None:
    """With a role for one account, and none for the subscription."""
    labs = [
        {"name": name, "resourceGroup": "labs", "region": "westeurope", "storageAccount": f"{name}store"}
        for name in ("listed", "hidden")
    ]
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": labs}]})
    of_accounts = "Microsoft.Storage/storageAccounts"
    account = f"{GROUP}/providers/{of_accounts}/listedstore"
    fresh_cloud.set_permissions({"scope": account, "actions": [f"{of_accounts}/read"]}, enforced=True)
    path = f"/subscriptions/{SUBSCRIPTION}/providers/{of_accounts}?api-version=2023-01-01"
    shown = request(fresh_cloud.status(), "GET", path).json()
    fresh_cloud.set_permissions()
    assert [each["name"] for each in shown["value"]] == ["listedstore"]
