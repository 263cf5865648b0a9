"""The plan of a stack from what exists in Azure and what its state has. Pure."""

from __future__ import annotations

from collections.abc import Set

from imagefactory.azure.observe import CloudFacts
from imagefactory.configuration.loading import Configuration
from imagefactory.configuration.stack_settings import Settings
from imagefactory.planning.galleries.planned import RecordedGallery
from imagefactory.planning.labs.plan import Plan, build_plan
from imagefactory.state.stack_state import StackState
from imagefactory.telemetry.phases import phase


@phase("plan")
def current_plan(
    configuration: Configuration,
    facts: CloudFacts,
    settings: Settings,
    state: StackState,
    stack: str,
    more: Set[str] = frozenset(),
    in_gallery: RecordedGallery | None = None,
) -> Plan:
    """Return the plan of a stack (`project/stack`), as if its state also had the images `more` (`<label>/<image>`), and
    had `in_gallery` of the gallery."""
    return build_plan(
        configuration,
        facts.catalog,
        facts.factory,
        facts.labs,
        settings,
        state.images | more,
        state.recorded,
        stack,
        facts.gallery,
        in_gallery or state.recorded_gallery,
        facts.now,
    )
