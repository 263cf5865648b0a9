"""Which way each factory image goes to a lab: as a custom image, by the Compute Gallery of the stack, or both.

Applies the settings `delivery` and `generation2`. Does not decide which images a lab gets: `plan` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagefactory.configuration.labs_file import Delivery, TargetLab
from imagefactory.configuration.stack_settings import Policy
from imagefactory.diagnostics import Diagnostic, error, warning
from imagefactory.images.companions import FactoryImage


@dataclass(frozen=True)
class Route:
    """The ways of one image to one lab, and why; it gets none of them if both are false."""

    image: FactoryImage
    as_custom_image: bool
    by_gallery: bool
    reason: str


def delivery_of(lab: TargetLab, policy: Policy) -> Delivery:
    """Return how a lab gets images."""
    return lab.delivery or policy.delivery


def uses_gallery(lab: TargetLab, policy: Policy) -> bool:
    """Return whether a lab gets images by the gallery of the stack, if it has one."""
    return policy.gallery is not None and delivery_of(lab, policy) != "customImage"


def routes(lab: TargetLab, images: Iterable[FactoryImage], policy: Policy) -> list[Route]:
    """Return the ways of each image to a lab."""
    delivery = delivery_of(lab, policy)
    why = f"Delivery of the lab is {delivery}" if lab.delivery else f"setting delivery is {delivery}"
    by_gallery = uses_gallery(lab, policy)
    found = []
    for image in images:
        fits = fits_custom_image(image, policy)
        custom = delivery != "gallery" and fits
        reason = why
        if delivery != "gallery" and not fits:
            uncounted = "" if by_gallery else " and does not count for keep"
            reason = f"{why}, but {image.os_type} {_UNFIT}{uncounted} (setting generation2)"
        elif delivery != "customImage" and not by_gallery:
            reason = f"{why}, and the stack has no setting gallery"
        found.append(Route(image, custom, by_gallery, reason))
    return found


_UNFIT = "on a generation 2 disk is not delivered as a custom image"


def fits_custom_image(image: FactoryImage, policy: Policy) -> bool:
    """Return whether labs get the image as a custom image, which has no generation.

    Generation 2 Windows has no boot loader for BIOS, so it never starts from one; many Linux disks have both
    (learn.microsoft.com, "Support for generation 2 VMs").
    """
    return (
        image.generation != "V2"
        or policy.generation2 == "all"
        or (policy.generation2 == "linux" and image.os_type == "Linux")
    )


def uses_custom_images_only(lab: TargetLab, policy: Policy) -> bool:
    """Return whether a lab can get custom images only: also with delivery `both`, if the stack has no gallery."""
    return delivery_of(lab, policy) != "gallery" and not uses_gallery(lab, policy)


def unfit(images: Iterable[FactoryImage], policy: Policy) -> frozenset[str]:
    """Return the file names of the VHDs that no lab gets as a custom image."""
    return frozenset(image.vhd_name for image in images if not fits_custom_image(image, policy))


def without_gallery(labs: Iterable[TargetLab], policy: Policy) -> Diagnostic | None:
    """Return the failure about labs that are to get images by a gallery, of a stack without one."""
    named = [lab for lab in labs if policy.gallery is None and delivery_of(lab, policy) != "customImage"]
    if not named:
        return None
    others = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return error(
        f"lab {named[0].label}{others}",
        "gets images by a Compute Gallery, but the stack has no gallery",
        "nothing is delivered that way, and custom images stay",
        "Set imagefactory:gallery, or change imagefactory:delivery or Delivery in labs.json to customImage",
        named[0].location,
    )


def reservations(ways: Iterable[Route]) -> Iterator[Diagnostic]:
    """Yield warnings about what custom images lose: their API supports no generations and data disks."""
    created: dict[str, FactoryImage] = {}
    left_out: dict[str, FactoryImage] = {}
    single: dict[str, FactoryImage] = {}
    for route in ways:
        image = route.image
        if route.as_custom_image:
            created[image.vhd_name] = image
            if not route.by_gallery:
                single[image.vhd_name] = image
        elif not route.by_gallery and image.generation == "V2":
            left_out[image.vhd_name] = image
    for name in sorted(created.keys() | left_out.keys()):
        image = created.get(name) or left_out[name]
        subject = f"factory image {image.name}"
        if image.generation == "V2":
            table = f" and has a partition table of type {image.partition_table}" if image.partition_table else ""
            fact = f"its disk is Hyper-V generation 2{table}, which DevTest Labs cannot set for a VHD"
            remedy = "Set imagefactory:delivery to gallery, or build the golden image on a generation 1 base image"
            consequence = "its image is created as generation 1, and its VMs may not start"
            if name in left_out:
                consequence = f"{image.os_type} does not start from such an image, so labs do not get it"
            yield warning(subject, fact, consequence, remedy)
        if name in single and image.data_disks:
            fact = f"was saved with {len(image.data_disks)} data disks, but DevTest Labs creates images from one VHD"
            remedy = "Set imagefactory:delivery to gallery, or put what VMs need on the OS disk"
            yield warning(subject, fact, "labs get only its OS disk", remedy)
