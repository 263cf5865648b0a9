"""The inputs of the plugin's resources: what is stored in the state, what is rejected, and what counts as a change."""

from __future__ import annotations

import pytest

from imagefactory.observed.blobs import BlobRef
from providers.vhdcopy.release import StagedVhdReleaseInputs
from providers.vhdcopy.resource import Inputs, Properties, changed, check
from providers.vhdcopy.vhd_copy import VhdCopyInputs

COPY: dict[str, str | float] = {
    "sourceUrl": "https://f.blob.core.windows.net/vhds/A.vhd",
    "sourceAccountId": "/subscriptions/S/storageAccounts/F",
    "sourceLength": 64 * 1024.0**2 + 512,
    "sourceCreated": "2026-06-05T10:11:12+00:00",
    "destinationUrl": "https://w.blob.core.windows.net/staging/A.vhd",
    "destinationAccountId": "/subscriptions/S/storageAccounts/W",
    "imageId": "/labs/Web/customimages/A",
}
RELAY: dict[str, str | float] = {
    "relayUrl": "https://r.blob.core.windows.net/staging/A.vhd",
    "relayAccountId": "/subscriptions/S/storageAccounts/R",
    "relayImageId": "/labs/R/customimages/A",
    "relayUses": 2.0,
}
RELEASE: dict[str, str | float] = {
    "url": "https://w.blob.core.windows.net/staging/A.vhd",
    "accountId": "/subscriptions/S/storageAccounts/W",
    "imageId": "/labs/Web/customimages/A",
    "copyId": "copy-1",
}


@pytest.mark.parametrize(
    ("inputs", "given"),
    [(VhdCopyInputs, COPY), (VhdCopyInputs, {**COPY, **RELAY}), (StagedVhdReleaseInputs, RELEASE)],
)
def test_inputs_are_stored_under_their_names_and_as_given_but_for_the_case_of_ids(
    inputs: type[Inputs], given: Properties
) -> None:
    """The state of an existing stack has these names and values, so nothing changes for it; None is not stored."""
    expected = {name: str(value).lower() if name.endswith("Id") else value for name, value in given.items()}
    assert check(inputs, given) == (expected, {})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sourceUrl": ""}, "is missing"),
        ({"sourceUrl": "https://x/y?sig=secret"}, "has a query"),
        ({"relayUrl": "https://x/y?sig=secret"}, "has a query"),
        ({"sourceLength": 12345.0}, "not a multiple of 1 MiB"),
        ({"sourceLength": 0.5}, "is not a whole number"),
        ({"sourceLength": "many"}, "is not a whole number"),
        ({"sourceCreated": "yesterday"}, "is not a time in ISO 8601"),
        ({"imageId": 1.0}, "is not a string"),
        ({"unheard": "of"}, "is not an input of this resource"),
    ],
)
def test_each_problem_names_its_property_and_not_the_value(change: dict[str, str | float], problem: str) -> None:
    """One phrase per property, under the name that the program wrote."""
    _, problems = check(VhdCopyInputs, {**COPY, **change})
    ((name, reason),) = problems.items()
    assert [name] == list(change) and problem in reason and "secret" not in reason


def test_all_missing_inputs_are_reported_together() -> None:
    """But for the relay, which is optional, and for outputs of a resource that failed."""
    assert check(VhdCopyInputs, {})[1] == dict.fromkeys(COPY, "is missing")
    assert check(StagedVhdReleaseInputs, {})[1] == dict.fromkeys(("accountId", "imageId"), "is missing")


def test_another_relay_is_no_change_of_the_resource() -> None:
    """It affects the way of the copy, not its result; any other input counts."""
    assert changed(VhdCopyInputs, COPY, {**COPY, **RELAY}) == []
    assert changed(VhdCopyInputs, COPY, {**COPY, "sourceUrl": "https://x/y"}) == ["sourceUrl"]


def test_tags_to_write_update_a_release_whenever_they_are_given() -> None:
    """Even the same ones again; once they are no longer given, nothing changes."""
    given: Properties = {**RELEASE, "tags": {"ImagePath": "Win/A.json"}}
    assert check(StagedVhdReleaseInputs, given)[1] == {}
    for old in (RELEASE, given):
        assert changed(StagedVhdReleaseInputs, old, given) == ["tags"]
        assert changed(StagedVhdReleaseInputs, old, RELEASE) == []


def test_what_an_earlier_version_stored_besides_does_not_prevent_a_deletion() -> None:
    """Inputs from the state are read without their unknown properties."""
    inputs = VhdCopyInputs.model_validate({**COPY, "relayAccount": "x"})
    assert inputs.request.destination == BlobRef("/subscriptions/s/storageaccounts/w", str(COPY["destinationUrl"]))
    assert inputs.relay is None
