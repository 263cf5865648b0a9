"""For any labs, rings, history and policy: no ring is skipped, a wait deletes nothing, and rings come to an end."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.configuration.rings import Ring
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.factory.ring_needs import ring_needs
from imagefactory.planning.factory.staging_needs import StackPlan
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.retention import claims, retained
from tests.unit.builders import NOON, catalog, configuration, examples, facts, image, lab
from tests.unit.planning.galleries.galleries import HOME, ID
from tests.unit.planning.ring_worlds import World, worlds

PLAIN = st.builds(Policy, keep=st.sampled_from([None, 1, 2]))


def is_revoked(world: World, one: FactoryImage) -> bool:
    """Whether the policy revokes an image."""
    return any(each.is_of(one.image_path, one.name) for each in world.policy.revoked)


def allowed(world: World, target: TargetLab, one: FactoryImage) -> bool:
    """Whether the rings let an image into a lab that does not have it."""
    number = world.ring_of(target.key)
    for earlier in reversed(range(number)):
        deciding = [each for each in world.rings[earlier] if each.takes(one.image_path)]
        if not deciding:
            continue
        if any(each.key in world.unread or one.vhd_name not in world.held(each) for each in deciding):
            return False
        days = world.policy.rings[number].soak_days
        since = [world.held(each)[one.vhd_name] for each in deciding]
        return not days or all(at is not None and world.now - at >= timedelta(days=days) for at in since)
    return True


def has(world: World, target: TargetLab, one: FactoryImage) -> bool:
    """Whether a lab has an image, finished or not; by the gallery if its region has the version."""
    there = world.there[target.key]
    enabled = there.galleries[0].enabled if there.galleries else frozenset()
    return any(each.usable and each.source_vhd == one.vhd_name for each in there.images) or any(
        there.region in made.regions and made.source_vhd == one.vhd_name
        for each in world.gallery.definitions
        if fold(each.name) in enabled
        for made in each.versions
    )


@examples(100)
@given(worlds())
def test_no_ring_is_skipped(world: World) -> None:
    """What a run gives to a lab that did not have it, the ring before it holds, since long enough."""
    plan = world.plan()
    after, by_vhd = world.after(plan), {one.vhd_name: one for one in world.images}
    for each in plan.labs:
        for one in each.images:
            assert has(world, each.lab, one.image) or allowed(world, each.lab, one.image)
    for target in world.labs:
        if target.key not in world.unread:
            for vhd in after.held(target).keys() - world.held(target).keys():
                got, region = by_vhd[vhd], world.there[target.key].region
                made = [each for each in world.gallery.by_key.values() if each.source_vhd == vhd]
                # A version serves all labs of a region that offer its definition.
                neighbours = [each for each in world.labs if world.there[each.key].region == region]
                is_there = any(region in each.regions for each in made) or any(has(world, n, got) for n in neighbours)
                assert has(world, target, got) or allowed(world, target, got) or is_there


def leaving(world: World, plan: Plan) -> list[tuple[TargetLab, FactoryImage]]:
    """The images that users of labs could use, and lose."""
    after, by_vhd = world.after(plan), {one.vhd_name: one for one in world.images}
    lost = [(each, by_vhd[vhd]) for each in world.labs for vhd in world.held(each).keys() - after.held(each).keys()]
    return [(each, one) for each, one in lost if each.takes(one.image_path) and not is_revoked(world, one)]


@examples(100)
@given(worlds())
def test_a_wait_deletes_nothing(world: World) -> None:
    """An image leaves a lab only for those that the lab has: `keep` newer ones, or the pinned one."""
    for target, one in leaving(world, world.plan()):
        assert target.key not in world.unread
        there = world.held(target)
        held = [each for each in world.images if each.vhd_name in there and each.image_path == one.image_path]
        pin = world.policy.pins.get(one.image_path)
        newer = [each for each in held if each.saved_at > one.saved_at and not is_revoked(world, each)]
        if pin is not None:
            assert any(each is not one for each in held)
        else:
            assert world.policy.keep is not None and (
                len(newer) >= world.policy.keep or target.delivery != "customImage"
            )
            assert newer


@given(worlds(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_of_images_and_labs(world: World, luck: random.Random) -> None:
    """Nor on that of the labs in a ring."""
    images, labs, there = list(world.images), world.labs, list(world.there.items())
    for each in (images, labs, there):
        luck.shuffle(each)
    rings = [ring.model_copy(update={"labs": luck.sample(ring.labs, len(ring.labs))}) for ring in world.policy.rings]
    other = replace(world, there=dict(there), policy=world.policy.model_copy(update={"rings": rings}))
    assert other.plan(images, labs) == world.plan()


@given(worlds(PLAIN, soaks=False))
def test_the_last_ring_ends_with_what_it_would_have_without_rings(world: World) -> None:
    """After one run for each ring and one that retires; the next one changes nothing, and nobody waits."""
    world = replace(world, unread=frozenset())
    for _ in range(len(world.rings) + 2):
        world = world.after(world.plan())
    plan = world.plan()
    assert not plan.waiting and not plan.failures
    offered = [one.image for one in retained(catalog(*world.images), world.policy, world.now) if not one.reason]
    for each in plan.labs:
        assert {one.image.vhd_name for one in each.images if not one.standing} == set()
        wanted = {one.vhd_name for one in offered if each.lab.takes(one.image_path)}
        assert set(world.held(each.lab)) >= wanted
        assert {str(one.source_vhd) for one in each.facts.images} <= wanted
    assert world.after(plan) == world


@given(worlds())
def test_prune_takes_nothing_that_a_ring_has_or_waits_for(world: World) -> None:
    """The plan is the same with what it leaves, now and in later runs."""
    stack = StackPlan(configuration(*world.labs), world.seen, world.policy, world.gallery)
    needed = ring_needs([stack], catalog(*world.images), world.now)
    claimed = {
        one.image.vhd_name for one in claims(catalog(*world.images), {"s": world.policy}, world.now) if one.reason
    }
    left = [one for one in world.images if one.vhd_name in claimed | needed.keys() or is_revoked(world, one)]
    before, after = world.plan(), world.plan(left)
    assert before.waiting == after.waiting
    assert [one.images for one in before.labs] == [one.images for one in after.labs]


def test_images_that_come_each_day_pass_a_ring_that_soaks() -> None:
    """With `keep: 1` the earlier ring keeps them until the later one has them, so none is lost on the way."""
    first, second = lab("first"), lab("second")
    rings = [Ring(name="pilot", labs=["first"]), Ring(name="broad", labs=["second"], soak_days=3)]
    there = {one.key: facts(one.name) for one in (first, second)}
    by = Policy(keep=1, rings=rings, gallery=GallerySettings(name="images", resource_group="rg"))
    world = World((), ((first,), (second,)), there, GalleryFacts(ID, HOME), by)
    story: list[list[int]] = []
    for day in range(12):
        new = replace(image(f"d{day}"), saved_at=NOON + timedelta(days=day))
        world = replace(world, images=(*world.images, new), now=NOON + timedelta(days=day, hours=1))
        world = world.after(world.plan())
        story.append(sorted(int(vhd[1:-4]) for vhd in world.held(second)))
    assert story[:3] == [[], [], []] and story[3:6] == [[0], [0, 1], [1, 2]] and story[11] == [7, 8]
    assert set(world.held(first)) == {f"d{day}.vhd" for day in range(8, 12)}
