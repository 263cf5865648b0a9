"""Labs that moved: recognized by what the state has of them, and never confused with another lab."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.moved_labs import MovedLab, moved_labs
from imagefactory.planning.labs.planned_images import Recorded
from tests.unit.builders import SUBSCRIPTION, facts, lab

OTHER = SUBSCRIPTION.replace("2", "3")
ACCOUNT = "/subscriptions/{}/resourcegroups/{}/providers/microsoft.storage/storageaccounts/{}"


def recorded(group: str = "RG", account: str | None = "teamacc", subscription: str = SUBSCRIPTION) -> Recorded:
    """An image of the lab `team`, whose account is `teamacc`; None: its copy is not in the state."""
    account_id = "" if account is None else ACCOUNT.format(subscription, group.lower(), account)
    return Recorded(1, "a.vhd", group, account_id)


def here(**changes: Any) -> LabFacts:
    """The lab `team` as Azure has it now, in the resource group `rg`."""
    return facts("team", storage_account_id=ACCOUNT.format(SUBSCRIPTION, "rg", "TeamAcc"), **changes)


def found(
    state: dict[str, Recorded], where: LabFacts | None = None, subscription: str = SUBSCRIPTION
) -> list[MovedLab]:
    """The moved labs of a stack with one target lab."""
    target = lab("team", subscription_id=subscription)
    return list(moved_labs([(target, where or here())], state, frozenset({target.label})))


def test_a_lab_in_its_group_did_not_move() -> None:
    """In whatever case; an empty state has nothing that could have moved."""
    label = lab("team").label
    assert found({}) == found({f"{label}/a": recorded("Rg"), f"{label}/b": recorded(account=None)}) == []


@pytest.mark.parametrize("account", ["teamacc", None])
def test_a_lab_in_another_group_moved_with_all_its_images(account: str | None) -> None:
    """Also if its images were taken over and no copy is in the state yet."""
    label = lab("team").label
    (moved,) = found({f"{label}/{name}": recorded("old", account) for name in "ba"})
    assert (moved.old_label, moved.label, moved.names) == (label, label, ("a", "b"))
    assert (moved.old_resource_group, moved.old_subscription_id, moved.kept.label) == ("old", SUBSCRIPTION, label)
    message = moved.diagnostic("`imagefactory adopt`").message()
    assert "was moved here from resource group old" in message and "`imagefactory adopt`" in message


def test_a_lab_in_another_subscription_moved_with_its_account() -> None:
    """The label in the state is that of the old subscription."""
    old = lab("team").label
    where = replace(here(), subscription_id=OTHER)
    (moved,) = found({f"{old}/a": recorded()}, where, OTHER)
    assert (moved.old_label, moved.label) == (old, lab("team", subscription_id=OTHER).label)
    assert moved.old_subscription_id == SUBSCRIPTION and moved.kept.label == old


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("team", recorded("old", "another")),
        ("team", recorded(subscription=OTHER)),
    ],
)
def test_another_lab_of_that_name_did_not_move(name: str, record: Recorded) -> None:
    """Its account is another, or its group is the same."""
    assert found({f"{lab(name).label}/a": record}) == []


def test_another_lab_in_another_subscription_did_not_move() -> None:
    """Another account, an unknown one, another name, or a lab that labs.json still has."""
    old, where = lab("team").label, replace(here(), subscription_id=OTHER)
    assert found({f"{old}/a": recorded(account="another")}, where, OTHER) == []
    assert found({f"{old}/a": recorded(account=None)}, where, OTHER) == []
    assert found({f"{lab('other').label}/a": recorded()}, where, OTHER) == []
    both = [lab("team"), lab("team", subscription_id=OTHER)]
    labels = frozenset(each.label for each in both)
    assert list(moved_labs([(both[1], where)], {f"{old}/a": recorded()}, labels)) == []


def test_a_lab_that_shares_its_name_moved_although_its_label_names_its_new_group() -> None:
    """It is kept under the label that the state has."""
    key = lab("team").key
    target = replace(lab("team"), resource_group="new", label=key.label("new"))
    state = {f"{key.label('rg')}/a": recorded("rg"), f"{key.label('twin')}/a": recorded("twin", "twinacc")}
    named = frozenset({target.label, key.label("twin")})
    (moved,) = moved_labs([(target, replace(here(), resource_group="new"))], state, named)
    assert (moved.old_label, moved.label) == (key.label("rg"), key.label("new"))
    assert (moved.kept.label, moved.old_subscription_id) == (moved.old_label, SUBSCRIPTION)
