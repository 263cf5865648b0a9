"""The embedded cloud's permissions API shows the roles that a test sets, by scope."""

from __future__ import annotations

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
    """And its state."""
    fresh_cloud.seed({"subscriptions": [{"subscriptionId": SUBSCRIPTION, "labs": []}]})
    found = request(fresh_cloud.status(), "GET", f"/subscriptions/{SUBSCRIPTION}?api-version=2022-12-01").json()
    assert (found["state"], found["subscriptionId"]) == ("Enabled", SUBSCRIPTION)


def test_a_role_with_unknown_keys_is_refused(fresh_cloud: CloudClient) -> None:
    """And changes nothing."""
    with pytest.raises(CloudError, match="nothing was changed"):
        fresh_cloud.set_permissions({"actoins": ["a"]})
