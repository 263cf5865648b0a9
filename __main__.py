"""The Pulumi program: load the configuration, read Azure, plan, declare, export."""

import asyncio
import os
from pathlib import Path

import pulumi
from pulumi.runtime import config

from components.distribution import distribute
from components.lab_images import VhdSource
from components.stack_state import images_in_state
from imagefactory.configuration import load_configuration
from imagefactory.errors import ImageFactoryError
from imagefactory.plan import build_plan
from imagefactory.settings import parse_settings
from imagefactory_azure.facts import gather_facts


async def main() -> None:
    """Raises `RunError` before anything is declared where there is no plan, and afterwards where a part is missing."""
    try:
        settings = parse_settings(config.CONFIG.get(), os.environ)
        configuration = load_configuration(Path(settings.configuration), settings.labs)
        facts, in_state = await asyncio.gather(gather_facts(settings, configuration), images_in_state())
    except ImageFactoryError as error:
        raise pulumi.RunError(str(error)) from None
    plan = build_plan(configuration, facts.catalog, facts.factory, facts.labs, settings.policy, in_state)
    for fault in plan.warnings:
        pulumi.log.warn(fault.placed())
    for crossing in plan.crossings:
        pulumi.log.info(crossing.text)
    pulumi.export("labs", distribute(plan, VhdSource.of(facts.factory, facts.container_url), settings, in_state))
    pulumi.export("omissions", [omission.to_dict() for omission in plan.omissions])
    if plan.failures:
        # The engine deletes what is not declared only after a program that succeeds: what could not be read stays.
        raise pulumi.RunError("\n".join(fault.placed() for fault in plan.failures))


pulumi.run(main)
