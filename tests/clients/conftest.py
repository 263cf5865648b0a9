"""Clients that nobody of this project wrote, on the embedded cloud: Microsoft's SDKs and AzCopy.

The folder mirrors no room of the product. The SDKs are imported by the fixture only: that takes most of a second, and
every worker collects these tests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.core.pipeline import PipelineRequest
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.identity import ManagedIdentityCredential

from localcloud.client import CloudClient
from tests.clients.sdk_world import SUBSCRIPTION, SdkWorld
from toolchain.shell import cloud_variables


class PlainHttp(SansIOHTTPPolicy):  # type: ignore[type-arg] # not generic when it runs
    """Lets the SDK send its token to this machine without TLS."""

    def on_request(self, request: PipelineRequest) -> None:  # type: ignore[type-arg]
        """Set the option that the SDK's policy for tokens reads."""
        assert request.http_request.url.startswith("http://127.0.0.1:")
        request.context.options["enforce_https"] = False


@pytest.fixture
def sdk(fresh_cloud: CloudClient, accounts: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[SdkWorld]:
    """Both SDKs, signed in by the managed identity, as the SDK of identities finds it."""
    from azure.mgmt.compute import ComputeManagementClient
    from azure.mgmt.devtestlabs import DevTestLabsClient

    for name, value in cloud_variables(fresh_cloud.status()).items():
        if name in {"IDENTITY_ENDPOINT", "IDENTITY_HEADER"}:
            monkeypatch.setenv(name, value)
    plain = {"base_url": fresh_cloud.base_url, "per_call_policies": [PlainHttp()]}
    with (
        ManagedIdentityCredential() as credential,
        DevTestLabsClient(credential, SUBSCRIPTION, **plain) as labs,
        ComputeManagementClient(credential, SUBSCRIPTION, **plain) as compute,
    ):
        yield SdkWorld(fresh_cloud, accounts, labs, compute)
