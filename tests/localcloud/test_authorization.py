"""The embedded cloud shows the roles, deny assignments and tenants that a test sets, by scope."""

from __future__ import annotations

from typing import Any

import pytest

from localcloud.client import CloudClient, CloudError
from tests.e2e.cloud_calls import request

SUBSCRIPTION = "70000000-0000-4000-8000-000000000000"
LAB = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/labs/providers/Microsoft.DevTestLab/labs/web"


def shown(cloud: CloudClient, scope: str) -> list[list[str]]:
    """The actions of each role at a scope."""
    path = f"{scope}/providers/Microsoft.Authorization/permissions?api-version=2022-04-01"
    return [each["actions"] for each in request(cloud.status(), "GET", path).json()["value"]]


def test_roles_count_at_their_scope_and_below(fresh_cloud: CloudClient) -> None:
    """Without roles set, everything is permitted everywhere; case does not matter, and a name is no beginning."""
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": []}]})
    assert shown(fresh_cloud, LAB) == [["*"]]
    scope = f"/subscriptions/{SUBSCRIPTION}"
    fresh_cloud.set_permissions({"scope": scope, "actions": ["a"]}, {"scope": LAB.upper(), "actions": ["b"]})
    assert shown(fresh_cloud, LAB) == [["a"], ["b"]]
    assert shown(fresh_cloud, f"{LAB}2") == shown(fresh_cloud, scope) == [["a"]]
    fresh_cloud.set_permissions()
    assert shown(fresh_cloud, scope) == [["*"]]


def test_a_subscription_shows_its_tenant(fresh_cloud: CloudClient) -> None:
    """And its state, and who manages it by delegation."""
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": []}]})
    found = request(fresh_cloud.status(), "GET", f"/subscriptions/{SUBSCRIPTION}?api-version=2022-12-01").json()
    assert (found["state"], found["subscriptionId"], found["managedByTenants"]) == ("Enabled", SUBSCRIPTION, [])
    fresh_cloud.set_permissions(subscriptions={SUBSCRIPTION: {"tenantId": "t", "managedByTenants": ["m"]}})
    found = request(fresh_cloud.status(), "GET", f"/subscriptions/{SUBSCRIPTION}?api-version=2022-12-01").json()
    assert (found["tenantId"], found["managedByTenants"]) == ("t", [{"tenantId": "m"}])


def test_a_role_with_unknown_keys_is_refused(fresh_cloud: CloudClient) -> None:
    """And changes nothing."""
    with pytest.raises(CloudError, match="nothing was changed"):
        fresh_cloud.set_permissions({"actoins": ["a"]})


def denied(cloud: CloudClient, scope: str) -> list[dict[str, Any]]:
    """The properties of each deny assignment that a scope shows."""
    path = f"{scope}/providers/Microsoft.Authorization/denyAssignments?api-version=2022-04-01"
    return [each["properties"] for each in request(cloud.status(), "GET", path).json()["value"]]


def test_deny_assignments_are_shown_at_above_and_below_their_scope(fresh_cloud: CloudClient) -> None:
    """For everyone, unless principals are named."""
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": []}]})
    scope = f"/subscriptions/{SUBSCRIPTION}"
    assert denied(fresh_cloud, scope) == []
    one = {"name": "one", "scope": f"{scope}/resourceGroups/labs", "actions": ["*/delete"], "principals": [{"id": "b"}]}
    fresh_cloud.set_permissions(deny=[{"name": "all", "scope": scope, "dataActions": ["*"]}, one])
    assert shown(fresh_cloud, scope) == [["*"]]
    assert [each["denyAssignmentName"] for each in denied(fresh_cloud, scope)] == ["all", "one"]
    (everyone, own) = denied(fresh_cloud, LAB)
    assert everyone["principals"] == [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}]
    assert (own["permissions"][0]["actions"], own["principals"][0]["id"]) == (["*/delete"], "b")
    assert [each["denyAssignmentName"] for each in denied(fresh_cloud, f"{scope}/resourceGroups/other")] == ["all"]
