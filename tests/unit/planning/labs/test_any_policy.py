"""For any factory, policy and history: what a lab gets, loses and keeps."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.planning.retention import claims, retained
from tests.unit.builders import NOON, catalog, configuration, examples, facts, image, lab, standing

TEAM = lab("team", ["Win2016", "Ubuntu"])
PATHS = ["Win2016/Datacenter.json", "Ubuntu/Jammy.json"]
NAMES = [f"n{number}" for number in range(6)]
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class World:
    """A factory, the policy of a stack, and what the stack has in its lab."""

    images: tuple[FactoryImage, ...]
    there: tuple[StandingImage, ...]
    policy: Policy

    def plan(
        self, images: tuple[FactoryImage, ...] | None = None, there: tuple[StandingImage, ...] | None = None
    ) -> Plan:
        """The plan at noon, for the same world in any order."""
        there = self.there if there is None else there
        names = frozenset(f"{TEAM.label}/{one.name}" for one in self.there)
        found, labs = catalog(*(images or self.images)), {TEAM.key: facts("team", *there)}
        return build_plan(configuration(TEAM), found, facts("factory"), labs, self.policy, names, now=NOON)

    def is_revoked(self, name: str, path: ImagePath | None) -> bool:
        """Whether the policy revokes an image; an image in the lab has the name of its factory image here."""
        return any(fold(one.name) == fold(name) and one.path in {None, path} for one in self.policy.revoked)

    def soaks(self, one: FactoryImage, now: datetime = NOON) -> bool:
        """Whether an image is not old enough, or of an unknown age."""
        days = self.policy.soak_days
        return days is not None and (one.saved_at_source != "companion" or now - one.saved_at < timedelta(days=days))


revocations = st.dictionaries(
    st.sampled_from([*NAMES[:4], *(f"{path}@{name}" for path in PATHS for name in NAMES[:3])]).map(RevokedImage),
    st.just("a virus"),
    max_size=3,
)
any_policy = st.builds(
    Policy,
    keep=st.none() | st.integers(1, 3),
    pins=st.dictionaries(st.sampled_from(PATHS).map(ImagePath.parse), st.sampled_from(NAMES), max_size=1),
    revoked=revocations,
    revoked_action=st.sampled_from(["remove", "report"]),
    revoked_fallback=st.sampled_from(["none", "previous"]),
    soak_days=st.none() | st.integers(1, 5),
    keep_days=st.none() | st.integers(1, 9),
)


@st.composite
def worlds(draw: st.DrawFn, policy: st.SearchStrategy[Policy] = any_policy) -> World:
    """Images of two paths, some undated. The lab has some of them, and some that the factory no longer has."""
    images, there = [], []
    for name in NAMES:
        path, age = draw(st.sampled_from(PATHS)), draw(st.integers(0, 24 * 8))
        made = image(name, path, age)
        if draw(st.integers(0, 5)) == 0:
            made = replace(made, saved_at_source="last-modified")
        is_there, is_held = draw(st.sampled_from([(True, False), (True, True), (False, True)]))
        if is_there:
            images.append(made)
        if is_held:
            state = draw(st.sampled_from(["Succeeded", "Succeeded", "Failed", "Creating"]))
            there.append(standing(name, state=state, image_path=path, source_vhd=f"{name}.vhd", saved_at=made.saved_at))
    return World(tuple(images), tuple(there), draw(policy))


@examples(300)
@given(worlds())
def test_no_lab_gets_an_image_that_is_revoked_or_soaks(world: World) -> None:
    """Whatever keep, pins and ages say."""
    for one in world.plan().labs[0].images:
        assert not world.is_revoked(one.image.name, one.image.image_path) and not world.soaks(one.image)


@examples(300)
@given(worlds())
def test_no_lab_loses_its_last_good_image_of_a_path_unless_it_is_revoked(world: World) -> None:
    """And it loses each revoked one, unless they are only to be named."""
    (plan,) = world.plan().labs
    stay = {one.name for one in plan.retained} | {one.name for one in plan.images}
    leaving = {one.name for one in plan.revoked}
    for path in map(ImagePath.parse, PATHS):
        held = [one for one in world.there if one.path == path]
        revoked = {one.name for one in held if world.is_revoked(one.name, path)}
        good = {one.name for one in held if one.state == "Succeeded"} - revoked
        assert not good or good & stay
        is_report = world.policy.revoked_action == "report"
        if world.images:
            assert revoked & stay == (revoked if is_report else set())
            assert leaving & {one.name for one in held} == revoked - stay


@examples(200)
@given(worlds())
def test_an_image_that_soaks_stays_where_it_is(world: World) -> None:
    """Unless it is revoked, failed, or another rule takes it from the lab as well."""
    offers = retained(catalog(*world.images), world.policy, NOON)
    soaking = {offer.image.name for offer in offers if offer.soaks}
    kept = {one.name for one in world.plan().labs[0].retained}
    assert {one.name for one in world.there if one.usable} & soaking <= kept


@examples(200)
@given(worlds(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_its_inputs(world: World, luck: random.Random) -> None:
    """Neither images, labs' images, pins nor revocations."""
    images, there = list(world.images), list(world.there)
    luck.shuffle(images)
    luck.shuffle(there)
    revoked = list(world.policy.revoked.items())
    luck.shuffle(revoked)
    other = replace(world, policy=world.policy.model_copy(update={"revoked": dict(revoked)}))
    first, again = world.plan(), other.plan(tuple(images), tuple(there))
    assert replace(again, labs=()) == replace(first, labs=())
    for one, same in zip(first.labs, again.labs, strict=True):
        assert replace(same, facts=one.facts) == one


@examples(200)
@given(worlds(), st.integers(0, 9))
def test_prune_keeps_what_the_plan_gives_now_and_later(world: World, days: int) -> None:
    """A plan some days after a prune finds all images that it gives, also those that soaked meanwhile."""
    claimed = {one.image.name for one in claims(catalog(*world.images), {"dev": world.policy}, NOON) if one.reason}
    undated = {one.name for one in world.images if one.saved_at_source != "companion"}
    later = retained(catalog(*world.images), world.policy, NOON + timedelta(days=days))
    assert {offer.image.name for offer in later if not offer.reason} <= claimed | undated


@examples(200)
@given(worlds(st.builds(Policy, keep=st.none() | st.integers(1, 3))))
def test_keep_alone_gives_the_newest_of_each_path(world: World) -> None:
    """Whatever the time is."""
    for now in (None, NOON, NOON + WEEK):
        given_now = [one.image for one in retained(catalog(*world.images), world.policy, now) if not one.reason]
        for path in map(ImagePath.parse, PATHS):
            newest = [one for one in catalog(*world.images).images if one.image_path == path][: world.policy.keep]
            assert [one for one in given_now if one.image_path == path] == newest
