"""Errors of Azure: what is wrong is said where it happens, what follows where it is decided."""

from __future__ import annotations

import pytest
from azure.core.exceptions import HttpResponseError, ServiceRequestError

from imagefactory.azure.core.errors import CloudError, cloud_error, consequence, from_azure
from imagefactory.azure.storage.save_records import SaveLost


def test_the_innermost_block_that_knows_says_what_follows() -> None:
    """The blocks around it do not change that."""
    expected = r"^disk 'os': Azure returned 403 No: denied; it is not saved\. Grant "
    with (
        pytest.raises(CloudError, match=expected),
        consequence("nothing is saved"),
        consequence("it is not saved"),
    ):
        raise cloud_error("disk 'os'", "denied", 403, "No")


def test_an_error_keeps_its_kind_status_and_code() -> None:
    """Callers distinguish errors by them, whatever follows."""
    lost = SaveLost(cloud_error("record", "expired", 409, "Lease").diagnostic, 409, "Lease")
    with pytest.raises(SaveLost) as caught, consequence("the save stops"):
        raise lost
    assert (caught.value.status, caught.value.code) == (409, "Lease") and "the save stops" in str(caught.value)
    assert not lost.diagnostic.consequence, "others may wait for the same error"


def test_other_errors_pass_unchanged() -> None:
    """They are not of Azure."""
    with pytest.raises(ValueError, match=r"^x$"), consequence("nothing is saved"):
        raise ValueError("x")


def test_an_error_without_a_consequence_has_no_gap() -> None:
    """Subject, fact and remedy follow each other."""
    assert str(from_azure(ServiceRequestError("closed"), "it")).startswith("it: no response from Azure (closed). Run")
    assert str(from_azure(HttpResponseError("first\nsecond"), "it")).startswith("it: first. Run again")
