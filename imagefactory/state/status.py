"""What the labs of stacks hold, beside what their plans give them: reads labs, factory and gallery, and compares.

Reads the state only on request: without it, an image is the stack's own if its tags say so, as `imagefactory adopt`
would take it over. Writes nothing. `imagefactory.reports.status` compares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timezone

from imagefactory.azure.observe import CloudFacts, gather_facts
from imagefactory.configuration.loading import Configuration, load_of_stack
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.planning.labs.by_gallery import NO_GALLERY
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.stacks.adoption import candidates
from imagefactory.planning.stacks.adoption_rules import AdoptionRules
from imagefactory.planning.stacks.gallery_adoption import gallery_candidates
from imagefactory.reports.catalog_report import CatalogReport, report_catalog
from imagefactory.reports.status import StackStatus, status
from imagefactory.state.current_plan import current_plan
from imagefactory.state.edits import StackName
from imagefactory.state.pulumi_command import read_state
from imagefactory.state.stack_state import StackState


@dataclass(frozen=True)
class Reading:
    """The status of one stack and the catalog of its factory, as of one time."""

    status: StackStatus
    catalog: CatalogReport | None
    """None: the factory could not be read."""


async def read(project: str, stacks: Mapping[str, Settings], *, with_state: bool) -> list[Reading]:
    """Return the status of each stack; what cannot be read is among its failures. Raises `ConfigurationError`."""
    known = [(StackName(project, name), settings, load_of_stack(settings, name)) for name, settings in stacks.items()]
    return list(await asyncio.gather(*(_read(*each, with_state=with_state) for each in known)))


async def _read(stack: StackName, settings: Settings, configuration: Configuration, *, with_state: bool) -> Reading:
    try:
        facts, state = await asyncio.gather(
            gather_facts(settings, configuration), read_state(stack.name) if with_state else _no_state()
        )
    except ImageFactoryError as problem:
        failure = error(f"stack {stack.name}", str(problem).rstrip("."), "its labs are not shown", "Fix that")
        unknown = StackStatus(
            stack.name, settings.factory.lab_name, datetime.now(timezone.utc), (), failures=(failure,)
        )
        return Reading(unknown, None)
    plan, owned = planned(configuration, facts, settings, str(stack), state)
    paths = configuration.image_paths
    factory, labs = facts.factory.name, configuration.labs
    return Reading(
        status(plan, facts.catalog, settings, paths, owned, facts.now, stack.name, factory),
        report_catalog(facts.catalog, factory, facts.now, labs, facts.labs, facts.gallery),
    )


def planned(
    configuration: Configuration, facts: CloudFacts, settings: Settings, stack: str, state: StackState | None
) -> tuple[Plan, Set[str]]:
    """Return the plan of a stack (`project/stack`), and what it has (`<label>/<image>`): by the state, or, if that is
    None, by the tags of what exists."""
    if state is not None:
        return current_plan(configuration, facts, settings, state, stack), state.images
    rules, gallery = AdoptionRules(stack), facts.gallery
    in_gallery = gallery_candidates(gallery, NO_GALLERY, rules) if isinstance(gallery, GalleryFacts) else None
    owned = candidates(current_plan(configuration, facts, settings, StackState(), stack).labs, rules)
    return current_plan(configuration, facts, settings, StackState(), stack, owned, in_gallery), owned


async def _no_state() -> None:
    return None
