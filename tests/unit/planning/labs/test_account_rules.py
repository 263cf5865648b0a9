"""A lab's storage account is judged in the plan, before any copy."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Severity, warning
from imagefactory.observed.storage_accounts import AccountFacts
from imagefactory.planning.labs.plan import Plan, build_plan
from tests.unit.builders import catalog, configuration, facts, image, lab


def planned(account: Any) -> Plan:
    """The plan for the lab `team` with this account, and for `other` with an ordinary one."""
    team, other = lab("team"), lab("other")
    labs = {
        team.key: facts("team", account=account),
        other.key: facts("other", account=AccountFacts("store", "StorageV2")),
    }
    return build_plan(configuration(team, other), catalog(image("a")), facts("factory"), labs, Policy())


@pytest.mark.parametrize(
    ("account", "fact", "remedy"),
    [
        (AccountFacts("store", "BlobStorage"), "(kind BlobStorage) cannot contain page blobs", "--set kind=StorageV2"),
        (AccountFacts("store", "BlockBlobStorage"), "cannot contain page blobs", "recreate the lab"),
        (AccountFacts("store", "FileStorage"), "cannot contain page blobs", "recreate the lab"),
        (
            AccountFacts("store", "StorageV2", is_hierarchical=True),
            "(kind StorageV2 with hierarchical namespace) cannot contain page blobs",
            "recreate the lab",
        ),
    ],
)
def test_an_account_without_page_blobs_fails_its_lab_alone(account: AccountFacts, fact: str, remedy: str) -> None:
    """Nothing is planned for it, its images are kept, and every other lab is updated; the run fails at its end."""
    plan = planned(account)
    assert [one.lab.label for one in plan.labs] == [lab("other").label] and len(plan.unread) == 1
    (failure,) = plan.failures
    assert failure.severity is Severity.ERROR and fact in failure.text() and remedy in failure.text()
    assert "keeps its images" in failure.consequence


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (AccountFacts("store", "Storage"), "is of a kind that Azure retires"),
        (AccountFacts("store", "StorageV2", allowed_copy_scope="PrivateLink"), "private link"),
        (warning("storage account 'store'", "403", "its kind is not checked", "grant"), "its kind is not checked"),
    ],
)
def test_what_may_still_work_is_a_warning(account: Any, expected: str) -> None:
    """The lab is served."""
    plan = planned(account)
    assert len(plan.labs) == 2 and not plan.failures
    assert any(expected in each.text() for each in plan.warnings)


@pytest.mark.parametrize("account", [None, AccountFacts("store", "StorageV2"), AccountFacts("store", "New", False)])
def test_other_accounts_are_ordinary(account: AccountFacts | None) -> None:
    """Also one of a kind that is not known yet, and one that was not read."""
    plan = planned(account)
    assert len(plan.labs) == 2 and not plan.failures and not [each for each in plan.warnings if "store" in each.text()]
