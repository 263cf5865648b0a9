"""What `imagefactory doctor` reports about a lab and its storage account, from the resource manager's responses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagefactory.diagnostics import warning
from imagefactory.doctor.checks import FACTORY, Check
from imagefactory.doctor.storage import account_checks, lab_check, network_check
from imagefactory.observed.storage_accounts import AccountFacts
from tests.unit.builders import facts, lab

TEAM = lab("team")
OK = Check(TEAM.label, "read blobs", "ok", "can be listed")
CLOSED = AccountFacts("store", "StorageV2", is_closed=True)
REFUSED = replace(OK, result="failure", fact="Azure returned 403 AuthorizationFailure")


@pytest.mark.parametrize(
    ("account", "readable", "result", "part"),
    [
        (AccountFacts("store"), OK, "ok", "admits public networks"),
        (CLOSED, OK, "ok", "admits this machine"),
        (CLOSED, REFUSED, "failure", "and this machine"),
        (CLOSED, replace(OK, result="unknown"), "unknown", "not known"),
        (CLOSED, replace(OK, result="failure", fact="403 AuthorizationPermissionMismatch"), "unknown", "not known"),
        (replace(CLOSED, trusts_azure=False), OK, "warning", "DevTest Labs"),
    ],
)
def test_network_rules_are_judged_with_the_attempt_to_read(
    account: AccountFacts, readable: Check, result: str, part: str
) -> None:
    """A closed account is fine if it admits this machine, and DevTest Labs."""
    check = network_check(TEAM.label, account, readable)
    assert check.result == result and part in check.fact and "store" in check.fact
    assert bool(check.remedy) == (result != "ok")


def test_the_factory_need_not_admit_devtest_labs() -> None:
    """No image is created from a VHD there."""
    assert network_check(FACTORY, replace(CLOSED, trusts_azure=False), OK).result == "ok"


def test_an_account_is_told_with_kind_region_and_owner() -> None:
    """And the labs that share it; the scope of copies for labs only."""
    account = AccountFacts("store", "StorageV2", region="westeurope", allowed_copy_scope="AAD")
    about = facts("team", account=account)
    found = {one.name: one for one in account_checks(TEAM.label, TEAM, about, ["twin@1"], OK, uses_keys=False)}
    assert {one.result for one in found.values()} == {"ok"}
    assert found["storage account"].fact == "store (kind StorageV2, westeurope), shared with twin@1"
    assert "its tenant" in found["copy scope"].fact
    alone = list(account_checks(FACTORY, TEAM, about, (), OK, uses_keys=True))
    assert alone[0].fact.endswith("of this lab alone") and "copy scope" not in {one.name for one in alone}


def test_an_account_that_cannot_be_seen_or_is_missing_is_one_check() -> None:
    """Its rules are not guessed."""
    unseen = warning("storage account 'store'", "Azure returned 403", "its kind is not checked", "Grant read")
    (one,) = account_checks(TEAM.label, TEAM, facts("team", account=unseen), (), OK, uses_keys=False)
    assert (one.name, one.result, one.remedy) == ("storage account", "warning", "Grant read")
    none = replace(facts("team"), storage_account_id=None)
    (one,) = account_checks(TEAM.label, TEAM, none, (), OK, uses_keys=False)
    assert one.result == "failure" and "has no storage account" in one.fact


def test_a_lab_in_another_region_than_the_factory_is_told() -> None:
    """It is no failure: `crossRegion` decides."""
    factory = replace(facts("factory"), region="North Europe")
    assert "the factory is in North Europe" in lab_check(TEAM.label, facts("team"), factory).fact
    assert "factory" not in lab_check(TEAM.label, facts("team"), facts("factory")).fact
