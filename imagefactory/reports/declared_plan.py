"""What can be said of a plan from labs.json, the golden images and the settings alone.

Which lab gets which image paths, which way, and how many images of each. Pure.
"""

from __future__ import annotations

from imagefactory.configuration.labs_file import Delivery, TargetLab
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.planning.delivery import delivery_of, without_gallery
from imagefactory.reports.plan_reasons import why_listed
from imagefactory.reports.plan_report import Change, LabReport, PlanReport, in_order

_WAYS: dict[Delivery, str] = {
    "customImage": "as custom images",
    "gallery": "by the gallery",
    "both": "as custom images and by the gallery",
}


def declared_plan(configuration: Configuration, settings: Settings, stack: str) -> PlanReport:
    """Return the report of a stack (`project/stack`) without what Azure and the state have."""
    lacking = without_gallery(configuration.labs, settings)
    labs = sorted(configuration.labs, key=lambda lab: lab.label)
    return PlanReport(
        stack,
        tuple(_lab(lab, configuration, settings) for lab in labs),
        warnings=configuration.warnings,
        failures=(lacking,) if lacking else (),
    )


def _lab(lab: TargetLab, configuration: Configuration, settings: Settings) -> LabReport:
    way = _WAYS[delivery_of(lab, settings)]
    rows = [
        Change(
            "custom image",
            "listed",
            "",
            str(path),
            f"{why_listed(lab, path, settings)}, {way}",
            wanted=True,
        )
        for path in configuration.image_paths
        if lab.takes(path)
    ]
    return LabReport(lab.label, lab.location, in_order(rows))
