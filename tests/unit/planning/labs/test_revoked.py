"""A revoked image reaches no lab, leaves those that have it, and brings no older one back unless the policy says so."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.configuration.image_names import name_beside
from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Severity, error
from imagefactory.images.catalog import BlobDiagnostic, Catalog
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from tests.unit.builders import catalog, configuration, facts, image, lab, standing

TEAM, PATH = lab("team", ["Win2016"]), ImagePath.parse("Win2016/Datacenter.json")
N1, N2, N3 = image("n1", age=1), image("n2", age=2), image("n3", age=3)


def policy(*revoked: str, **changes: Any) -> Policy:
    """Keeps two images, and revokes images because of a virus."""
    return Policy(**{"keep": 2, "revoked": {RevokedImage(each): "a virus" for each in revoked}, **changes})


def held(name: str, **changes: Any) -> StandingImage:
    """An image created from `<name>.vhd`."""
    return standing(name, **{"source_vhd": f"{name}.vhd", **changes})


def plan_of(found: Catalog, by: Policy, *there: StandingImage, owned: bool = True) -> Plan:
    """The plan for the lab `team`, whose images are in the state."""
    names = frozenset(f"{TEAM.label}/{one.name}" for one in there) if owned else frozenset()
    labs = {TEAM.key: facts("team", *there)}
    return build_plan(configuration(TEAM), found, facts("factory"), labs, by, names)


def wanted(plan: Plan) -> set[str]:
    """What the lab must have."""
    return {one.name for one in plan.labs[0].images}


def kept(plan: Plan) -> dict[str, str]:
    """What the lab keeps for now, and why."""
    return {one.name: one.reason for one in plan.labs[0].retained}


@pytest.mark.parametrize("revoked", ["n1", "N1", "Win2016/Datacenter.json@n1", "win2016\\DATACENTER.json@N1"])
def test_a_revoked_image_is_not_delivered_and_no_older_one_moves_up(revoked: str) -> None:
    """Its place among the newest `keep` stays empty."""
    plan = plan_of(catalog(N1, N2, N3), policy(revoked))
    assert wanted(plan) == {"n2"} and not plan.failures
    assert {one.image: one.reason for one in plan.omissions}["n1"] == "revoked: a virus"


def test_an_older_image_takes_its_place_if_the_policy_says_so() -> None:
    """`revokedFallback: previous`, also for a pin: the newest older image of the path that is not revoked."""
    previous = policy("n1", revoked_fallback="previous")
    assert wanted(plan_of(catalog(N1, N2, N3), previous)) == {"n2", "n3"}
    pins = {PATH: "n1"}
    assert wanted(plan_of(catalog(N1, N2, N3), policy("n1", "n2", revoked_fallback="previous", pins=pins))) == {"n3"}


def test_a_pin_of_a_revoked_image_delivers_nothing_of_its_path() -> None:
    """The run fails at the end, and says why; other images that labs have stay."""
    plan = plan_of(catalog(N1, N2, N3), policy("n1", pins={PATH: "n1"}), held("n1"), held("n3"))
    assert wanted(plan) == set() and kept(plan) == {"n3": "n1, which would replace it, is revoked"}
    assert [one.fact for one in plan.failures] == [f"{PATH} is pinned to n1, which is revoked: a virus"]


def test_a_lab_loses_a_revoked_image_even_if_it_is_its_last_one() -> None:
    """The reason is shown before it happens."""
    plan = plan_of(catalog(N1), policy("n1"), held("n1"))
    assert (wanted(plan), kept(plan)) == (set(), {})
    assert [(one.name, one.reason) for one in plan.labs[0].revoked] == [("n1", "revoked: a virus")]
    assert f"{TEAM.label}: deletes n1: revoked: a virus" in list(plan.notes())


def test_a_revoked_image_whose_companion_cannot_be_read_leaves_too() -> None:
    """A revocation names it, so nothing is in doubt."""
    broken = BlobDiagnostic("n1.vhd", error("companion n1.json", "is junk", "left out", "Fix it"))
    plan = plan_of(catalog(N2, broken=(broken,)), policy("n1"), held("n1"), held("n2"))
    assert kept(plan) == {}


def test_a_revoked_image_stays_and_is_named_if_the_policy_says_so() -> None:
    """`revokedAction: report`; another lab still does not get it."""
    by = policy("n1", revoked_action="report")
    plan = plan_of(catalog(N1, N2), by, held("n1"), held("n2"))
    assert kept(plan) == {"n1": "revoked: a virus (setting revokedAction is report)"}
    assert not plan.labs[0].revoked and wanted(plan) == {"n2"}
    (told,) = [one for one in plan.warnings if one.subject.startswith("custom image n1")]
    assert told.fact == "is revoked: a virus" and told.severity is Severity.WARNING
    assert wanted(plan_of(catalog(N1, N2), by)) == {"n2"}


def test_a_revoked_image_that_is_not_in_the_state_is_named() -> None:
    """The stack deletes nothing that it did not create or take over; what the factory did not create is no one's."""
    plan = plan_of(catalog(N1, N2), policy("n1"), held("n1"), held("N1", image_path=None), owned=False)
    told = [one for one in plan.warnings if "is revoked" in one.fact]
    assert [one.subject for one in told] == [f"custom image n1 of lab {TEAM.label}"]
    assert "the state does not contain it" in told[0].consequence and not plan.labs[0].revoked


def test_what_a_lab_has_stays_until_as_many_good_ones_are_newer() -> None:
    """A revoked image replaces none, whether it is in the lab or only in the factory."""
    both = plan_of(catalog(N1, N2, N3), policy("n1"), held("n2"), held("n3"))
    assert wanted(both) == {"n2"} and kept(both) == {"n3": "n1, which would replace it, is revoked"}
    there = plan_of(catalog(N1, N3), policy("n1", keep=1), held("n1"), held("n3"))
    assert kept(there) == {"n3": "n1, which would replace it, is revoked"}
    newer = image("n0", age=0)
    later = plan_of(catalog(newer, N1, N2, N3), policy("n1"), *map(held, ("n0", "n2", "n3")))
    assert set(kept(later)) == {"n2"}


def test_an_image_beside_another_is_revoked_by_the_name_of_its_factory_image() -> None:
    """Also once the factory has its VHD no more; and by the name of that VHD."""
    beside = name_beside("n1", "again.vhd")
    for revoked in ("n1", "again"):
        plan = plan_of(catalog(N2), policy(revoked), held(beside, source_vhd="again.vhd"), held("n2"))
        assert [one.name for one in plan.labs[0].revoked] == [beside]


def test_a_revocation_for_one_path_leaves_the_image_of_another_path() -> None:
    """Names can repeat across paths."""
    other = image("n1", "Win2016/SQL.json", age=1, vhd_name="sql.vhd")
    plan = plan_of(catalog(other), policy("Win2016/SQL.json@n1"), held("n1", source_vhd=None))
    assert not plan.labs[0].revoked and set(kept(plan)) == {"n1"}


@pytest.mark.parametrize(
    ("revoked", "meant"),
    [
        ("n11", "n1"),
        ("Win2016/Datacenter.json@n22", "Win2016/Datacenter.json@n2"),
        ("Win2016/SQL.json@zz", None),
        ("Win2016/SQL.json@N1", "Win2016/Datacenter.json@n1"),
    ],
)
def test_a_revocation_of_something_that_does_not_exist_is_an_error(revoked: str, meant: str | None) -> None:
    """With the name that was most likely meant; the rest of the run goes on."""
    plan = plan_of(catalog(N1, N2), policy(revoked))
    (failure,) = plan.failures
    assert failure.subject == "setting imagefactory:revoked" and revoked in failure.fact
    assert wanted(plan) == {"n1", "n2"}
    assert failure.remedy.startswith(f"Write {meant}," if meant else "Fix the name")


def test_what_only_a_lab_has_can_be_revoked() -> None:
    """`prune` may have deleted its VHD."""
    plan = plan_of(catalog(N2), policy("gone"), held("gone"), held("n2"))
    assert not plan.failures and [one.name for one in plan.labs[0].revoked] == ["gone"]


def test_a_pin_of_something_that_does_not_exist_names_the_nearest_image_of_its_path() -> None:
    """Not one of another path."""
    other = image("n7", "Win2016/SQL.json")
    plan = plan_of(catalog(N1, other), Policy(pins={PATH: "n12"}))
    assert [one.remedy for one in plan.failures] == ["Write n1, or remove the pin (`imagefactory catalog` lists them)"]
