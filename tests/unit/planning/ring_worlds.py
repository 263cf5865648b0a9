"""Worlds of labs in rings, drawn by hypothesis, and what a run that succeeds makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st

from imagefactory.configuration.gallery_settings import GallerySettings
from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.labs_file import Delivery, LabKey, TargetLab
from imagefactory.configuration.revocations import RevokedImage
from imagefactory.configuration.rings import Ring
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import AttachedGallery, GalleryFacts, StandingDefinition, StandingVersion
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.galleries.planned import RecordedGallery, RecordedLab, RecordedVersion
from imagefactory.planning.labs.plan import Plan, build_plan
from tests.unit.builders import NOON, catalog, configuration, facts, image, lab, standing
from tests.unit.planning.galleries.galleries import HOME, ID, STACK, definition, version

PATHS = ["Win2016/Datacenter.json", "Ubuntu/Jammy.json"]
WISHES = [["Win2016"], ["Ubuntu"], ["Win2016", "Ubuntu"]]
DELIVERIES: list[Delivery] = ["customImage", "customImage", "gallery", "both"]
REGIONS = ["eastus", "northeurope", "westus"]
"""Those of the rings: a version of the gallery serves all labs of a region."""


@dataclass(frozen=True)
class World:
    """A factory, labs in rings, what they hold, and the policy of their stack."""

    images: tuple[FactoryImage, ...]
    rings: tuple[tuple[TargetLab, ...], ...]
    there: dict[LabKey, LabFacts]
    gallery: GalleryFacts
    policy: Policy
    unread: frozenset[LabKey] = frozenset()
    now: datetime = NOON

    @property
    def labs(self) -> list[TargetLab]:
        """The labs of all rings."""
        return [one for ring in self.rings for one in ring]

    @property
    def seen(self) -> dict[LabKey, LabFacts | Diagnostic]:
        """The labs as they could be read."""
        lost = error("lab", "GET was refused", "", "Fix it")
        return {key: lost if key in self.unread else one for key, one in self.there.items()}

    def ring_of(self, key: LabKey) -> int:
        """The number of the ring of a lab."""
        return next(number for number, ring in enumerate(self.rings) if key in {one.key for one in ring})

    def plan(self, images: Sequence[FactoryImage] | None = None, labs: Sequence[TargetLab] | None = None) -> Plan:
        """The plan, when the state has all that labs and gallery have."""
        found = catalog(*(self.images if images is None else images))
        owned = frozenset(f"{one.label}/{each.name}" for one in self.labs for each in self.there[one.key].images)
        stack, state = configuration(*(labs or self.labs)), self._recorded()
        return build_plan(
            stack, found, facts("factory"), self.seen, self.policy, owned, None, STACK, self.gallery, state, self.now
        )

    def _recorded(self) -> RecordedGallery:
        keys = {f"{one.name}/{each.name}": each for one in self.gallery.definitions for each in one.versions}
        attached = {one.label: self.there[one.key].galleries for one in self.labs}
        return RecordedGallery(
            True,
            {fold(one.name): one.name for one in self.gallery.definitions},
            {fold(key): RecordedVersion(key, each.attempt, each.stack, each.path) for key, each in keys.items()},
            {label: RecordedLab("rg", found[0].enabled) for label, found in attached.items() if found},
            frozenset({self.gallery.place}),
        )

    def held(self, one: TargetLab) -> dict[str, datetime | None]:
        """The images that users of a lab can use: file name of the VHD -> when the lab got it."""
        found = self.there[one.key]
        held = {str(each.source_vhd): each.created for each in found.images if each.state == "Succeeded"}
        enabled = found.galleries[0].enabled if found.galleries else frozenset()
        for each in self.gallery.definitions:
            for made in each.versions if fold(each.name) in enabled else ():
                if made.state == "Succeeded" and found.region in made.regions:
                    published = made.answer["properties"]["publishingProfile"]["publishedDate"]
                    held.setdefault(made.source_vhd, datetime.fromisoformat(published) if published else None)
        return held

    def after(self, plan: Plan) -> World:
        """The world once a run of the plan has succeeded."""
        there = dict(self.there)
        for each in plan.labs:
            stay = {fold(one.name) for one in each.retained}
            before = {one.id: one for one in each.facts.images}
            images = [one for one in before.values() if fold(one.name) in stay]
            for one in each.images:
                there_already = before.get(one.image_id) if one.standing else None
                new = custom(one.image, one.name, created=self.now)
                images.append(replace(there_already, state="Succeeded") if there_already else new)
            there[each.lab.key] = replace(each.facts, images=tuple(images))
        assert plan.gallery
        offers = {each.label: each for each in plan.gallery.labs}
        for target in self.labs:
            if target.key not in self.unread:
                offered = offers[target.label].definitions if target.label in offers else ()
                attached = _attached(fold(one.name) for one in offered)
                there[target.key] = replace(there[target.key], galleries=attached)
        return replace(self, there=there, gallery=self._gallery_after(plan))

    def _gallery_after(self, plan: Plan) -> GalleryFacts:
        assert plan.gallery
        definitions: dict[str, StandingDefinition] = {}
        for one in plan.gallery.versions:
            before = self.gallery.by_key.get(fold(one.key))
            made = published(version(one.image, regions=frozenset(one.regions)), self.now)
            made = replace(made, answer=before.answer) if before and before.state == "Succeeded" else made
            found = definitions.setdefault(one.definition, definition(one.image))
            definitions[one.definition] = replace(found, versions=(*found.versions, made))
        stay = {fold(one.key) for one in plan.gallery.retained}
        for each in self.gallery.definitions:
            kept = tuple(one for one in each.versions if fold(f"{each.name}/{one.name}") in stay)
            if kept or each.name in plan.gallery.kept:
                found = definitions.setdefault(each.name, replace(each, versions=()))
                definitions[each.name] = replace(found, versions=(*found.versions, *kept))
        return replace(self.gallery, definitions=tuple(definitions.values()))


def custom(of: FactoryImage, name: str = "", **changes: object) -> StandingImage:
    """The custom image of a factory image."""
    path = str(of.image_path)
    return standing(name or of.name, source_vhd=of.vhd_name, image_path=path, saved_at=of.saved_at, **changes)


def published(made: StandingVersion, at: datetime | None) -> StandingVersion:
    """The version with the time at which Azure published it (None: unknown)."""
    profile = {"publishedDate": at.isoformat() if at else ""}
    return replace(made, answer={"properties": {"publishingProfile": profile}})


def _attached(names: Iterable[str]) -> tuple[AttachedGallery, ...]:
    enabled = frozenset(names)
    return (AttachedGallery("/lab/sharedgalleries/images", ID, enabled),) if enabled else ()


policies = st.builds(
    Policy,
    keep=st.sampled_from([None, 1, 1, 2]),
    pins=st.dictionaries(st.sampled_from(PATHS).map(ImagePath.parse), st.sampled_from(["n0", "n1", "n2"]), max_size=1),
    revoked=st.dictionaries(st.sampled_from(["n0", "n1"]).map(RevokedImage), st.just("a virus"), max_size=1),
    revoked_fallback=st.sampled_from(["none", "previous"]),
    keep_days=st.sampled_from([None, None, 5]),
)


@st.composite
def worlds(draw: st.DrawFn, policy: st.SearchStrategy[Policy] = policies, *, soaks: bool = True) -> World:
    """Two or three rings of up to two labs, which hold any of the images, also some that their ring does not take."""
    ages = draw(st.lists(st.integers(0, 24 * 8), min_size=1, max_size=5, unique=True))
    images = tuple(image(f"n{number}", draw(st.sampled_from(PATHS)), age) for number, age in enumerate(ages))
    rings: list[tuple[TargetLab, ...]] = []
    there: dict[LabKey, LabFacts] = {}
    definitions: dict[str, StandingDefinition] = {}
    dates = st.sampled_from([NOON - timedelta(days=days) for days in (0, 1, 3, 6)] + [None])
    for one in images:
        regions = frozenset({HOME, *draw(st.sets(st.sampled_from(REGIONS)))})
        if draw(st.booleans()):
            state = draw(st.sampled_from(["Succeeded", "Succeeded", "Failed", "Creating"]))
            made = published(version(one, state=state, regions=regions), draw(dates))
            found = definitions.setdefault(definition(one).name, definition(one))
            definitions[found.name] = replace(found, versions=(*found.versions, made))
    for number in range(draw(st.integers(2, 3))):
        labs = []
        for place in range(draw(st.integers(1, 2))):
            delivery = draw(st.sampled_from(DELIVERIES))
            target = replace(lab(f"lab{number}{place}", draw(st.sampled_from(WISHES))), delivery=delivery)
            held = [one for one in images if target.takes(one.image_path) and draw(st.booleans())]
            states = st.sampled_from(["Succeeded", "Succeeded", "Failed", "Creating"])
            made_there = [custom(one, state=draw(states), created=draw(dates)) for one in held]
            if delivery == "gallery":
                made_there = []
            found_there = facts(target.name, *(_in(target, one) for one in made_there), region=REGIONS[number])
            enabled = frozenset(fold(name) for name in definitions if draw(st.booleans()))
            if delivery != "customImage":
                found_there = replace(found_there, galleries=_attached(enabled))
            labs.append(target)
            there[target.key] = found_there
        rings.append(tuple(labs))
    days = st.sampled_from([None, 0, 2, 4] if soaks else [None, 0])
    setting = [
        Ring(name=f"r{number}", labs=[one.name for one in ring], soak_days=draw(days))
        for number, ring in enumerate(rings)
    ]
    gallery = GalleryFacts(ID, HOME, definitions=tuple(definitions.values()), source_region=HOME)
    more = {"rings": setting, "delivery": "both", "gallery": GallerySettings(name="images", resource_group="rg")}
    unread = draw(st.sets(st.sampled_from(sorted(there)), max_size=1)) if draw(st.integers(0, 3)) == 0 else ()
    return World(images, tuple(rings), there, gallery, draw(policy).model_copy(update=more), frozenset(unread))


def _in(target: TargetLab, one: StandingImage) -> StandingImage:
    return replace(one, id=one.id.replace("/labs/team/", f"/labs/{target.name}/"))
