"""The endpoints of each Azure cloud, compared with those in Microsoft's own libraries."""

from __future__ import annotations

import re

import pulumi_azure_native as azure_native
import pytest
from azure.core import AzureClouds
from azure.identity import AzureAuthorityHosts
from azure.mgmt.core.tools import get_arm_endpoints
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.core.clouds import CLOUDS, Cloud, cloud_of
from imagefactory.configuration.stack_settings import parse_settings
from imagefactory.errors import ImageFactoryError
from tests.unit.builders import SUBSCRIPTION


def cloud(name: str, **endpoints: str) -> Cloud:
    """Return the cloud of a stack with these settings."""
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
    """Requests, tokens and VHDs of a sovereign cloud are sent to that cloud only."""
    found = cloud(name)
    assert f"{found.resource_manager}/" == get_arm_endpoints(known_as)["resource_manager"]
    assert found.authority == authority
    assert found.blob_service("store") == blobs
    assert [found.scope] == get_arm_endpoints(known_as)["credential_scopes"]
    assert not found.loopback


ZONE = "https://store.z12.blob.storage.azure.net"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (f"{ZONE}/", ZONE),
        (ZONE, ZONE),
        (f"{ZONE}/imagefactory-staging/a.vhd", ZONE),
        ("https://store.blob.core.windows.net/", ""),
        ("https://other.z12.blob.storage.azure.net/", ""),
        ("http://store.z12.blob.storage.azure.net/", ""),
        ("https://store.z123.blob.storage.azure.net/", ""),
        ("https://store.z12.blob.storage.azure.net.attacker.example/", ""),
        ("https://store.z12.blob.storage.azure.net@attacker.example/", ""),
        ("https://store.z12.blob.storage.azure.net:8443/", ""),
        ("https://attacker.example/https://store.z12.blob.storage.azure.net/", ""),
        ("", ""),
    ],
)
def test_only_a_dns_zone_of_azure_replaces_the_usual_endpoint_of_an_account(told: str, expected: str) -> None:
    """Whatever else the resource manager or a URL says, tokens go to the account's usual host."""
    found = cloud("public")
    assert found.endpoint_of("store", told) == (expected or found.blob_service("store"))
    assert cloud("china").endpoint_of("store", told) == cloud("china").blob_service("store")


@given(st.text(max_size=60))
def test_no_text_leads_to_another_host(told: str) -> None:
    """A host of Azure that begins with the account's name, or the usual one."""
    endpoint = cloud("public").endpoint_of("store", f"https://store{told}")
    assert re.fullmatch(r"https://store(\.z\d\d\.blob\.storage\.azure|\.blob\.core\.windows)\.net", endpoint)


def test_azure_native_has_the_same_names_for_the_clouds() -> None:
    """Its provider's `environment` lists the valid names."""
    documented = str(azure_native.ProviderArgs.environment.__doc__)
    assert {name: each.name for name, each in CLOUDS.items()} == {name: name for name in CLOUDS}
    assert f"Possible values are {', '.join(list(CLOUDS)[:-1])}, and {list(CLOUDS)[-1]}." in documented


def test_an_endpoint_in_the_settings_replaces_only_the_clouds_own() -> None:
    """Such as a private endpoint of the blob service in a sovereign cloud."""
    found = cloud("china", blob="https://{account}.blob.example.cn/")
    assert found.blob_service("store") == "https://store.blob.example.cn"
    assert (found.name, found.authority, found.resource_manager) == (
        "china",
        CLOUDS["china"].authority,
        CLOUDS["china"].resource_manager,
    )


def test_a_custom_cloud_has_only_the_endpoints_of_the_settings() -> None:
    """It has no name for azure-native, and no authority of another cloud."""
    found = cloud("custom", resourceManager="http://127.0.0.1:1/", blob="http://127.0.0.1:2/{account}")
    assert found == Cloud(None, "http://127.0.0.1:1", "http://127.0.0.1:2/{account}")
    assert found.loopback


@pytest.mark.parametrize(
    "name", ["", "a.example/x", "attacker.example#", "x@attacker", "a:8", "ab", "a" * 25, "\u212aelvin"]
)
def test_only_a_valid_account_name_becomes_a_host(name: str) -> None:
    """Other names are an error of one line, because tokens are sent to that host."""
    for found in CLOUDS.values():
        with pytest.raises(ImageFactoryError, match="is not the name of a storage account") as caught:
            found.blob_service(name)
        assert "\n" not in str(caught.value)
    assert CLOUDS["public"].blob_service("Store01") == "https://Store01.blob.core.windows.net"
