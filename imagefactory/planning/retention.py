"""Which factory images the policies of the stacks require.

Defines one ranking for two users: the plan offers labs what the policy of their stack requires, and `prune` keeps what
the policy of any stack requires. So `prune` never deletes an image that a plan offers. Does not consider labs: which
images are kept in a lab for now is decided by `imagefactory.planning.labs.retirement`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType

from imagefactory.configuration.image_paths import ImagePath, fold
from imagefactory.configuration.stack_settings import Policy
from imagefactory.images.catalog import Catalog, newest_first
from imagefactory.images.companions import FactoryImage
from imagefactory.planning.delivery import fits_custom_image
from imagefactory.planning.revocations import Revocations


@dataclass(frozen=True)
class Offer:
    """A factory image under the policy of one stack."""

    image: FactoryImage
    reason: str = ""
    """Why labs do not get it; empty if they do."""
    duplicate: FactoryImage | None = None
    """The newer image of the same name, which labs get instead."""
    revoked_in_place: bool = False
    """Whether labs would get it if it were not revoked, and get no older one in its place."""
    soaks: str = ""
    """Until when labs do not get it although they would otherwise; empty: it does not soak."""
    waits: str = ""
    """Why the ring of a lab does not take it yet although the lab would get it otherwise; empty: the ring does."""
    rule: str = ""
    """Which rule gives it to labs; empty if they do not get it."""


@dataclass(frozen=True)
class Claim:
    """A factory image under the policies of all stacks."""

    image: FactoryImage
    reason: str = ""
    """Why a stack requires it; empty if none does."""
    is_newest: bool = False
    """Whether the reason is that it is among the newest of its image path, or young."""
    revoked_by: str = ""
    """The stacks that do not require it because they revoke it; empty: none does."""


_NONE: Mapping[str, str] = MappingProxyType({})


def retained(
    catalog: Catalog,
    policy: Policy,
    now: datetime | None = None,
    waits: Mapping[str, str] = _NONE,
    unfit: Collection[str] = (),
) -> list[Offer]:
    """Return all images, newest first, each with the reason if labs do not get it.

    Labs get the newest image of each name, and of these the pinned one or the newest `keep` of each image path and
    those that are younger than `keepDays`. A revoked one among them is not replaced by an older one, unless the policy
    says so. What soaks at `now` (None: no image does, and all are young) counts as not there yet; so does what `waits`,
    by the file name of its VHD, for an earlier ring. The VHDs `unfit`, for which a lab has no way, do not count for
    `keep` either; among themselves and those that count, they do.
    """
    revocations, pins = Revocations(catalog, policy), effective_pins(catalog, policy)
    falls_back = policy.revoked_fallback == "previous"
    found = []

    def passed_over(image: FactoryImage) -> bool:
        is_early = image.vhd_name in waits or _soaks(image, policy, now)
        return bool(is_early or (falls_back and revocations.of_image(image)))

    ranked = _ranked(
        catalog,
        is_undated_counted=True,
        is_passed_over=passed_over,
        is_unfit=lambda image: image.vhd_name in unfit,
    )
    for image, rank, duplicate in ranked:
        pinned, reason = pins.get(image.image_path), ""
        rule = _rule(image, rank, policy, now) if pinned is None else "pinned (setting pins)"
        if pinned is not None and pinned != policy.pins[image.image_path]:
            rule = f"in place of {policy.pins[image.image_path]}, which is revoked (setting revokedFallback)"
        if duplicate:
            reason = f"the newer VHD {duplicate.vhd_name} has the same image name"
        elif not rule:
            reason = f"older than the newest {policy.keep} of its image path (setting keep)"
            reason += f" and than {_days(policy)} (setting keepDays)" if policy.keep_days else ""
        elif pinned is not None and fold(pinned) != fold(image.name):
            reason = f"its image path is pinned to {pinned} (setting pins)"
        soaks = "" if reason else _soaks(image, policy, now)
        revoked = revocations.of_image(image)
        waiting = "" if revoked or reason or soaks else waits.get(image.vhd_name, "")
        in_place = bool(revoked) and not (reason or soaks or falls_back)
        told = revoked or reason or soaks or waiting
        soaks = "" if revoked else soaks
        found.append(Offer(image, told, duplicate, in_place, soaks, waiting, "" if told else rule))
    return found


def gaps(offers: Iterable[Offer], policy: Policy) -> dict[ImagePath, str]:
    """Return the image paths with a revoked image that no older one replaces, each with the name of the newest one.

    `offers` are the newest first, as `retained` returns them under the same policy.
    """
    found: dict[ImagePath, str] = {}
    for offer in offers:
        if offer.revoked_in_place and (policy.keep is not None or offer.image.image_path in policy.pins):
            found.setdefault(offer.image.image_path, offer.image.name)
    return found


def soaking(catalog: Catalog, policy: Policy, now: datetime | None) -> dict[str, str]:
    """Return the file names of the VHDs whose images labs get later, each with until when."""
    return {offer.image.vhd_name: offer.soaks for offer in retained(catalog, policy, now) if offer.soaks}


def effective_pins(catalog: Catalog, policy: Policy) -> dict[ImagePath, str]:
    """Return the pins; with the fall-back for revoked images, in place of one the newest older image that is not."""
    pins, revocations = dict(policy.pins), Revocations(catalog, policy)
    if policy.revoked_fallback == "previous":
        for path, name in policy.pins.items():
            of_path = [image for image in newest_first(catalog.images) if image.image_path == path]
            since = next((n for n, image in enumerate(of_path) if fold(image.name) == fold(name)), len(of_path))
            good = (each for each in of_path[since:] if not each.name_problem and not revocations.of_image(each))
            if since < len(of_path) and revocations.of_image(of_path[since]) and (instead := next(good, None)):
                pins[path] = instead.name
    return pins


def claims(catalog: Catalog, policies: Mapping[str, Policy], now: datetime | None = None) -> list[Claim]:
    """Return all images, newest first, each with the reason if a policy (by stack) requires it.

    All that `retained` offers under any policy is claimed, and more if in doubt: a pin applies to its name on every
    image path, the newest images are claimed in addition to a pin (which may be removed), an older image of the same
    name is claimed if its rank is high enough, and images without a usable date do not count. A policy does not claim
    what it revokes, and claims as many others. It claims what soaks at `now`, in addition to those before it, and the
    newest images that labs can get as custom images, in addition to those that labs can get by a gallery only.
    """
    revocations = {stack: Revocations(catalog, policy) for stack, policy in policies.items()}
    ranked = {
        stack: _ranked(
            catalog,
            is_undated_counted=False,
            is_passed_over=partial(_is_unoffered, revocations[stack], policy, now),
            is_unfit=partial(_is_unfit, policy),
        )
        for stack, policy in policies.items()
    }
    pins = {
        stack: {fold(name) for name in (*policy.pins.values(), *effective_pins(catalog, policy).values())}
        for stack, policy in policies.items()
    }
    found = []
    for image in newest_first(catalog.images):
        ranks = {stack: next(each)[1] for stack, each in ranked.items()}
        revoking = {stack for stack in policies if revocations[stack].of_image(image)}
        requiring = policies.keys() - revoking
        pinned_by = _stacks(stack for stack in requiring if fold(image.name) in pins[stack])
        reason = f"pinned by {pinned_by}" if pinned_by else ""
        rules = {_rule(image, ranks[stack], policies[stack], now) for stack in requiring} - {""}
        if rules:
            is_by_age = all("keepDays" in rule for rule in rules)
            reason = min(rules) if is_by_age else f"among the newest {largest_keep(policies)} of its image path"
        found.append(Claim(image, reason, bool(rules), _stacks(revoking)))
    return found


def _stacks(names: Iterable[str]) -> str:
    return ", ".join(f"stack '{name}'" for name in sorted(names))


def largest_keep(policies: Mapping[str, Policy]) -> int | None:
    """Return the largest `keep` of the policies; None: one of them keeps all images."""
    limits = [policy.keep for policy in policies.values() if policy.keep is not None]
    return max(limits) if limits and len(limits) == len(policies) else None


def with_keep(policies: Mapping[str, Policy], keep: int | None) -> dict[str, Policy]:
    """Return the policies with another `keep`; None: unchanged."""
    return {
        name: policy if keep is None else policy.model_copy(update={"keep": keep}) for name, policy in policies.items()
    }


def _is_unoffered(revocations: Revocations, policy: Policy, now: datetime | None, image: FactoryImage) -> bool:
    return bool(revocations.of_image(image) or _soaks(image, policy, now))


def _is_unfit(policy: Policy, image: FactoryImage) -> bool:
    return not fits_custom_image(image, policy)


def _soaks(image: FactoryImage, policy: Policy, now: datetime | None) -> str:
    """Return until when an image soaks; empty if it does not. One without a usable date is never old enough."""
    if policy.soak_days is None or now is None:
        return ""
    if image.saved_at_source != "companion":
        return "has no usable date, so it never soaks (setting soakDays)"
    try:
        end = image.saved_at + timedelta(days=policy.soak_days)
    except OverflowError:  # a date at the end of the calendar
        return "never soaks, because its date is too late (setting soakDays)"
    return f"soaks until {end:%Y-%m-%d %H:%M} UTC (setting soakDays)" if end > now else ""


def _rule(image: FactoryImage, rank: int, policy: Policy, now: datetime | None) -> str:
    """Return which rule keeps an image with so many newer ones, as a phrase; empty if none does."""
    if policy.keep is None:
        return "an image of the factory (without setting keep)"
    if rank < policy.keep:
        return f"among the newest {policy.keep} of its image path (setting keep)"
    if policy.keep_days is None or (now and now - image.saved_at >= timedelta(days=policy.keep_days)):
        return ""
    return f"younger than {_days(policy)} (setting keepDays)"


def _days(policy: Policy) -> str:
    return f"{policy.keep_days} day{'' if policy.keep_days == 1 else 's'}"


def _ranked(
    catalog: Catalog,
    *,
    is_undated_counted: bool,
    is_passed_over: Callable[[FactoryImage], bool],
    is_unfit: Callable[[FactoryImage], bool],
) -> Iterator[tuple[FactoryImage, int, FactoryImage | None]]:
    """Yield each image with the number of newer names of its image path, and a newer image of the same name, if any.

    Names are compared as Azure compares them, and count once. A name that Azure would reject does not count, because
    only labs that already have its image can keep it. What is passed over does not count, as if it did not exist. What
    is unfit counts for other unfit images only; all others count for all.
    """
    # By whether they count for images that are unfit, or for the others.
    names: dict[bool, dict[str, FactoryImage]] = {False: {}, True: {}}
    ranks: dict[bool, Counter[ImagePath]] = {False: Counter(), True: Counter()}
    for image in newest_first(catalog.images):
        unfit, path, name = is_unfit(image), image.image_path, fold(image.name)
        if is_passed_over(image):
            yield image, ranks[unfit][path], None
            continue
        newest = names[unfit].get(name)
        yield image, ranks[unfit][path], newest
        is_counted = image.name_problem is None and (is_undated_counted or image.saved_at_source == "companion")
        for each in {True, unfit}:
            if names[each].setdefault(name, image) is image and is_counted:
                ranks[each][path] += 1
