"""Which factory images the policies of the stacks require.

Defines one ranking for two users: the plan offers labs what the policy of their stack requires, and `prune` keeps what
the policy of any stack requires. So `prune` never deletes an image that a plan offers. Does not consider labs: which
images are kept in a lab for now is decided by `imagefactory.planning.labs.retirement`.
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
    """A factory image under the policy of one stack."""

    image: FactoryImage
    reason: str = ""
    """Why labs do not get it; empty if they do."""
    duplicate: FactoryImage | None = None
    """The newer image of the same name, which labs get instead."""


@dataclass(frozen=True)
class Claim:
    """A factory image under the policies of all stacks."""

    image: FactoryImage
    reason: str = ""
    """Why a stack requires it; empty if none does."""
    is_newest: bool = False
    """Whether the reason is that it is among the newest of its image path."""


def retained(catalog: Catalog, policy: Policy) -> list[Offer]:
    """Return all images, newest first, each with the reason if labs do not get it.

    Labs get the newest image of each name, and of these the pinned one or the newest `keep` of each image path.
    """
    found = []
    for image, rank, duplicate in _ranked(catalog, is_undated_counted=True):
        pinned, reason = policy.pins.get(image.image_path), ""
        if duplicate:
            reason = f"the newer VHD {duplicate.vhd_name} has the same image name"
        elif pinned is None and not _is_newest(rank, policy):
            reason = f"older than the newest {policy.keep} of its image path (setting keep)"
        elif pinned is not None and fold(pinned) != fold(image.name):
            reason = f"its image path is pinned to {pinned} (setting pins)"
        found.append(Offer(image, reason, duplicate))
    return found


def claims(catalog: Catalog, policies: Mapping[str, Policy]) -> list[Claim]:
    """Return all images, newest first, each with the reason if a policy (by stack) requires it.

    All that `retained` offers under any policy is claimed, and more if in doubt: a pin applies to its name on every
    image path, the newest images are claimed in addition to a pin (which may be removed), an older image of the same
    name is claimed if its rank is high enough, and images without a usable date do not count.
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
    """Return the largest `keep` of the policies; None: one of them keeps all images."""
    limits = [policy.keep for policy in policies.values() if policy.keep is not None]
    return max(limits) if limits and len(limits) == len(policies) else None


def with_keep(policies: Mapping[str, Policy], keep: int | None) -> dict[str, Policy]:
    """Return the policies with another `keep`; None: unchanged."""
    return {
        name: policy if keep is None else policy.model_copy(update={"keep": keep}) for name, policy in policies.items()
    }


def _is_newest(rank: int, policy: Policy) -> bool:
    return policy.keep is None or rank < policy.keep


def _ranked(catalog: Catalog, *, is_undated_counted: bool) -> Iterator[tuple[FactoryImage, int, FactoryImage | None]]:
    """Yield each image with the number of newer names of its image path, and a newer image of the same name, if any.

    Names are compared as Azure compares them, and count once. A name that Azure would reject does not count, because
    only labs that already have its image can keep it.
    """
    names: dict[str, FactoryImage] = {}
    ranks: Counter[ImagePath] = Counter()
    for image in newest_first(catalog.images):
        newest = names.setdefault(fold(image.name), image)
        yield image, ranks[image.image_path], None if newest is image else newest
        is_counted = image.name_problem is None and (is_undated_counted or image.saved_at_source == "companion")
        if newest is image and is_counted:
            ranks[image.image_path] += 1
