"""Where a state backend `azblob://` is, and how it is opened: by the rules of Pulumi."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.storage.state_container import state_container

ACCOUNT = {"AZURE_STORAGE_ACCOUNT": "own"}


@pytest.mark.parametrize(
    ("query", "variables", "endpoint"),
    [
        ("storage_account=acc", {}, "https://acc.blob.core.windows.net"),
        ("", ACCOUNT, "https://own.blob.core.windows.net"),
        ("storage_account=acc", ACCOUNT, "https://acc.blob.core.windows.net"),
        ("domain=blob.core.usgovcloudapi.net", ACCOUNT, "https://own.blob.core.usgovcloudapi.net"),
        ("", {**ACCOUNT, "AZURE_STORAGE_DOMAIN": "d", "AZURE_STORAGE_PROTOCOL": "http"}, "http://own.d"),
        ("domain=127.0.0.1:10000&protocol=http", ACCOUNT, "http://127.0.0.1:10000/own"),
        ("domain=localhost:1", ACCOUNT, "https://localhost:1/own"),
        ("domain=azurite:1&localemu=true&protocol=http", ACCOUNT, "http://azurite:1/own"),
        (
            "domain=azurite:1&localemu=false",
            {**ACCOUNT, "AZURE_STORAGE_IS_LOCAL_EMULATOR": "true"},
            "https://own.azurite:1",
        ),
        ("domain=cdn.example.com&cdn=1", ACCOUNT, "https://cdn.example.com"),
        ("domain=d", {**ACCOUNT, "AZURE_STORAGE_IS_CDN": "T"}, "https://d"),
        ("", {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=c;AccountKey=a=="}, "https://c.blob.core.windows.net"),
    ],
)
def test_parameters_replace_variables(query: str, variables: dict[str, str], endpoint: str) -> None:
    """As gocloud.dev/blob/azureblob builds the URL of the service."""
    found = state_container(f"azblob://state?{query}", variables)
    assert found and (found.endpoint, found.container) == (endpoint, "state")


@pytest.mark.parametrize(
    "url", ["azblob://state", "azblob://?storage_account=a", "s3://state", "azblob://[x", "azblob://s?storage_account="]
)
def test_a_url_that_names_no_container_of_an_account_is_none(url: str) -> None:
    """Pulumi does not open it either."""
    assert state_container(url, {}) is None


@given(st.lists(st.sampled_from(("a", "b c", "..")), max_size=3), st.booleans())
def test_the_folder_of_the_url_is_the_prefix(parts: list[str], slash: bool) -> None:
    """With one slash at its end, and none before it."""
    path = "/".join(parts) + ("/" if parts and slash else "")
    found = state_container(f"azblob://state/{path}?storage_account=a", {})
    assert found and found.prefix == "".join(f"{part}/" for part in parts)


def test_the_way_in_is_the_first_that_pulumi_takes() -> None:
    """Key, SAS, connection string; a key counts only with AZURE_STORAGE_ACCOUNT. None of them is in a message."""
    variables = {
        "AZURE_STORAGE_KEY": "secret1",
        "AZURE_STORAGE_SAS_TOKEN": "secret2",
        "AZURE_STORAGE_CONNECTION_STRING": "AccountName=c;AccountKey=secret3",
    }
    url = "azblob://state?storage_account=a"
    ways = []
    for given_variables in (
        {**variables, **ACCOUNT},
        variables,
        {**variables, "AZURE_STORAGE_SAS_TOKEN": ""},
        {"AZURE_STORAGE_KEY": "secret1"},
    ):
        found = state_container(url, given_variables)
        assert found and "secret" not in repr(found) + found.place + found.way
        ways.append((found.way, found.key, found.sas))
    assert ways == [
        ("AZURE_STORAGE_KEY", "secret1", ""),
        ("AZURE_STORAGE_SAS_TOKEN", "", "secret2"),
        ("AZURE_STORAGE_CONNECTION_STRING", "", ""),
        ("", "", ""),
    ]


@pytest.mark.parametrize(
    ("domain", "azures"),
    [
        ("blob.core.windows.net", True),
        ("blob.core.chinacloudapi.cn", True),
        ("z01.blob.storage.azure.net", True),
        ("127.0.0.1:10000", True),
        ("blob.example.com", False),
        ("blob.core.windows.net.example.com", False),
        ("evil.com\\.blob.core.windows.net", False),
        ("evil.com/.blob.core.windows.net", False),
        ("evil.com?.blob.core.windows.net", False),
        ("evil.com%23.blob.core.windows.net", False),
        ("evil.com%5C.blob.core.windows.net", False),
        ("u@evil.com", False),
        ("127.0.0.1.evil.com", False),
    ],
)
def test_tokens_are_for_hosts_of_azure_and_this_machine(domain: str, azures: bool) -> None:
    """Whatever the URL makes of its domain."""
    found = state_container(f"azblob://state?storage_account=a&domain={domain}", {})
    assert found is None or found.takes_tokens == azures
