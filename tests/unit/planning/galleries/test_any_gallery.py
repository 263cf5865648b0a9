"""Any gallery, labs and state: no run takes the last good image from a lab, and the order of inputs is no matter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import error
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.lab_machines import LabMachine
from imagefactory.observed.standing_gallery import GalleryFacts, StandingDefinition, StandingVersion
from imagefactory.planning.galleries.planned import GalleryLab, GalleryPlan, RecordedGallery
from imagefactory.planning.retention import retained, soaking
from imagefactory.planning.revocations import Revocations
from tests.unit.builders import catalog, examples
from tests.unit.planning.galleries.galleries import (
    HOME,
    PATH,
    definition,
    gallery,
    planned,
    policy,
    recorded,
    saved,
    served,
    unread,
    version,
)

Item = TypeVar("Item")
NOW = saved("now", 4).saved_at
REGIONS = [HOME, "eastus", "northeurope"]
STATES = ["Succeeded", "Succeeded", "Succeeded", "Failed", "Creating", "Updating"]


@dataclass(frozen=True)
class Case:
    """A gallery, the labs as they are and as they are seen, the policy and the state."""

    facts: GalleryFacts
    labs: tuple[GalleryLab, ...]
    seen: tuple[GalleryLab, ...]
    by: Policy
    state: RecordedGallery
    unsafe: frozenset[str]
    offered: tuple[FactoryImage, ...]
    """What the factory has."""

    def plan(self) -> GalleryPlan:
        """What is done."""
        by, unsafe, more = self.by, self.unsafe, self.offered
        return planned(self.facts, *self.seen, state=self.state, by=by, unsafe=unsafe, more=more, now=NOW)[0]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Images of two paths, some of them offered by the factory, some with versions; labs that get and offer them."""
    everything = [
        saved(f"{path[-9]}{day}", day, path, generation=draw(st.sampled_from(["V1", "V1", "V2"])))
        for path in (PATH, "Win2016/SQL.json")[: draw(st.sampled_from([1, 1, 2]))]
        for day in range(1, draw(st.integers(2, 4)))
    ]
    definitions: dict[str, StandingDefinition] = {}
    for each in everything:
        one = definitions.setdefault(definition(each).name, definition(each))
        if draw(st.integers(0, 3)):
            regions = frozenset({HOME, *draw(st.sets(st.sampled_from(REGIONS)))})
            made = version(each, state=draw(st.sampled_from(STATES)), regions=regions)
            definitions[one.name] = replace(one, versions=(*one.versions, made))
    facts = gallery(*definitions.values())
    offered = [each for each in everything if draw(st.integers(0, 3))]
    by = policy(
        keep=draw(st.sampled_from([None, 1, 2])),
        revoked={RevokedImage(each.name): "a virus" for each in offered if draw(st.integers(0, 4)) == 0},
        revoked_fallback=draw(st.sampled_from(["none", "previous"])),
        soak_days=draw(st.sampled_from([None, None, 1, 2])),
        keep_days=draw(st.sampled_from([None, None, 2])),
        keep_used_days=draw(st.sampled_from([None, 2])),
    )
    wanted = [offer.image for offer in retained(catalog(*offered), by, NOW) if not offer.reason]
    labs = tuple(draw(lab_of(name, wanted, definitions)) for name in ("a", "b", "c")[: draw(st.integers(1, 3))])
    keys = [f"{name}/{each.name}" for name, one in definitions.items() for each in one.versions]
    outside = draw(st.sets(st.sampled_from(["-", *keys]), max_size=1))
    seen = tuple(unread(lab) if draw(st.integers(0, 2)) == 0 else lab for lab in labs)
    unsafe = frozenset(draw(st.sets(st.sampled_from([each.vhd_name for each in everything]), max_size=1)))
    return Case(facts, labs, seen, by, recorded(facts, *labs, outside=outside), unsafe, tuple(offered))


@st.composite
def lab_of(
    draw: st.DrawFn, name: str, wanted: list[FactoryImage], definitions: dict[str, StandingDefinition]
) -> GalleryLab:
    """A lab that gets the images, or custom images only, and offers some definitions."""
    offers = [each for each in definitions if draw(st.booleans())]
    region = draw(st.sampled_from(REGIONS))
    found = served(name, *wanted, region=region, offers=offers)
    if draw(st.integers(0, 2)) == 0:
        there = frozenset(each.image_path for each in wanted if draw(st.booleans()))
        found = served(name, region=region, offers=offers, is_served=False, replaced=there)
    keys = [(fold(one.name), each.name) for one in definitions.values() for each in one.versions]
    dates = st.sampled_from([None, NOW, NOW - timedelta(days=1), NOW - timedelta(days=2)])
    machines = draw(
        st.lists(st.tuples(st.sampled_from(keys), dates).map(lambda each: _vm(*each[0], each[1])), max_size=2)
        if keys
        else st.just([])
    )
    assert found.facts
    is_listed = draw(st.integers(0, 5))
    listed = tuple(machines) if is_listed else error("VMs", "403", "", "Grant it")
    return replace(found, facts=replace(found.facts, machines=listed))


def _vm(definition: str, version: str, created: datetime | None) -> LabMachine:
    return LabMachine("vm", created, definition=definition, version=version)


def good(case: Case, lab: GalleryLab) -> dict[ImagePath, set[str]]:
    """What users of a lab can use now, and is not revoked: by image path, the keys of versions, in comparable form. A
    failed one counts if no other does: it may have failed in another region."""
    assert lab.facts
    revocations = Revocations(catalog(*case.offered), case.by)
    enabled = {name for each in lab.facts.galleries for name in each.enabled}
    found: dict[str, dict[ImagePath, set[str]]] = {"Failed": {}, "Succeeded": {}}
    for key, path, one in versions(case.facts):
        if revocations.of_version(one):
            continue
        if one.state in found and lab.facts.region_key in one.regions and key.partition("/")[0] in enabled:
            found[one.state].setdefault(path, set()).add(key)
    return {**found["Failed"], **found["Succeeded"]}


def versions(facts: GalleryFacts) -> list[tuple[str, ImagePath, StandingVersion]]:
    """Key in comparable form, image path and version."""
    return [
        (fold(f"{one.name}/{each.name}"), ImagePath.parse(one.image_path or ""), each)
        for one in facts.definitions
        for each in one.versions
    ]


def kept(case: Case, plan: GalleryPlan) -> dict[str, set[str] | None]:
    """What is there afterwards even if all that is to be created fails: regions of the versions that were there; None:
    those that it has."""
    there: dict[str, set[str] | None] = {
        key: None for key, _, _ in versions(case.facts) if key not in case.state.versions
    }
    there |= {fold(each.key): None for each in plan.retained}
    return {**there, **{fold(each.key): set(each.regions) for each in plan.versions}}


@examples(120)
@given(cases())
def test_a_lab_keeps_an_image_of_every_path_that_it_has_one_of(case: Case) -> None:
    """A version in its region that its users can use, or custom images in its place: whatever fails in this run, and
    whether the lab can be read or not."""
    plan = case.plan()
    there = kept(case, plan)
    for lab, seen in zip(case.labs, case.seen, strict=True):
        assert lab.facts
        enabled = {fold(one.name) for each in plan.labs if each.label == lab.lab.label for one in each.definitions}
        if seen.facts is None:
            enabled = {name for each in lab.facts.galleries for name in each.enabled}
            assert not any(each.label == lab.lab.label for each in plan.labs)
        for path, before in good(case, lab).items():
            left = {key for key in before if key.partition("/")[0] in enabled and key in there}
            left = {key for key in left if (in_it := there[key]) is None or lab.facts.region_key in in_it}
            assert left or path in seen.replaced, (path, plan)


@given(cases())
def test_what_azure_works_on_or_nobody_can_judge_is_not_deleted(case: Case) -> None:
    """A version in progress, and one from a VHD whose companion cannot be read. No definition goes before its
    versions."""
    plan = case.plan()
    there = {fold(each.key) for each in plan.retained} | {fold(each.key) for each in plan.versions}
    names = {fold(name) for name in (*plan.kept, *(each.name for each in plan.definitions))}
    for key, _, one in versions(case.facts):
        is_revoked = bool(Revocations(catalog(*case.offered), case.by).of_version(one))
        if key in case.state.versions and (one.in_progress or (one.source_vhd in case.unsafe and not is_revoked)):
            assert key in there
        if key in there or key not in case.state.versions:
            assert key.partition("/")[0] in names


@given(cases())
def test_no_revoked_or_soaking_image_gets_a_version(case: Case) -> None:
    """And each revoked version of the state leaves that Azure does not work on."""
    plan, revocations = case.plan(), Revocations(catalog(*case.offered), case.by)
    soaks = soaking(catalog(*case.offered), case.by, NOW)
    assert not any(revocations.of_image(each.image) or each.image.vhd_name in soaks for each in plan.versions)
    stay = {fold(each.key) for each in plan.retained} | {fold(each.key) for each in plan.versions}
    for key, _, one in versions(case.facts):
        if key in case.state.versions and revocations.of_version(one) and not one.in_progress:
            assert key not in stay


@given(cases(), st.randoms())
def test_the_order_of_the_inputs_is_no_matter(case: Case, draw: Random) -> None:
    """Azure lists in any order."""

    def shuffled(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(draw.sample(items, len(items)))

    definitions = tuple(replace(one, versions=shuffled(one.versions)) for one in shuffled(case.facts.definitions))
    labs = tuple(replace(one, images=shuffled(one.images)) for one in shuffled(case.seen))
    other = replace(case, facts=replace(case.facts, definitions=definitions), seen=labs)
    plan, expected = other.plan(), case.plan()
    assert replace(plan, facts=case.facts, unadopted=()) == replace(expected, unadopted=())
    assert [part.key for part in plan.unadopted] == [part.key for part in expected.unadopted]


@given(cases())
def test_a_version_that_a_vm_was_created_from_lately_stays_unless_it_is_revoked(case: Case) -> None:
    """If the setting says so; all of them while the VMs of a lab are unknown. It keeps no version that is not used."""
    plan, without = case.plan(), replace(case, by=case.by.model_copy(update={"keep_used_days": None})).plan()
    revocations = Revocations(catalog(*case.offered), case.by)
    known = [lab.facts.machines if lab.facts else None for lab in case.seen]
    young = [vm for each in known if isinstance(each, tuple) for vm in each if vm.created is None or _is_young(vm)]
    used = {fold(f"{vm.definition}/{vm.version}") for vm in young}
    all_used = not all(isinstance(each, tuple) for each in known)
    more = {fold(each.key) for each in plan.retained} - {fold(each.key) for each in without.retained}
    assert not more or (case.by.keep_used_days and (all_used or more <= used))
    stay = {fold(key) for key in (*(each.key for each in plan.retained), *(each.key for each in plan.versions))}
    for key, _, one in versions(case.facts):
        if case.by.keep_used_days and key in case.state.versions and (all_used or key in used):
            assert key in stay or revocations.of_version(one)


def _is_young(vm: LabMachine) -> bool:
    return vm.created is not None and NOW - vm.created < timedelta(days=2)


@given(cases())
def test_versions_are_where_their_labs_are(case: Case) -> None:
    """In the region of the gallery, and of each lab that gets them."""
    for each in case.plan().versions:
        takers = [lab for lab in case.seen if lab.facts and each.image in lab.images]
        assert {HOME, *(lab.facts.region_key for lab in takers if lab.facts)} <= set(each.regions)
