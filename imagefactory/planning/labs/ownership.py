"""Whose the existing images are: of this stack, of another stack, or of none.

The state decides, and the tag Stack of images that it does not contain. Does not decide what follows: `places` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.labs_file import TargetLab
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.catalog import Catalog
from imagefactory.observed.standing_gallery import StandingDefinition, StandingVersion
from imagefactory.observed.standing_labs import LabFacts, StandingImage
from imagefactory.planning.labs.planned_images import LabPlan, Recorded, Unadopted

Tagged = StandingImage | StandingDefinition | StandingVersion
"""What has the factory's tags."""


@dataclass(frozen=True)
class Ownership:
    """A stack and its state. Names are compared case-insensitively: Azure and the state may have different cases."""

    stack: str = ""
    """`project/stack`; empty: unknown, and no image counts as another stack's."""
    names: Mapping[str, str] = field(default_factory=dict)
    """`<label>/<image>` in lower case -> name of the image in the state."""
    recorded: Mapping[str, Recorded] = field(default_factory=dict)
    """What the state tells of each of them, by the same keys."""

    @staticmethod
    def of(owned: Set[str], recorded: Mapping[str, Recorded] | None = None, stack: str = "") -> Ownership:
        """Return the ownership from the names (`<label>/<image>`) of the images in the state."""
        return Ownership(
            stack,
            {name.lower(): name.rpartition("/")[2] for name in owned},
            {name.lower(): each for name, each in (recorded or {}).items()},
        )

    @property
    def name(self) -> str:
        """The name of the stack, without its project."""
        return self.stack.rpartition("/")[2]

    def name_of(self, lab: TargetLab, image: str) -> str | None:
        """Return the name that the state has for an image of a lab; None: the state does not contain it."""
        return self.names.get(f"{lab.label}/{image}".lower())

    def record_of(self, lab: TargetLab, image: str) -> Recorded:
        """Return what the state tells of an image of a lab; that of a first attempt if it does not contain it."""
        return self.recorded.get(f"{lab.label}/{image}".lower(), Recorded(attempt=1))

    def is_foreign(self, lab: TargetLab, image: StandingImage) -> bool:
        """Return whether an existing image is another stack's: what the state contains is own, whatever its tag."""
        named = bool(self.stack) and image.stack not in {None, self.stack}
        return named and self.name_of(lab, image.name) is None


def as_recorded(
    lab: TargetLab, facts: LabFacts | Diagnostic, ownership: Ownership, catalog: Catalog
) -> LabFacts | Diagnostic:
    """Return the lab with the tags ImagePath and SourceVhd of images in the state as they were before somebody changed
    them: the state knows from which VHD it made an image, and Azure (properties.vhd) that it is still that image."""
    if isinstance(facts, Diagnostic):
        return facts
    sources = {image.vhd_name: image for image in catalog.images}

    def corrected(image: StandingImage) -> StandingImage:
        before = ownership.record_of(lab, image.name)
        vhd = before.vhd_name
        if vhd is None or fold(image.staged_name) != fold(vhd):
            return image
        path = sources[vhd].image_path if vhd in sources else image.path or before.image_path
        # Images of the older scripts have neither SourceVhd nor SavedAt.
        is_same = image.source_vhd == vhd or (image.source_vhd is None and image.saved_at is None)
        if path is None or (is_same and image.path == path):
            return image
        return replace(image, image_path=str(path), source_vhd=vhd, retagged=True)

    return replace(facts, images=tuple(map(corrected, facts.images)))


def as_created(facts: LabFacts | Diagnostic, catalog: Catalog) -> LabFacts | Diagnostic:
    """Return the lab with the tags ImagePath and SourceVhd that images without ImagePath must have had if a factory
    created them: those with the name of a factory image, and from its VHD (Azure: properties.vhd)."""
    if isinstance(facts, Diagnostic):
        return facts
    sources = {(fold(image.vhd_name), fold(image.name)): image for image in catalog.images}

    def tagged(image: StandingImage) -> StandingImage:
        source = sources.get((fold(image.staged_name), fold(image.name))) if image.image_path is None else None
        return replace(image, image_path=str(source.image_path), source_vhd=source.vhd_name) if source else image

    return replace(facts, images=tuple(map(tagged, facts.images)))


def tags_changed(plans: Iterable[LabPlan]) -> Iterator[Diagnostic]:
    """Yield a warning about each image whose tags somebody changed."""
    for plan in plans:
        for image in plan.facts.images:
            if image.retagged:
                fact = "its tag ImagePath or SourceVhd was changed or removed"
                consequence = (
                    f"it still counts as the image of {image.image_path} that was created from {image.source_vhd}"
                )
                consequence += ", and pulumi up writes its tags again"
                remedy = "No action needed if nobody changes them again"
                yield warning(f"custom image {image.name} of lab {plan.label}", fact, consequence, remedy)


def named(part: Tagged, stack: str) -> str:
    """Return the name of the stack of an image or part of a gallery as `--from` takes it in the project of `stack`."""
    project, _, name = (part.stack or "").rpartition("/")
    return name if project == stack.rpartition("/")[0] else f"organization/{part.stack}"


def belongs_to_another(lab: TargetLab, image: StandingImage, ownership: Ownership) -> Diagnostic:
    """Return the warning about an image of another stack that is in the place of one that this stack wants."""
    command = f"imagefactory adopt --stack {ownership.name} --from {named(image, ownership.stack)}"
    return warning(
        f"custom image {image.name} of lab {lab.label}",
        f"belongs to stack {image.stack} (its tag Stack), and the state of stack {ownership.name} does not contain it",
        "it is neither changed nor deleted by this stack, which creates none in its place",
        f"Run {command} if this stack is to manage it",
    )


def not_in_the_state(plans: Iterable[LabPlan], ownership: Ownership) -> Diagnostic | None:
    """Return the one failure about all images of all labs that exist and that the state does not contain, if any."""
    found = [(plan.label, one) for plan in plans for one in plan.unadopted]
    if not found:
        return None
    labs = len({label for label, _ in found})
    return error(
        f"state of stack {ownership.name}",
        f"does not contain {_count(len(found), 'existing image')} in {_count(labs, 'lab')} ({_some(found)})",
        "what the state does not contain is neither changed nor managed, and everything else is updated",
        f"Run imagefactory adopt --stack {ownership.name}, then pulumi up again",
    )


def _some(found: Sequence[tuple[str, Unadopted]]) -> str:
    named = [f"{one.image.name} of lab {label}" for label, one in found[:2]]
    return " and ".join(named) if len(found) < 3 else f"such as {named[0]} and {named[1]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
