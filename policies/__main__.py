"""The policy pack of the image factory: `pulumi preview --policy-pack policies --policy-pack-config FILE`.

Each policy applies if its configuration is there. A violation stops the run; with `enforcementLevel: advisory` it is a
warning.
"""

from __future__ import annotations

from datetime import datetime, timezone

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from rules import IMAGES, LAB_GALLERY, missing_tags, subscription_of, too_old, wrong_subscription

TEXTS = {"type": "array", "items": {"type": "string"}}


def allowed_subscriptions(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Labs, and the versions of galleries, are in listed subscriptions only."""
    allowed = args.get_config().get("subscriptions")
    if not allowed or args.resource_type not in IMAGES | {LAB_GALLERY}:
        return
    found = subscription_of(args.props, args.provider.props if args.provider else {})
    if wrong := wrong_subscription(found, allowed):
        report(f"{args.name}: {wrong}. Remove the lab from labs.json or the gallery from the settings")


def image_age(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """No image is older than a number of days."""
    days = args.get_config().get("days")
    if not days or args.resource_type not in IMAGES:
        return
    if wrong := too_old((args.props.get("tags") or {}).get("SavedAt"), int(days), datetime.now(timezone.utc)):
        report(f"{args.name}: {wrong}. Save a newer one, and lower the setting keep")


def mandatory_tags(args: ResourceValidationArgs, report: ReportViolation) -> None:
    """Each image has the listed tags."""
    names = args.get_config().get("names")
    if not names or args.resource_type not in IMAGES:
        return
    if wrong := missing_tags(args.props.get("tags") or {}, names):
        report(f"{args.name}: {wrong}. Save the image again in a pipeline, which records them")


PolicyPack(
    name="imagefactory",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        ResourceValidationPolicy(
            name="allowed-subscriptions",
            description="Labs and galleries are in listed subscriptions only",
            config_schema=PolicyConfigSchema(properties={"subscriptions": {**TEXTS, "default": []}}),
            validate=allowed_subscriptions,
        ),
        ResourceValidationPolicy(
            name="image-age",
            description="No image is older than a number of days",
            config_schema=PolicyConfigSchema(properties={"days": {"type": "integer", "minimum": 0, "default": 0}}),
            validate=image_age,
        ),
        ResourceValidationPolicy(
            name="mandatory-tags",
            description="Each image has the listed tags",
            config_schema=PolicyConfigSchema(properties={"names": {**TEXTS, "default": []}}),
            validate=mandatory_tags,
        ),
    ],
)
