"""Promotion: reads the labs of one stack and the factory of another one, and writes the pins of that one's file.

Writes nothing to Azure. `imagefactory.planning.stacks.promotion` decides which images are pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefactory.azure.connect import connect
from imagefactory.azure.core.errors import consequence
from imagefactory.azure.observe import CloudFacts, read_checked_facts
from imagefactory.configuration.image_paths import Selector
from imagefactory.configuration.loading import Configuration, load_of_stack
from imagefactory.configuration.pydantic_findings import nearest
from imagefactory.configuration.stack_pins import write_pins
from imagefactory.configuration.stack_settings import Settings
from imagefactory.diagnostics import error
from imagefactory.errors import ConfigurationError
from imagefactory.planning.stacks.promotion import Promotion, Source, Target, promotion


@dataclass(frozen=True)
class PromoteRequest:
    """The stacks, and the options of the command."""

    source: str
    target: str
    settings: Settings
    """Those of the source."""
    target_settings: Settings
    file: Path
    """The stack file of the target."""
    only: Sequence[Selector] = ()
    """Which image paths; empty: all."""
    dry_run: bool = False


@dataclass(frozen=True)
class PromoteReport:
    """What was decided, and whether the file changed."""

    request: PromoteRequest
    promotion: Promotion
    changed: bool


async def run(request: PromoteRequest) -> PromoteReport:
    """Read, decide, and write the file in one step that no signal interrupts. Raises `ImageFactoryError`."""
    own, other = request.settings, request.target_settings
    ours = load_of_stack(own, request.source)
    theirs = load_of_stack(other, request.target)
    _check_paths(request.only, ours)
    facts = await _facts(own, ours)
    is_shared = (own.factory.key.may_be(other.factory.key), own.cloud, own.endpoints) == (
        True,
        other.cloud,
        other.endpoints,
    )
    factory = facts if is_shared else await _facts(other, None)
    found = promotion(
        Source(request.source, ours.labs, ours.image_paths, own, facts.catalog, facts.labs, facts.gallery),
        Target(request.target, theirs.labs, other, factory.catalog.in_case_of(theirs.image_paths)),
        request.only,
    )
    changed = bool(found.pins) and not request.dry_run and write_pins(request.file, found.pins)
    return PromoteReport(request, found, changed)


async def _facts(settings: Settings, configuration: Configuration | None) -> CloudFacts:
    async with connect(settings) as (arm, accounts):
        with consequence("nothing is promoted"):
            return await read_checked_facts(arm, accounts, settings, configuration)


def _check_paths(only: Sequence[Selector], configuration: Configuration) -> None:
    paths = [path for path in configuration.image_paths if any(lab.takes(path) for lab in configuration.labs)]
    for selector in only:
        if not any(selector.matches(path) for path in paths):
            meant = nearest(str(selector), map(str, paths))
            remedy = f"Pass {meant}" if meant else "Pass an image path that a lab takes, or its folder"
            fact = "matches no image path that a lab of the stack takes"
            raise ConfigurationError([error(f"--path {selector}", fact, "nothing is promoted", remedy)])
