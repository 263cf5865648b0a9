"""Relays and cross-region copies: they depend on the plan only, not on the order of its labs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.stack_settings import CrossRegion, Policy
from imagefactory.images.ranges import SHARED_READERS
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.crossings import GIB, crossings, with_relays
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.labs.planned_images import LabPlan, PlannedImage, Recorded
from tests.unit.builders import catalog, configuration, facts, image, lab, standing

FACTORY = facts("factory", region="westeurope")


def plan_of(
    labs: dict[str, LabFacts],
    cross_region: CrossRegion = "relay",
    recorded: Mapping[str, Recorded] | None = None,
    *,
    in_state: bool = True,
) -> Plan:
    """The plan of a factory with one image, which all labs get; the state has the images that exist, or none."""
    targets = [lab(name) for name in labs]
    owned = {f"{target.label}/{one.name}" for target in targets for one in labs[target.name].images if in_state}
    known = {target.key: labs[target.name] for target in targets}
    return build_plan(
        configuration(*targets),
        catalog(image()),
        FACTORY,
        known,
        Policy(cross_region=cross_region),
        owned,
        recorded,
    )


def relays(plan: Plan) -> dict[str, tuple[str, int] | None]:
    """Account and uses of each lab's relay."""
    found = {each.facts.name: image.relay for each in plan.labs for image in each.images}
    return {name: (relay.account_id, relay.uses) if relay else None for name, relay in found.items()}


def in_region(name: str, region: str, account: str | None = None) -> LabFacts:
    return facts(name, region=region, storage_account_id=account or f"/accounts/{name}")


def test_the_account_that_sorts_first_is_the_relay_of_its_region() -> None:
    """The other accounts copy from it; the plan of the relay has them too, because it must wait for them."""
    plan = plan_of(
        {name: in_region(name, "eastus") for name in ("c", "b", "a")} | {"near": in_region("near", "westeurope")}
    )
    assert relays(plan) == {**dict.fromkeys("abc", ("/accounts/a", 2)), "near": None}


def test_in_the_factorys_region_the_factorys_vhd_is_the_relay_of_many_accounts() -> None:
    """So they copy from each other, too; few accounts read it without a relay. Nothing crosses a region."""
    few = {f"lab{n}": in_region(f"lab{n}", "westeurope") for n in range(SHARED_READERS)}
    assert set(relays(plan_of(few)).values()) == {None}
    plan = plan_of(few | {"more": in_region("more", "westeurope")})
    assert set(relays(plan).values()) == {(FACTORY.storage_account_id, SHARED_READERS + 1)}
    assert all(image.relay and image.relay.is_source for each in plan.labs for image in each.images)
    assert plan.crossings == ()


def test_the_relay_is_staged_for_the_image_of_its_own_lab() -> None:
    """The release of that image deletes the staged VHD, so the plan must create the image."""
    plan = plan_of({name: in_region(name, "eastus") for name in "ba"})
    owners = {image.relay.image_id for each in plan.labs for image in each.images if image.relay}
    assert owners == {image.image_id for each in plan.labs if each.facts.name == "a" for image in each.images}


def test_it_is_the_accounts_id_that_sorts_and_not_the_labs_name() -> None:
    """Independent of the case in which Azure returns it."""
    accounts = {"a": "/accounts/c", "b": "/accounts/A", "c": "/accounts/B"}
    plan = plan_of({name: in_region(name, "eastus", account) for name, account in accounts.items()})
    assert set(relays(plan).values()) == {("/accounts/A", 2)}
    plan = plan_of({name: in_region(name, "eastus", account.swapcase()) for name, account in accounts.items()})
    assert set(relays(plan).values()) == {("/ACCOUNTS/a", 2)}


def test_one_account_in_a_region_needs_no_relay() -> None:
    """Labs of one account share its staged VHD."""
    plan = plan_of({"a": in_region("a", "eastus", "/accounts/x"), "b": in_region("b", "East US", "/accounts/X")})
    assert relays(plan) == {"a": None, "b": None}
    (crossing,) = plan.crossings
    assert (crossing.images, crossing.labs, crossing.size) == (1, 2, image().length)
    assert crossing.text().endswith("(once per image)")


def test_each_lab_that_copies_from_the_relay_counts_as_a_use() -> None:
    """Two labs that share an account are two copies for the provider, which releases the relay after the last."""
    plan = plan_of(
        {
            "a": in_region("a", "eastus", "/accounts/X"),
            "b": in_region("b", "eastus", "/accounts/y"),
            "c": in_region("c", "eastus", "/accounts/Y"),
            "d": in_region("d", "eastus", "/accounts/x"),
        }
    )
    assert set(relays(plan).values()) == {("/accounts/X", 2)}
    (crossing,) = plan.crossings
    assert crossing.copies == 1 and crossing.text().endswith("(once per image; labs there copy from each other)")


def test_an_existing_image_is_neither_relay_nor_copied() -> None:
    """The lab that has it cannot be a relay, because its staged VHD is deleted."""
    there = replace(in_region("a", "eastus"), images=(standing(),))
    plan = plan_of({"a": there, "b": in_region("b", "eastus"), "c": in_region("c", "eastus")})
    assert relays(plan) == {"a": None, "b": ("/accounts/b", 1), "c": ("/accounts/b", 1)}


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Failed"])
def test_an_image_that_is_not_in_the_state_reads_no_relay(state: str) -> None:
    """Nothing is copied for it, so a relay that waited for its copy would never be deleted."""
    there = replace(in_region("c", "eastus"), images=(standing(state=state),))
    plan = plan_of({"c": there, "a": in_region("a", "eastus"), "b": in_region("b", "eastus")}, in_state=False)
    assert relays(plan) == dict.fromkeys("ab", ("/accounts/a", 1)) and plan.crossings[0].labs == 2


def test_a_lab_that_the_state_calls_done_is_no_relay() -> None:
    """Without a refresh nothing is copied for it, although its image is missing, so no release of its own would remove
    what others stage in its account. A VHD that the state does not know yet is copied."""
    labs = {name: in_region(name, "eastus") for name in "abc"}
    key = f"{lab('a').label}/{image().name}".upper()
    plan = plan_of(labs, recorded={key: Recorded(1, image().vhd_name)})
    assert relays(plan) == {"a": None, "b": ("/accounts/b", 1), "c": ("/accounts/b", 1)}
    assert plan.crossings[0].labs == 2
    older = plan_of(labs, recorded={key: Recorded(1, "older.vhd")})
    assert relays(older) == dict.fromkeys("abc", ("/accounts/a", 2))


def test_direct_copies_are_made_once_per_account() -> None:
    """Without a relay, twice the bytes are copied."""
    labs = {"a": in_region("a", "eastus"), "b": in_region("b", "eastus")}
    direct, relayed = plan_of(labs, "direct"), plan_of(labs)
    assert relays(direct) == {"a": None, "b": None}
    assert direct.crossings[0].size == 2 * relayed.crossings[0].size == 2 * image().length
    assert direct.crossings[0].text().endswith("(once per image and storage account)")


def test_regions_are_reported_one_by_one_by_name() -> None:
    """Each region has its own relay; regions are compared in both spellings."""
    labs = {"a": in_region("a", "westus2"), "b": in_region("b", "East US"), "c": in_region("c", "eastus")}
    plan = plan_of(labs)
    assert relays(plan) == {"a": None, **dict.fromkeys("bc", ("/accounts/b", 1))}
    assert [(each.region, each.labs) for each in plan.crossings] == [("East US", 2), ("westus2", 1)]


def test_refuse_updates_the_labs_of_the_region_deletes_nothing_and_fails() -> None:
    """A lab in another region keeps its images and gets no new ones."""
    far = replace(in_region("far", "eastus"), images=(standing(),))
    plan = plan_of({"far": far, "new": in_region("new", "eastus"), "near": in_region("near", "westeurope")}, "refuse")
    assert {each.facts.name: len(each.images) for each in plan.labs} == {"far": 1, "new": 0, "near": 1}
    (failure,) = plan.failures
    assert "lab new" in failure.text() and "image is missing;" in failure.text() and "crossRegion" in failure.text()
    assert [omission.lab for omission in plan.omissions] == [lab("new").label] and plan.crossings == ()


@pytest.mark.parametrize("changes", [{"source_vhd": "another.vhd"}, {"state": "Failed"}])
def test_refuse_does_not_announce_images_that_it_does_not_recreate(changes: dict[str, str]) -> None:
    """It is a failure, so that the existing image is kept, and no warning announces another image."""
    far = replace(in_region("far", "eastus"), images=(standing(**changes),))
    refused, served = plan_of({"far": far}, "refuse"), plan_of({"far": far})
    assert refused.warnings == () and len(refused.failures) == 1 and refused.labs[0].images == ()
    assert len(served.warnings) == 1 and served.failures == ()


def test_allocated_bytes_are_reported_if_the_manifests_have_them() -> None:
    """A preview says `up to` only if the allocated bytes of an image are unknown."""
    known = replace(image(), allocated=3 * GIB)
    planned = PlannedImage(known, known.name, "/i", False, {})
    target = lab("a")
    plan = LabPlan(target.label, target, in_region("a", "eastus"), (planned,))
    (crossing,) = crossings([plan], FACTORY)
    assert crossing.text().startswith("eastus: 1 image for 1 lab: 3.0 GiB copied from westeurope")
    other = replace(image("other"), length=1 << 40)
    unknown = PlannedImage(other, other.name, "/i", False, {})
    (crossing,) = crossings([replace(plan, images=(planned, unknown))], FACTORY)
    assert crossing.text().startswith("eastus: 2 images for 1 lab: up to 1,027.0 GiB copied from westeurope")


@given(
    st.permutations(["a", "b", "c", "d"]),
    st.lists(st.sampled_from(["eastus", "westus", "westeurope"]), min_size=4, max_size=4),
)
def test_the_order_of_labs_changes_nothing(order: list[str], regions: list[str]) -> None:
    """The same labs in another order have the same relays, and each relay has its number of uses."""
    places = dict(zip("abcd", regions, strict=True))
    found = [relays(plan_of({name: in_region(name, places[name]) for name in names})) for names in (order, "abcd")]
    assert found[0] == found[1]
    for relay in {relay for relay in found[0].values() if relay}:
        users = [name for name, used in found[0].items() if used == relay and f"/accounts/{name}" != relay[0]]
        assert len(users) == relay[1]


@pytest.mark.parametrize("plans", [[], [LabPlan("l", lab(), facts(), ())]])
def test_a_plan_without_copies_has_no_cross_region_copies(plans: list[LabPlan]) -> None:
    """An empty plan has no copies."""
    assert crossings(plans, FACTORY) == () and with_relays(plans, FACTORY) == tuple(plans)
