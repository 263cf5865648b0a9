"""The rules of the policy pack: each returns what is wrong with an image, or None. Pure, and free of Pulumi."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta, timezone

CUSTOM_IMAGE = "azure-native:devtestlab:CustomImage"
GALLERY_VERSION = "azure-native:compute:GalleryImageVersion"
LAB_GALLERY = "vhdcopy:index:LabGallery"
IMAGES = frozenset({CUSTOM_IMAGE, GALLERY_VERSION})
"""Types of resources that users of a lab create VMs from."""

_ARM_ID = re.compile(r"/subscriptions/([^/]+)/", re.IGNORECASE)


def subscription_of(props: Mapping[str, object], provider: Mapping[str, object]) -> str | None:
    """Return the subscription of a resource: that of its lab, else that of its provider; None if neither names one."""
    lab = _ARM_ID.match(str(props.get("labId") or ""))
    return lab[1] if lab else str(provider.get("subscriptionId") or "") or None


def wrong_subscription(subscription: str | None, allowed: Iterable[str]) -> str | None:
    """Say that a subscription is not one of `allowed` (GUIDs, in any case), or not known."""
    if subscription is None:
        return "its subscription is unknown"
    if subscription.lower() in {each.lower() for each in allowed}:
        return None
    return f"subscription {subscription} is not allowed"


def too_old(saved_at: str | None, days: int, now: datetime) -> str | None:
    """Say that an image was saved more than `days` days before `now`, or that its tag SavedAt does not tell when.

    `saved_at` is ISO 8601 with a time zone, as the image factory writes it.
    """
    if not saved_at:
        return "has no tag SavedAt, so its age is unknown"
    try:
        saved = datetime.fromisoformat(re.sub(r"Z$", "+00:00", saved_at))
    except ValueError:
        saved = None
    if saved is None or saved.tzinfo is None:
        return f"has the tag SavedAt {saved_at!r}, which is not a time in ISO 8601 with a time zone"
    if now - saved <= timedelta(days=days):
        return None
    return f"was saved on {saved.astimezone(timezone.utc):%Y-%m-%d}, more than {days} days ago"


def missing_tags(tags: Container[str], mandatory: Iterable[str]) -> str | None:
    """Say which of the mandatory tags an image lacks."""
    missing = [name for name in mandatory if name not in tags]
    return f"lacks the tags {', '.join(missing)}" if missing else None
