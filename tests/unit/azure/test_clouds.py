"""The endpoints of each Azure cloud, compared with what Microsoft's own libraries say of it."""

from __future__ import annotations

import pulumi_azure_native as azure_native
import pytest
from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints

from imagefactory.azure.core.clouds import CLOUDS, Cloud, cloud_of
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.errors import ImageFactoryError
from tests.unit.builders import SUBSCRIPTION


def cloud(name: str, **endpoints: str) -> Cloud:
    """The cloud of a stack with these settings."""
    factory = {"subscriptionId": SUBSCRIPTION, "labName": "factory"}
    return cloud_of(parse_settings({"factory": factory, "cloud": name, "endpoints": endpoints}, {}))


@pytest.mark.parametrize(
    ("name", "known_as", "authority", "blobs"),
    [
        (
            "public",
            AzureClouds.AZURE_PUBLIC_CLOUD,
            AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
            "https://store.blob.core.windows.net",
        ),
        (
            "usgovernment",
            AzureClouds.AZURE_US_GOVERNMENT,
            AzureAuthorityHosts.AZURE_GOVERNMENT,
            "https://store.blob.core.usgovcloudapi.net",
        ),
        (
            "china",
            AzureClouds.AZURE_CHINA_CLOUD,
            AzureAuthorityHosts.AZURE_CHINA,
            "https://store.blob.core.chinacloudapi.cn",
        ),
    ],
)
def test_each_cloud_has_its_own_endpoints_and_authority(
    name: str, known_as: AzureClouds, authority: str, blobs: str
) -> None:
    """Requests, tokens and VHDs of a sovereign cloud go nowhere else."""
    found = cloud(name)
    assert f"{found.resource_manager}/" == get_arm_endpoints(known_as)["resource_manager"]
    assert found.authority == authority
    assert found.blob_service("store") == blobs
    assert [found.scope] == get_arm_endpoints(known_as)["credential_scopes"]
    assert not found.loopback


def test_azure_native_calls_the_clouds_by_the_same_names() -> None:
    """Its provider's `environment` lists the names that it takes."""
    told = str(azure_native.ProviderArgs.environment.__doc__)
    assert {name: each.name for name, each in CLOUDS.items()} == {name: name for name in CLOUDS}
    assert f"Possible values are {', '.join(list(CLOUDS)[:-1])}, and {list(CLOUDS)[-1]}." in told


def test_a_given_endpoint_stands_in_for_the_clouds_own_and_the_rest_stays() -> None:
    """Such as a private address of the blob service in a sovereign cloud."""
    found = cloud("china", blob="https://{account}.blob.example.cn/")
    assert found.blob_service("store") == "https://store.blob.example.cn"
    assert (found.name, found.authority, found.resource_manager) == (
        "china",
        CLOUDS["china"].authority,
        CLOUDS["china"].resource_manager,
    )


def test_a_custom_cloud_has_nothing_but_what_is_given() -> None:
    """No name for azure-native, and no authority of another cloud."""
    found = cloud("custom", resourceManager="http://127.0.0.1:1/", blob="http://127.0.0.1:2/{account}")
    assert found == Cloud(None, "http://127.0.0.1:1", "http://127.0.0.1:2/{account}")
    assert found.loopback


@pytest.mark.parametrize(
    "name", ["", "a.example/x", "attacker.example#", "x@attacker", "a:8", "ab", "a" * 25, "\u212aelvin"]
)
def test_only_the_name_of_a_storage_account_becomes_a_host(name: str) -> None:
    """Anything else is refused in one line, for tokens are sent to that host."""
    for found in CLOUDS.values():
        with pytest.raises(ImageFactoryError, match="is not the name of a storage account") as caught:
            found.blob_service(name)
        assert "\n" not in str(caught.value)
    assert CLOUDS["public"].blob_service("Store01") == "https://Store01.blob.core.windows.net"
