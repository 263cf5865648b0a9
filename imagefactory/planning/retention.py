"""Which images of the factory the policies of its stacks want.

Defines one ranking for two readers: the plan offers labs what the policy of their stack wants, and `prune` keeps what
the policy of any stack wants. So `prune` deletes nothing that a plan has just offered. Does not look at labs: which
image stays in a lab for now is `imagefactory.planning.retirement`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.images.companions import FactoryImage


@dataclass(frozen=True)
class Offer:
    """An image of the factory under the policy of one stack."""

    image: FactoryImage
    reason: str = ""
    """Why labs do not get it; empty: they do."""
    twin: FactoryImage | None = None
    """The newer image that has its name: labs get that one."""


@dataclass(frozen=True)
class Claim:
    """An image of the factory under the policies of all stacks."""

    image: FactoryImage
    reason: str = ""
    """Why a stack wants it; empty: none does."""
    is_newest: bool = False
    """Whether that is because it is among the newest of its image path."""


def retained(catalog: Catalog, policy: Policy) -> list[Offer]:
    """The newest of each name, and of those the pinned one, or the newest `keep`, of each image path. Newest first."""
    found = []
    for image, rank, twin in _ranked(catalog, is_undated_counted=True):
        pinned, reason = policy.pins.get(image.image_path), ""
        if twin:
            reason = f"the newer VHD {twin.vhd_name} has the same image name"
        elif pinned is None and not _is_newest(rank, policy):
            reason = f"older than the newest {policy.keep} of its image path (setting keep)"
        elif pinned is not None and fold(pinned) != fold(image.name):
            reason = f"its image path is pinned to {pinned} (setting pins)"
        found.append(Offer(image, reason, twin))
    return found


def claims(catalog: Catalog, policies: Mapping[str, Policy]) -> list[Claim]:
    """What the policies of stacks (by name) want together, newest first: all that `retained` gives any of them.

    When in doubt an image is claimed: a pin holds its name on every image path, the newest images stay beside a pin
    (someone will remove it), an older image of a taken name stays if its rank is high enough, and images without a
    usable date do not count.
    """
    pins = {stack: {fold(name) for name in policy.pins.values()} for stack, policy in policies.items()}
    found = []
    for image, rank, _ in _ranked(catalog, is_undated_counted=False):
        pinned_by = [f"stack '{stack}'" for stack, names in sorted(pins.items()) if fold(image.name) in names]
        reason = f"pinned by {', '.join(pinned_by)}" if pinned_by else ""
        is_newest = any(_is_newest(rank, policy) for policy in policies.values())
        if is_newest:
            reason = f"among the newest {largest_keep(policies)} of its image path"
        found.append(Claim(image, reason, is_newest))
    return found


def largest_keep(policies: Mapping[str, Policy]) -> int | None:
    """How many images of each image path the policies want together; None: all."""
    told = [policy.keep for policy in policies.values() if policy.keep is not None]
    return max(told) if told and len(told) == len(policies) else None


def with_keep(policies: Mapping[str, Policy], keep: int | None) -> dict[str, Policy]:
    """The policies with another `keep`; None: as they are."""
    return {
        name: policy if keep is None else policy.model_copy(update={"keep": keep}) for name, policy in policies.items()
    }


def _is_newest(rank: int, policy: Policy) -> bool:
    return policy.keep is None or rank < policy.keep


def _ranked(catalog: Catalog, *, is_undated_counted: bool) -> Iterator[tuple[FactoryImage, int, FactoryImage | None]]:
    """Each image with the number of newer names of its image path, and the newest other image of its own name.

    Names compare as Azure compares them, and count once.
    """
    names: dict[str, FactoryImage] = {}
    ranks: Counter[ImagePath] = Counter()
    for image in newest_first(catalog.images):
        newest = names.setdefault(fold(image.name), image)
        yield image, ranks[image.image_path], None if newest is image else newest
        if newest is image and (is_undated_counted or image.saved_at_source == "companion"):
            ranks[image.image_path] += 1
