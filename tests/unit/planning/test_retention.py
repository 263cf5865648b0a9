"""Retention: plan and prune rank images by one rule."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.planning.labs.plan import build_plan
from imagefactory.planning.retention import claims, retained, with_keep
from tests.unit.builders import catalog, configuration, examples, facts, image, lab
from tests.unit.planning.factory.prunes import LATER, Factory, any_policies, factories

EVERYTHING = lab(selectors=("Win2016", "Ubuntu", "Win2016Core"))
WINDOWS = ImagePath.parse("Win2016/Datacenter.json")


@examples(200)
@given(factories(st.just("Win2016/Datacenter.json"), any_policies), st.none() | st.integers(1, 3))
def test_prune_deletes_nothing_that_the_plan_of_any_stack_has_offered(factory: Factory, keep: int | None) -> None:
    """For any `keep`, pins and revocations of the stacks, also if one `keep` applies to all of them."""
    rules = replace(factory.rules, policies=with_keep(factory.rules.policies, keep))
    gone = {blob.name for deletion in replace(factory, rules=rules).plan.deletions for blob in deletion.blobs}
    for policy in rules.policies.values():
        labs = {EVERYTHING.key: facts()}
        (promised,) = build_plan(
            configuration(EVERYTHING), factory.catalog, facts("factory"), labs, policy, now=LATER
        ).labs
        assert not {planned.image.vhd_name for planned in promised.images} & gone


@given(factories())
def test_every_image_is_ranked_once_for_either_reader(factory: Factory) -> None:
    """Newest first, and all images are included."""
    for policy in factory.rules.policies.values():
        assert [offer.image for offer in retained(factory.catalog, policy)] == list(factory.catalog.images)
    assert [claim.image for claim in claims(factory.catalog, factory.rules.policies)] == list(factory.catalog.images)


def test_an_image_without_a_usable_date_ranks_in_the_plan_and_does_not_count_in_prune() -> None:
    """Labs get it by the VHD's Last-Modified, which is not a reason to delete an older image."""
    undated = replace(image("undated"), saved_at_source="last-modified")
    found, policy = catalog(undated, image("dated", age=1)), Policy(keep=1)
    assert [bool(offer.reason) for offer in retained(found, policy)] == [False, True]
    assert [claim.is_newest for claim in claims(found, {"dev": policy})] == [True, True]


def test_an_image_that_any_stack_requires_is_kept() -> None:
    """The largest `keep` applies."""
    found = catalog(*(image(f"n{age}", age=age) for age in range(4)))
    told = claims(found, {"dev": Policy(keep=1), "prod": Policy(keep=3)})
    assert [claim.is_newest for claim in told] == [True, True, True, False]
    assert all(claim.is_newest for claim in claims(found, {"dev": Policy(keep=1), "prod": Policy()}))


def test_the_newest_images_are_kept_in_addition_to_a_pin() -> None:
    """Labs get them only after the pin is removed."""
    found, policy = (
        catalog(image("new"), image("middle", age=1), image("old", age=2)),
        Policy(keep=1, pins={WINDOWS: "old"}),
    )
    assert [bool(offer.reason) for offer in retained(found, policy)] == [True, True, False]
    told = claims(found, {"dev": policy})
    assert [(claim.is_newest, claim.reason) for claim in told][1:] == [(False, ""), (False, "pinned by stack 'dev'")]
    assert told[0].is_newest


def test_two_names_that_differ_only_as_unicode_writes_them_are_one() -> None:
    """In the plan and in prune, because they are the same image in Azure."""
    newest, twin, third = image("Stra\u00dfe"), image("STRASSE", age=1), image("other", age=2)
    found, policy = catalog(newest, twin, third), Policy(keep=2)
    assert [offer.duplicate for offer in retained(found, policy)] == [None, newest, None]
    assert [claim.is_newest for claim in claims(found, {"dev": policy})] == [True, True, True]


def test_a_revoked_image_is_not_required_and_counts_for_nothing() -> None:
    """As many others are claimed, so that `prune` keeps what may take its place; a stack that does not revoke it keeps
    it."""
    found = catalog(*(image(f"n{age}", age=age) for age in range(3)))
    dev = Policy(keep=1, revoked={RevokedImage("n0"): "a virus"}, pins={WINDOWS: "n0"})
    told = claims(found, {"dev": dev})
    assert [(claim.reason, claim.revoked_by) for claim in told] == [
        ("", "stack 'dev'"),
        ("among the newest 1 of its image path", ""),
        ("", ""),
    ]
    assert claims(found, {"dev": dev, "prod": Policy(keep=1)})[0].is_newest
