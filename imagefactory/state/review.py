"""What the next run of a stack would do: reads labs, factory, gallery and state, decides, and compares.

Writes nothing, to Azure or to the state. `imagefactory.reports.plan_comparison` compares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from imagefactory.azure.observe import CloudFacts, gather_facts
from imagefactory.configuration.image_paths import fold
from imagefactory.configuration.loading import load_of_stack
from imagefactory.configuration.stack_settings import Settings
from imagefactory.observed.standing_gallery import region_key
from imagefactory.planning.galleries.inputs import GalleryInputs
from imagefactory.planning.labs.plan import Plan
from imagefactory.reports.declared_plan import declared_plan
from imagefactory.reports.plan_comparison import InState, compare
from imagefactory.reports.plan_report import PlanReport
from imagefactory.state.adopt import gallery_inputs
from imagefactory.state.current_plan import current_plan
from imagefactory.state.edits import StackName, unfinished_images
from imagefactory.state.gallery_edits import unfinished_parts
from imagefactory.state.pulumi_command import export
from imagefactory.state.stack_state import VERSION, StackState, parsed, resources_of


async def review(stack: StackName, settings: Settings) -> PlanReport:
    """Return what the next run would do. Raises `ImageFactoryError`."""
    configuration = load_of_stack(settings)
    facts, exported = await asyncio.gather(gather_facts(settings, configuration), export(stack.name))
    document = parsed(exported)
    state = StackState.of(resources_of(document))
    plan = current_plan(configuration, facts, settings, state, str(stack))
    return compare(plan, _in_state(plan, facts, settings, state, document), facts.catalog, settings, str(stack))


def declared(stack: StackName, settings: Settings) -> PlanReport:
    """Return what the files say, without network access. Raises `ConfigurationError`."""
    return declared_plan(load_of_stack(settings), settings, str(stack))


def _in_state(
    plan: Plan, facts: CloudFacts, settings: Settings, state: StackState, document: Mapping[str, Any]
) -> InState:
    parts = {name for (kind, _), name in unfinished_parts(document).items() if kind != "gallery"}
    inputs = gallery_inputs(settings, facts, document)
    changed = frozenset(_changed(plan, inputs, state)) if inputs else frozenset()
    return InState(state.recorded, state.recorded_gallery, unfinished_images(document) | parts, changed)


def _changed(plan: Plan, inputs: GalleryInputs, state: StackState) -> Iterator[str]:
    """Yield the versions whose inputs differ, as far as the program compares those of an existing version, and kept
    ones that are reduced to some of their regions."""
    before = {fold(name): each for name, each in state.gallery.get(VERSION, {}).items()}
    for version in plan.gallery.versions if plan.gallery else ():
        known = before.get(fold(version.key))
        if known is not None and known.get("publishingProfile") != inputs.version(version)["publishingProfile"]:
            yield version.key
    for kept in plan.gallery.retained if plan.gallery else ():
        has = (before[fold(kept.key)].get("publishingProfile") or {}).get("targetRegions") or ()
        if kept.regions is not None and {region_key(each["name"]) for each in has} - kept.regions:
            yield kept.key
