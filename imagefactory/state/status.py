"""What the labs of stacks hold, beside what their plans give them: reads labs, factory and gallery, and compares.

Reads the state only on request: without it, an image is the stack's own if its tags say so, as `imagefactory adopt`
would take it over. Writes nothing. `imagefactory.reports.status_matrix` compares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from imagefactory.azure.observe import CloudFacts, gather_facts
from imagefactory.configuration.loading import Configuration, load_of_stack
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import Diagnostic, Severity, error
from imagefactory.errors import ImageFactoryError
from imagefactory.observed.standing_gallery import GalleryFacts
from imagefactory.observed.standing_labs import LabFacts
from imagefactory.planning.labs.by_gallery import NO_GALLERY
from imagefactory.planning.labs.ownership import as_created
from imagefactory.planning.labs.plan import Plan
from imagefactory.planning.stacks.adoption import candidates
from imagefactory.planning.stacks.adoption_rules import AdoptionRules
from imagefactory.planning.stacks.gallery_adoption import gallery_candidates
from imagefactory.reports.catalog_report import CatalogReport, report_catalog
from imagefactory.reports.status import StackStatus
from imagefactory.reports.status_matrix import status
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
        state = await read_state(stack.name) if with_state else None
        facts = await gather_facts(settings, configuration, state.subscriptions.values() if state else ())
    except ImageFactoryError as problem:
        failure = error(f"stack {stack.name}", str(problem).rstrip("."), "its labs are not shown", "Fix that")
        unknown = StackStatus(
            stack.name, settings.factory.lab_name, datetime.now(timezone.utc), (), failures=(failure,)
        )
        return Reading(unknown, None)
    plan, owned = planned(configuration, facts, settings, str(stack), state)
    paths, unlisted = configuration.image_paths, [lab for lab in facts.unlisted if isinstance(lab, LabFacts)]
    factory, labs, by_tags = facts.factory.name, configuration.labs, state is None
    found = status(
        plan, facts.catalog, settings, paths, owned, facts.now, str(stack), factory, unlisted, by_tags=by_tags
    )
    return Reading(
        replace(found, warnings=(*found.warnings, *_unknown(facts))),
        report_catalog(facts.catalog, factory, facts.now, labs, facts.labs, facts.gallery),
    )


def _unknown(facts: CloudFacts) -> Iterator[Diagnostic]:
    """Yield a warning about what could not be read of labs that labs.json does not list, unless it is reported."""
    reported = [each for each in facts.labs.values() if isinstance(each, Diagnostic)]
    for each in facts.unlisted:
        if isinstance(each, Diagnostic) and each not in reported:
            consequence = "images that the stack left in labs that labs.json does not list may exist there"
            yield replace(each, severity=Severity.WARNING, consequence=consequence)


def planned(
    configuration: Configuration, facts: CloudFacts, settings: Settings, stack: str, state: StackState | None
) -> tuple[Plan, Set[str]]:
    """Return the plan of a stack (`project/stack`), and what it has (`<label>/<image>`): by the state, or, if that is
    None, by the tags of what exists. Images whose tags were removed are then in the plan, but nobody knows whose."""
    if state is not None:
        return current_plan(configuration, facts, settings, state, stack), state.images
    labs = [lab for lab in facts.labs.values() if isinstance(lab, LabFacts)]
    untagged = {image.id for lab in labs for image in lab.images if image.image_path is None and image.stack is None}
    facts = replace(facts, labs={key: as_created(lab, facts.catalog) for key, lab in facts.labs.items()})
    rules, gallery = AdoptionRules(stack), facts.gallery
    in_gallery = gallery_candidates(gallery, NO_GALLERY, rules) if isinstance(gallery, GalleryFacts) else None
    owned = candidates(current_plan(configuration, facts, settings, StackState(), stack).labs, rules)
    plan = current_plan(configuration, facts, settings, StackState(), stack, owned, in_gallery)
    unknown = {f"{lab.label}/{one.name}" for lab in plan.labs for one in lab.facts.images if one.id in untagged}
    return plan, owned - unknown
