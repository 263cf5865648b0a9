"""The credential: which one the variables select, as azure-native does, and where azure-native would not sign in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.azure.core.clouds import CLOUDS
from imagefactory.azure.core.credentials import CredentialError, credential

OIDC = {"ARM_USE_OIDC": "true", "ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c"}
FLAGS = ("ARM_USE_DEFAULT_AZURE_CREDENTIAL", "ARM_USE_OIDC", "ARM_USE_MSI")


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, "AzureCliCredential"),
        ({"ARM_USE_OIDC": "false", "ARM_USE_MSI": "0"}, "AzureCliCredential"),
        ({"ARM_USE_MSI": "true"}, "ManagedIdentityCredential"),
        ({"ARM_USE_OIDC": "true", "ARM_OIDC_TOKEN": "t", "ARM_USE_MSI": "true"}, "ClientAssertionCredential"),
        ({"ARM_CLIENT_SECRET": "s", "ARM_USE_OIDC": "true"}, "ClientSecretCredential"),
        ({"ARM_USE_DEFAULT_AZURE_CREDENTIAL": "true", "ARM_CLIENT_SECRET": "s"}, "DefaultAzureCredential"),
    ],
)
async def test_the_credential_is_selected_in_azure_natives_order(environment: dict[str, str], kind: str) -> None:
    """The same ARM_* variables work for the program, the plugin and azure-native."""
    ids = {"ARM_TENANT_ID": "00000000-0000-0000-0000-000000000001", "ARM_CLIENT_ID": "client"}
    chosen = credential(CLOUDS["public"], {**ids, **environment})
    assert type(chosen).__name__ == kind
    await chosen.close()


@pytest.mark.parametrize(
    "environment",
    [
        {"ARM_CLIENT_CERTIFICATE_PATH": "nowhere.pem"},
        {"ARM_CLIENT_SECRET": "s3cret", "ARM_TENANT_ID": "no tenant!"},
        {"ARM_USE_OIDC": "true", "ARM_OIDC_TOKEN_FILE_PATH": "nowhere.jwt"},
        {
            "ARM_USE_OIDC": "true",
            "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "s3cret",
        },
    ],
)
async def test_a_way_to_sign_in_that_fails_is_one_clear_error(environment: dict[str, str]) -> None:
    """Wrong values, missing files and an endpoint that does not respond are authentication errors without a secret."""
    with pytest.raises(CredentialError, match=r"^authentication: ") as caught:
        async with credential(CLOUDS["public"], {"ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c", **environment}) as chosen:
            await chosen.get_token("scope/.default")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"ARM_CLIENT_SECRET": "s3cret"}, "ARM_TENANT_ID"),
        ({"ARM_USE_OIDC": "true", "ARM_TENANT_ID": "t", "ARM_CLIENT_ID": "c"}, "ARM_OIDC_TOKEN"),
    ],
)
def test_a_way_to_sign_in_that_lacks_a_variable_names_it(environment: dict[str, str], named: str) -> None:
    """The message names the variable, and contains no value of the others."""
    with pytest.raises(CredentialError, match=named) as caught:
        credential(CLOUDS["public"], environment)
    assert "s3cret" not in str(caught.value)


@given(st.sampled_from(FLAGS), st.text(min_size=1).filter(lambda value: value.lower() not in {"true", "false", "0"}))
def test_a_flag_with_another_value_than_true_or_false_is_an_error(flag: str, value: str) -> None:
    """azure-native would take it for false and sign in another way; what was written there is not shown."""
    with pytest.raises(CredentialError) as caught:
        credential(CLOUDS["public"], {flag: value})
    assert str(caught.value) == (
        f"authentication: {flag} is set, but not to true, the only value that azure-native accepts; nothing can be"
        f" read. Set {flag} to true, or unset it."
    )


@pytest.mark.parametrize("value", ["True", "TRUE", "1", "yes"])
def test_a_flag_that_other_tools_accept_is_an_error_too(value: str) -> None:
    """azure-native compares with `true`, in lower case."""
    with pytest.raises(CredentialError, match="Set ARM_USE_OIDC to true"):
        credential(CLOUDS["public"], {**OIDC, "ARM_USE_OIDC": value, "ARM_OIDC_TOKEN": "t"})


def test_a_request_by_names_that_azure_native_does_not_read_is_an_error_that_names_its_own() -> None:
    """As of Azure Pipelines (SYSTEM_OIDCREQUESTURI), whose endpoint azure-native cannot use either."""
    request = {"ARM_OIDC_REQUEST_URL": "https://pipelines/oidctoken", "ARM_OIDC_REQUEST_TOKEN": "s3cret"}
    with pytest.raises(
        CredentialError, match=r"ARM_OIDC_REQUEST_URL is set, which azure-native does not read"
    ) as caught:
        credential(CLOUDS["public"], {**OIDC, **request})
    assert "ACTIONS_ID_TOKEN_REQUEST_URL" in str(caught.value) and "s3cret" not in str(caught.value)


@pytest.mark.parametrize("given_by", ["ARM_OIDC_TOKEN", "ARM_OIDC_TOKEN_FILE_PATH"])
@pytest.mark.parametrize("cloud", ["usgovernment", "china"])
async def test_a_given_token_is_exchanged_in_the_clouds_own_place_or_not_at_all(cloud: str, given_by: str) -> None:
    """azure-native would take it to the public cloud, unless AZURE_AUTHORITY_HOST names the right place."""
    authority = CLOUDS[cloud].authority
    variables = {**OIDC, given_by: "token"}
    with pytest.raises(CredentialError, match=rf"Set AZURE_AUTHORITY_HOST to https://{authority}\."):
        credential(CLOUDS[cloud], variables)
    for host in (f"https://{authority}", f"https://{authority}/"):
        await credential(CLOUDS[cloud], {**variables, "AZURE_AUTHORITY_HOST": host}).close()
    await credential(CLOUDS["public"], variables).close()
