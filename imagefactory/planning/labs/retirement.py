"""Which images that are no longer in the plan are kept in their lab, and why.

Applies the rule that an image is deleted from a lab only after its successors exist there. They may be another stack's,
or not be in the state: users of the lab can use them. Does not decide which images a lab gets:
`imagefactory.planning.labs.plan` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timezone

from imagefactory.configuration.image_paths import ImagePath, fold, own_case
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog
from imagefactory.images.companions import AHEAD
from imagefactory.observed.standing_labs import StandingImage
from imagefactory.planning.labs.deletion_guard import HeldImage
from imagefactory.planning.labs.planned_images import LabPlan, Retained
from imagefactory.planning.retention import gaps, soaking
from imagefactory.planning.revocations import Revocations
from imagefactory.planning.used_images import Uses

_UNDATED = datetime.min.replace(tzinfo=timezone.utc)


class Successors:
    """The successors of images that are deleted: the factory images that their lab is offered.

    `paths` are the image paths of the golden images, for texts.
    """

    def __init__(
        self,
        catalog: Catalog,
        policy: Policy,
        paths: Iterable[ImagePath] = (),
        now: datetime | None = None,
    ) -> None:
        self._policy, self._own_case = policy, own_case(paths)
        self._revocations = Revocations(catalog, policy)
        self._uses = Uses(policy, now)
        soaks = soaking(catalog, policy, now)
        self._soaking = [(image, soaks[image.vhd_name]) for image in catalog.images if image.vhd_name in soaks]
        self._saved_at: Mapping[str, datetime] = {
            key: image.saved_at for image in catalog.images for key in (image.vhd_name, fold(image.name))
        }

    def retained(self, plan: LabPlan, held: Iterable[HeldImage], threatened: Collection[str]) -> tuple[Retained, ...]:
        """Return the images of one lab that are kept although they are not in its plan, by name.

        Considers only the images of `held` that are in the state, because the engine deletes no other. `threatened` are
        the ids of images whose factory image may exist but cannot be read.
        """
        planned = {image.image_id.lower() for image in plan.images}
        leaving = [
            one
            for one in held
            if one.owned and one.lab is plan.lab and one.wanted and one.image.id.lower() not in planned
        ]
        reasons = ((one, self._reason(plan, one.image, threatened)) for one in leaving)
        found = (Retained(one.name, self._image_path(one), reason) for one, reason in reasons if reason)
        return tuple(sorted(found, key=lambda one: (one.name.lower(), one.name)))

    def _image_path(self, one: HeldImage) -> str:
        """Return its image path in the letter case of the golden image, else as its tag has it."""
        own = self._own_case.get(one.path) if one.path else None
        return str(own) if own else one.image.image_path or ""

    def _reason(self, plan: LabPlan, image: StandingImage, threatened: Collection[str]) -> str:
        """Return why the image is kept; empty if it can be deleted."""
        if revoked := self._revocations.of_standing(image):
            return f"{revoked} (setting revokedAction is report)" if self._policy.revoked_action == "report" else ""
        reasons = (self._waits(plan, image, threatened), self._uses.of_image(plan.facts, image))
        return "; ".join(filter(None, reasons))

    def _waits(self, plan: LabPlan, image: StandingImage, threatened: Collection[str]) -> str:
        """Return what must happen before the image can be deleted, but for its use; empty: nothing."""
        if image.id in threatened:
            return "it may be from a VHD whose companion cannot be read"
        if image.usable and (soaks := self._soaks(image)):
            return f"{soaks}, and the lab already has it"
        if image.state != "Succeeded":
            return ""
        path = image.path
        if path is None:
            return "its tag ImagePath is missing or invalid, so its successors are unknown"
        offers = [each for each in plan.offering.offers if each.image.image_path == path]
        for each in offers:
            awaited = plan.offering.awaited.get(each.image.vhd_name)
            if awaited and image.holds(each.image.vhd_name, each.image.name):
                return awaited
        succeeded = [each for each in plan.facts.images if each.state == "Succeeded"]
        ids = {each.id for each in succeeded}
        planned = (*plan.images, *(each.planned for each in plan.unadopted))
        finished = {each.image.vhd_name for each in planned if each.standing and each.image_id in ids}
        names = {each.image.vhd_name: each.name for each in planned}
        ways = {route.image.vhd_name for route in plan.routes if route.as_custom_image or route.by_gallery}
        offered = [each.image for each in offers if not each.reason]
        offered = [each for each in offered if each.vhd_name in ways] or offered
        wanted = [each for each in offered if each.vhd_name in names or each.name_problem is None]
        foreign = [each for each in plan.foreign if each.id in ids]
        finished |= {each.vhd_name for each in wanted if any(one.holds(each.vhd_name, each.name) for one in foreign)}
        finished |= plan.by_gallery
        missing = [names.get(each.vhd_name, each.name) for each in wanted if each.vhd_name not in finished]
        newer = sum(
            each.path == path and self._age(each) > self._age(image) and not self._is_no_successor(each)
            for each in succeeded
        )
        keep = None if path in self._policy.pins else self._policy.keep
        gap = gaps(offers, self._policy).get(path)
        if (wanted and not missing and not gap) or (keep is not None and newer >= keep):
            return ""
        if missing:
            return f"the lab must first have {', '.join(missing)} in state Succeeded"
        if gap:
            return f"{gap}, which would replace it, is revoked"
        if waits := next((each for each in offers if each.waits), None):
            return f"its successor {waits.image.name} is yet to come: {waits.waits}"
        return "the factory has no image of its path to replace it"

    def _is_no_successor(self, image: StandingImage) -> bool:
        return bool(self._revocations.of_standing(image) or self._soaks(image))

    def _soaks(self, image: StandingImage) -> str:
        """Return why other labs do not get the image yet; empty if they can."""
        return next((why for one, why in self._soaking if image.holds(one.vhd_name, one.name)), "")

    def _age(self, image: StandingImage) -> tuple[datetime, str]:
        """Return when its VHD was saved, from the factory, else from its tag; without tag, or if the tag is more than
        `AHEAD` after the creation of the image, when Azure created the image."""
        key = fold(image.name) if image.source_vhd is None else image.source_vhd
        tagged = image.saved_at
        if tagged and image.created and tagged - image.created > AHEAD:
            tagged = None
        return self._saved_at.get(key) or tagged or image.created or _UNDATED, fold(image.name)


def revoked_images(plan: LabPlan, held: Iterable[HeldImage], revocations: Revocations) -> tuple[Retained, ...]:
    """Return the revoked images of the state that leave one lab, by name. `plan` has its retained images."""
    stay = {fold(one.name) for one in plan.retained}
    found = (
        Retained(one.name, one.image.image_path or "", reason)
        for one in held
        if one.owned and one.lab is plan.lab and fold(one.name) not in stay
        if (reason := revocations.of_standing(one.image))
    )
    return tuple(sorted(found, key=lambda one: (one.name.lower(), one.name)))
