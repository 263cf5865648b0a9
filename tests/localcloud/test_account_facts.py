"""What a storage account is like decides what the blob service answers, and ARM shows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.storage.blob import BlobServiceClient

from localcloud.account_facts import AccountFacts
from localcloud.client import CloudClient, CloudError
from localcloud.seed import parse_seed
from tests.localcloud.blob_world import Pair, refusal


@pytest.fixture(autouse=True)
def ordinary(pair: Pair) -> Iterator[None]:
    """Accounts are shared by the tests of a session."""
    yield
    for blob in (pair.source, pair.target):
        pair.cloud.set_storage_account(str(blob.account_name))


@pytest.mark.parametrize("facts", [{"defaultAction": "Deny"}, {"publicNetworkAccess": "Disabled"}])
def test_an_account_that_denies_public_networks_answers_nothing(pair: Pair, facts: dict[str, object]) -> None:
    """Itself 403; as the source of a copy 403 CannotVerifyCopySource, with the source's own answer in headers."""
    pair.cloud.set_storage_account(str(pair.source.account_name), **facts)
    assert refusal(pair.source.get_blob_properties) == (403, "AuthorizationFailure")
    copy = pair.target.get_blob_client("copy.vhd")
    assert refusal(lambda: copy.start_copy_from_url(pair.source.url)) == (403, "CannotVerifyCopySource")
    assert not copy.exists()


@pytest.mark.parametrize(
    "facts", [{"kind": "BlobStorage"}, {"kind": "BlockBlobStorage", "sku": "Premium_LRS"}, {"isHnsEnabled": True}]
)
def test_an_account_of_another_kind_holds_no_page_blobs(pair: Pair, facts: dict[str, object]) -> None:
    """Other blobs are written as usual."""
    pair.cloud.set_storage_account(str(pair.target.account_name), **facts)
    assert refusal(lambda: pair.target.get_blob_client("a.vhd").create_page_blob(512)) == (409, "BlobTypeNotSupported")
    pair.target.get_blob_client("a.json").upload_blob(b"{}")


def test_a_disabled_account_says_so(pair: Pair) -> None:
    """403 AccountIsDisabled to every call."""
    pair.cloud.set_storage_account(str(pair.source.account_name), disabled=True)
    assert refusal(pair.source.get_blob_properties) == (403, "AccountIsDisabled")


def test_a_deleted_container_cannot_be_created_for_a_while(pair: Pair) -> None:
    """Create is 409 ContainerBeingDeleted, all else 404 ContainerNotFound, as documented."""
    pair.cloud.set_latencies({"containerDeleteSeconds": 600})
    pair.target.delete_container()
    assert refusal(pair.target.create_container) == (409, "ContainerBeingDeleted")
    assert refusal(lambda: pair.target.get_blob_client("a").upload_blob(b"")) == (404, "ContainerNotFound")
    service = BlobServiceClient(pair.target.url.rpartition("/")[0], pair.target.credential)
    service.create_container("other")
    pair.cloud.set_latencies({})


def test_the_facts_have_the_form_of_arm() -> None:
    """Kind, SKU and tier beside the properties; what is not set is not shown."""
    facts = AccountFacts.model_validate({"kind": "BlockBlobStorage", "sku": "Premium_LRS", "allowedCopyScope": "AAD"})
    shown = facts.to_arm()
    assert (shown["kind"], shown["sku"]) == ("BlockBlobStorage", {"name": "Premium_LRS", "tier": "Premium"})
    assert shown["properties"]["allowedCopyScope"] == "AAD" and "isHnsEnabled" not in shown["properties"]


def test_a_seed_declares_them_by_name(fresh_cloud: CloudClient) -> None:
    """An unknown key is rejected, in a seed and in a call."""
    seed = parse_seed({"storageAccounts": ["lake"], "accountFacts": {"lake": {"isHnsEnabled": True}}})
    assert seed.account_facts["lake"].is_hns_enabled
    with pytest.raises(CloudError, match="kindd"):
        fresh_cloud.set_storage_account("lake", kindd="x")
