"""Which factory images each lab is offered, given its ring: a later ring takes an image after the earlier one holds it.

An image passes to a ring if all labs of the nearest earlier ring that get its image path hold it: as a custom image in
state Succeeded, or by the gallery, which they offer. Does not decide which way images go to labs, or what leaves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import LabKey, TargetLab
from imagefactory.configuration.rings import ring_of
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, warning
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import FactoryImage
from imagefactory.observed.standing_gallery import GalleryFacts, StandingVersion
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.delivery import delivery_of, fits_custom_image, unfit, uses_custom_images_only, uses_gallery
from imagefactory.planning.galleries.planned import attached_of
from imagefactory.planning.retention import Offer, retained
from imagefactory.planning.revocations import Revocations

Facts = Mapping[LabKey, LabFacts | Diagnostic]


@dataclass(frozen=True)
class Offering:
    """The factory images under the policy of the stack, as one lab gets them. All keys are file names of VHDs."""

    offers: tuple[Offer, ...]
    """All images, newest first, also of paths that the lab does not take."""
    closed: Mapping[str, str] = field(default_factory=dict)
    """Images that the lab does not have and its ring does not take yet, each with the reason; also old ones."""
    waiting: Mapping[str, str] = field(default_factory=dict)
    """Those of them that the lab is to have once its ring takes them, and that can still pass the earlier ring."""
    awaited: Mapping[str, str] = field(default_factory=dict)
    """Images that a later ring does not have yet, and can take only while this lab holds them; with the reason."""

    @cached_property
    def rules(self) -> Mapping[str, str]:
        """The images that the lab gets if it takes their path, each with the rule that gives it."""
        return {offer.image.vhd_name: offer.rule for offer in self.offers if not offer.reason}

    @cached_property
    def reasons(self) -> Mapping[str, str]:
        """The images that the lab does not get, each with the reason."""
        return {offer.image.vhd_name: offer.reason for offer in self.offers if offer.reason}

    def of_lab(self, lab: TargetLab) -> list[FactoryImage]:
        """Return the images that the lab gets, newest first."""
        return [one.image for one in self.offers if not one.reason and lab.takes(one.image.image_path)]


def offerings(
    labs: Iterable[TargetLab],
    catalog: Catalog,
    policy: Policy,
    facts: Facts,
    gallery: GalleryFacts | Diagnostic | None = None,
    now: datetime | None = None,
) -> dict[LabKey, Offering]:
    """Return what each lab is offered at `now` (None: nothing soaks). The result does not depend on any order."""
    if not policy.rings:
        vhds = unfit(catalog.images, policy)
        without = {lab.key: vhds if uses_custom_images_only(lab, policy) else frozenset[str]() for lab in labs}
        found = {each: Offering(tuple(retained(catalog, policy, now, unfit=each))) for each in set(without.values())}
        return {key: found[each] for key, each in without.items()}
    return _Rings(sorted(labs, key=lambda lab: lab.label), catalog, policy, facts, gallery, now).offerings()


def waiting(found: Iterable[Offering]) -> dict[str, list[str]]:
    """Return the names of the images that rings do not take yet, each with the reasons of these rings; sorted."""
    told = {(one.image.name, one.waits) for each in found for one in each.offers if one.image.vhd_name in each.waiting}
    names = sorted({name for name, _ in told})
    return {name: sorted(why for of, why in told if of == name) for name in names}


def ring_warnings(labs: Iterable[TargetLab], catalog: Catalog, policy: Policy, facts: Facts) -> Iterator[Diagnostic]:
    """Yield a warning about each ring whose labs can use versions of the gallery before their ring takes them."""
    paths = {image.image_path for image in catalog.images}
    before: list[tuple[int, TargetLab, str]] = []
    told: set[int] = set()
    ringed = [(ring_of(policy.rings, lab), lab) for lab in labs] if policy.rings else []
    for number, lab in sorted(ringed, key=lambda each: (each[0], each[1].label)):
        found = facts[lab.key]
        if not isinstance(found, LabFacts) or not uses_gallery(lab, policy):
            continue
        for earlier, other, region in before:
            is_alike = any(lab.takes(path) and other.takes(path) for path in paths)
            if earlier == number or number in told or region != found.region_key or not is_alike:
                continue
            told.add(number)
            ring, first = policy.rings[number].name, policy.rings[earlier].name
            yield warning(
                "setting imagefactory:rings",
                f"labs of the rings {first} and {ring} get images by the gallery in {found.region}, "
                f"such as {other.label} and {lab.label}",
                f"labs of ring {ring} there can use a version as soon as those of ring {first} can, because a version "
                "serves all labs of its region that offer its definition",
                "Set Delivery of the labs of one ring to customImage, or move them to another stack",
            )
        before.append((number, lab, found.region_key))


@dataclass(frozen=True)
class _Gate:
    """Whether a ring takes an image."""

    reason: str = ""
    """Why it does not; empty: it does."""
    is_alive: bool = True
    """Whether it can still take it: all labs of the earlier ring hold the image, or are to get it."""
    earlier: int = -1
    """The number of the ring that decides; -1: none does."""


class _Rings:
    def __init__(
        self,
        labs: Sequence[TargetLab],
        catalog: Catalog,
        policy: Policy,
        facts: Facts,
        gallery: GalleryFacts | Diagnostic | None,
        now: datetime | None,
    ) -> None:
        self._catalog, self._policy, self._now = catalog, policy, now
        self._labs: list[list[TargetLab]] = [[] for _ in policy.rings]
        for lab in labs:
            self._labs[ring_of(policy.rings, lab)].append(lab)
        revocations = Revocations(catalog, policy)
        self._images = [image for image in catalog.images if not revocations.of_image(image)]
        self._held = {lab.key: _Held(facts[lab.key], gallery, uses_gallery(lab, policy)) for lab in labs}
        self._unfit = unfit(catalog.images, policy)
        self._found: dict[LabKey, Offering] = {}
        self._offers: dict[tuple[int, frozenset[str], frozenset[str]], tuple[Offer, ...]] = {}

    def offerings(self) -> dict[LabKey, Offering]:
        awaited: list[dict[str, str]] = [{} for _ in self._labs]
        for number, labs in enumerate(self._labs):
            ring = self._policy.rings[number].name
            gates = {image.vhd_name: self._gate(number, image) for image in self._images}
            for lab in labs:
                self._found[lab.key] = found = self._offering(number, lab, gates)
                for vhd in (*found.waiting, *self._lacking(lab, found)):
                    if (earlier := gates[vhd].earlier) >= 0:
                        awaited[earlier].setdefault(vhd, f"ring {ring} does not have it yet (setting rings)")
        return {
            lab.key: replace(self._found[lab.key], awaited=after)
            for labs, after in zip(self._labs, awaited, strict=True)
            for lab in labs
        }

    def _lacking(self, lab: TargetLab, found: Offering) -> Iterator[str]:
        """Yield what a lab is to have and does not hold: a creation that fails must not find the gate closed."""
        for image in found.of_lab(lab):
            if self._can_get(lab, image) and self._held[lab.key].lacks(image):
                yield image.vhd_name

    def _offering(self, number: int, lab: TargetLab, gates: Mapping[str, _Gate]) -> Offering:
        held = self._held[lab.key]
        closed = {
            image.vhd_name: gates[image.vhd_name].reason
            for image in self._images
            if gates[image.vhd_name].reason and not held.takes(image)
        }
        without = self._unfit if uses_custom_images_only(lab, self._policy) else frozenset[str]()
        key = number, frozenset(closed), without
        if key not in self._offers:
            self._offers[key] = tuple(retained(self._catalog, self._policy, self._now, closed, without))
        waiting = {
            one.image.vhd_name: one.waits
            for one in self._offers[key]
            if one.waits and gates[one.image.vhd_name].is_alive and lab.takes(one.image.image_path)
        }
        return Offering(self._offers[key], closed, waiting)

    def _gate(self, number: int, image: FactoryImage) -> _Gate:
        """Decide for one ring; the earlier ones are decided."""
        for earlier in reversed(range(number)):
            labs = [lab for lab in self._labs[earlier] if self._can_get(lab, image)]
            if labs:
                return self._after(number, earlier, labs, image)
        return _Gate()

    def _after(self, number: int, earlier: int, labs: Sequence[TargetLab], image: FactoryImage) -> _Gate:
        ring, before = self._policy.rings[number], self._policy.rings[earlier].name
        if lost := [lab for lab in labs if not self._may_hold(lab, image)]:
            fact = f"lab {lost[0].label} of ring {before} neither has it nor gets it"
            return _Gate(f"ring {ring.name} does not get it: {fact}", is_alive=False, earlier=earlier)
        waits = f"ring {ring.name} waits: "
        if lacking := [(lab, why) for lab in labs if (why := self._held[lab.key].lacks(image))]:
            lab, why = lacking[0]
            more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
            return _Gate(f"{waits}lab {lab.label}{more} of ring {before} {why}", earlier=earlier)
        is_open = _Gate(earlier=earlier)
        if not ring.soak_days or self._now is None:
            return is_open
        since = [(lab, self._held[lab.key].since(image)) for lab in labs]
        if undated := [lab for lab, at in since if at is None]:
            fact = f"Azure tells no date of it for lab {undated[0].label} of ring {before}"
            return _Gate(f"{waits}{fact} (its soakDays)", earlier=earlier)
        last = max(at for _, at in since if at)
        try:
            end = last + timedelta(days=ring.soak_days)
        except OverflowError:  # a date at the end of the calendar
            return _Gate(f"{waits}ring {before} holds it since {last:%Y-%m-%d}", earlier=earlier)
        if end <= self._now:
            return is_open
        fact = f"ring {before} holds it since {last:%Y-%m-%d %H:%M} UTC"
        return _Gate(f"{waits}{fact}, and it soaks until {end:%Y-%m-%d %H:%M} UTC (its soakDays)", earlier=earlier)

    def _can_get(self, lab: TargetLab, image: FactoryImage) -> bool:
        """Return whether a lab takes the path of an image, and there is a way to deliver the image to it."""
        policy = self._policy
        is_custom = delivery_of(lab, policy) != "gallery" and fits_custom_image(image, policy)
        return lab.takes(image.image_path) and (is_custom or uses_gallery(lab, policy))

    def _may_hold(self, lab: TargetLab, image: FactoryImage) -> bool:
        """Return whether a lab has an image or is to get it; also if that is unknown."""
        found, held = self._found[lab.key], self._held[lab.key]
        vhd = image.vhd_name
        return held.is_unknown or held.takes(image) or vhd in found.rules or vhd in found.waiting


class _Held:
    """What one lab has: custom images, and versions of the gallery, also if it is to get no more by it."""

    def __init__(
        self, lab: LabFacts | Diagnostic, gallery: GalleryFacts | Diagnostic | None, gets_by_gallery: bool
    ) -> None:
        self._lab = lab if isinstance(lab, LabFacts) else None
        self._gallery = gallery if isinstance(gallery, GalleryFacts) else None
        self._is_gallery_unread = gets_by_gallery and isinstance(gallery, Diagnostic)
        self.is_unknown = self._lab is None or self._is_gallery_unread
        """Whether it may have more than could be read."""
        self._by_vhd: dict[str, list[StandingImage]] = {}
        self._by_name: dict[str, list[StandingImage]] = {}
        for one in self._lab.images if self._lab else ():
            place, key = (self._by_vhd, one.source_vhd) if one.source_vhd else (self._by_name, fold(one.name))
            place.setdefault(key, []).append(one)

    def takes(self, image: FactoryImage) -> bool:
        """Return whether the lab has an image, or Azure is about to give it to the lab."""
        return any(one.usable for one in self._custom(image)) or any(self._versions(image))

    def lacks(self, image: FactoryImage) -> str:
        """Return how the lab does not hold an image; empty if it does."""
        if self._lab is None:
            return "cannot be read"
        found: list[StandingImage | StandingVersion] = [*self._custom(image), *self._versions(image)]
        states = sorted({one.state for one in found})
        if "Succeeded" in states:
            return ""
        if self._is_gallery_unread and not states:
            return "may not hold it, because the gallery cannot be read"
        return f"does not hold it{f' ({states[0]})' if states else ''}"

    def since(self, image: FactoryImage) -> datetime | None:
        """Return when the lab got an image that it holds, UTC: when Azure began to create the custom image, or
        published the version of the gallery; None: Azure tells no readable date."""
        dates = [one.created for one in self._custom(image) if one.state == "Succeeded"]
        dates += [one.published for one in self._versions(image) if one.state == "Succeeded"]
        return min((at for at in dates if at), default=None)

    def _custom(self, image: FactoryImage) -> list[StandingImage]:
        found = (*self._by_vhd.get(image.vhd_name, ()), *self._by_name.get(fold(image.name), ()))
        return [one for one in found if one.holds(image.vhd_name, image.name)]

    def _versions(self, image: FactoryImage) -> list[StandingVersion]:
        """Return the versions of an image that the lab offers in its region, in any state."""
        attached = attached_of(self._lab, self._gallery.id) if self._lab and self._gallery else None
        if attached is None or self._lab is None or self._gallery is None:
            return []
        return [
            version
            for definition, version in self._gallery.by_source.get(image.vhd_name, ())
            if fold(definition.name) in attached.enabled and self._lab.region_key in version.regions
        ]
